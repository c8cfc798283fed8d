import { isInScope, SYSTEM_NAMESPACES } from '../../policy/scope.ts';
import { failure, ok, type Outcome, skipped, warning } from '../check.ts';
import { type Evidence, REPLICA } from '../evidence.ts';
import type { Check } from '../run.ts';
import type { ClusterView, MountSeen, ServiceSeen } from '../view/view.ts';
import { CALL_STATUS_METRICS, CALLER_METRICS, judgeCallers } from './callers.ts';
import { certificateEvidence } from './certificate-evidence.ts';
import { type CertificateEvidence, judgeLife, judgeTrust } from './certificates.ts';
import { CALL_METRICS, judgeFailOpen } from './fail-open.ts';
import { chooses, clientCaMountOf, podsBehind, type Target } from './installation.ts';
import { judgeRegistration, type RegistrationEvidence } from './registration.ts';
import { judgeRehearsal, type Rehearsal, REHEARSED_POD, skipReason } from './rehearsal.ts';
import { judgeLeader, judgeReplicas } from './replicas.ts';
import { judgeRights, type Need, rightsNeeded } from './rights.ts';
import { judgeScope } from './scope.ts';

const notRegistered = (): Outcome => skipped('the webhook is not registered here');

/** Concurrent access reviews. */
const AT_ONCE = 8;

async function registration(evidence: Evidence): Promise<Outcome> {
  const view = await evidence.view();
  const [configurations, entries, target, { config }] = await Promise.all([
    evidence.ours(),
    evidence.entries(),
    evidence.target(),
    evidence.webhookConfig(),
  ]);
  const services = new Map<string, ServiceSeen>();
  for (const { service } of entries) {
    const found = service && (await view.service(service.namespace, service.name));
    if (service && found) services.set(`${service.namespace}/${service.name}`, found);
  }
  // If Pods cannot be read, a missing registration means: never installed.
  const leftovers = configurations.length > 0 ? [] : await runningReplicas(evidence);
  const policies = await evidence.policies();
  const podResolvers = policies.length === 0 ? undefined : await podResolversOf(evidence);
  const own = target?.namespace;
  return judgeRegistration({ configurations, services, config, own, leftovers, policies, podResolvers });
}

/** Reads which namespaces in scope have a PodResolvers; undefined if that may not be read. */
async function podResolversOf(evidence: Evidence): Promise<RegistrationEvidence['podResolvers']> {
  const view = await evidence.view();
  const [namespaces, config, own] = await Promise.all([view.namespaces(), evidence.policy(), evidence.home()]);
  const inScope = [...namespaces].filter(([name, labels]) => isInScope({ name, labels }, config, own));
  try {
    return { inScope: inScope.map(([name]) => name), leftOut: await view.podResolvers() };
  } catch (error) {
    return (error as { code?: string }).code === 'not-found' ? 'no kind' : undefined;
  }
}

/** Finds workloads in all namespaces by the label of replicas. */
async function runningReplicas(evidence: Evidence): Promise<string[]> {
  const pods = await evidence.pods().catch(() => []);
  const ours = pods.filter(({ view }) => chooses(REPLICA, view.labels));
  return [...new Set(ours.map(({ namespace, owner, name }) => `${namespace}/${owner?.name ?? name}`))].toSorted();
}

async function scope(evidence: Evidence): Promise<Outcome> {
  const entries = await evidence.entries();
  if (entries.length === 0) return notRegistered();
  const view = await evidence.view();
  const [namespaces, config, target] = await Promise.all([view.namespaces(), evidence.policy(), evidence.target()]);
  return judgeScope({ entries, config, namespaces, own: target?.namespace });
}

async function configuration(evidence: Evidence): Promise<Outcome> {
  await evidence.view();
  const { from, problems, unread } = await evidence.webhookConfig();
  if (unread !== undefined) throw unread;
  const data = { from, problems };
  if (problems.length > 0) {
    const advice = [{ text: 'Correct it; libc-dns config FILE checks it. The other checks use the defaults.' }];
    return warning('the configuration of the webhook is not valid', {
      data,
      details: problems,
      advice,
    });
  }
  if (from !== 'defaults') return ok(`${from}: valid`, { data });
  const advice = [{ text: 'Name it with --config.' }];
  return skipped('no configuration of the webhook was found: the other checks use the defaults', { data, advice });
}

async function replicas(evidence: Evidence): Promise<Outcome> {
  const target = await evidence.target();
  if (target === undefined) return await leader(evidence);
  const { namespace, name } = target;
  const view = await evidence.view();
  const service = await view.service(namespace, name);
  const selector = service?.selector ?? {};
  const hasSelector = Object.keys(selector).length > 0;
  if (service === undefined) return failure(`Service ${namespace}/${name} does not exist`);
  const [deployments, pods, budgets] = await Promise.all([
    evidence.deployments(),
    hasSelector ? view.podsWith(namespace, selector) : [],
    view.disruptionBudgets(namespace).catch(() => []),
  ]);
  const running = pods.filter(({ phase }) => phase !== 'Succeeded' && phase !== 'Failed');
  return judgeReplicas({ service: `${namespace}/${name}`, hasSelector, deployments, pods: running, budgets });
}

/** Where no webhook is called: who finds out what the policy does not know yet. */
async function leader(evidence: Evidence): Promise<Outcome> {
  const [namespace, entries] = await Promise.all([evidence.home(), evidence.entries()]);
  if (namespace === undefined || entries.length > 0) return notRegistered();
  const view = await evidence.view();
  const [deployments, { config }, pods] = await Promise.all([
    evidence.deployments(),
    evidence.webhookConfig(),
    view.podsWith(namespace, REPLICA),
  ]);
  const name = config.warmUp.lease;
  const lease = await view.lease(namespace, name).catch((): 'unread' => 'unread');
  const running = pods.filter(({ phase }) => phase !== 'Succeeded' && phase !== 'Failed');
  return judgeLeader({ namespace, deployments, pods: running, name, lease, now: evidence.parts.clock.now() });
}

async function rehearsal(evidence: Evidence): Promise<Outcome> {
  const [entries, target, { config }] = await Promise.all([
    evidence.entries(),
    evidence.target(),
    evidence.webhookConfig(),
  ]);
  const view = await evidence.view();
  const byPolicy = entries.length === 0;
  if (byPolicy && (await evidence.policies()).length === 0) return notRegistered();
  const namespace = evidence.parts.namespace ?? 'default';
  const never = [...SYSTEM_NAMESPACES, ...config.excludeNamespaces, ...(target ? [target.namespace] : [])];
  const where = namespace === target?.namespace ? 'default' : namespace;
  const labels = (await view.namespaces()).get(where);
  const elsewhere = skipReason(where, labels, never, byPolicy);
  if (elsewhere !== undefined) return elsewhere;
  const result = await view.rehearse(where, REHEARSED_POD).catch((error: unknown): Rehearsal => {
    const { code, message } = error as { code?: string; message: string };
    const mayNot = code === 'forbidden' && /cannot create resource "pods"/.test(message);
    if (mayNot || code === 'unreachable' || code === 'timeout' || code === undefined) throw error;
    return { refused: message };
  });
  const outcome = judgeRehearsal(where, result, byPolicy);
  if ('refused' in result || outcome.status !== 'failure' || config.exposure === 'always') return outcome;
  const { exposed, detail } = await evidence.exposure();
  return exposed ? outcome : skipped(`exposure is auto and nothing is patched: ${detail}`, { data: outcome.data });
}

async function failOpen(evidence: Evidence): Promise<Outcome> {
  const entries = await evidence.entries();
  if (entries.length === 0) return notRegistered();
  const lines = await (await evidence.view()).apiServerMetrics(CALL_METRICS);
  return judgeFailOpen(
    lines,
    entries.map(({ name }) => name),
  );
}

const unread = (): undefined => undefined;

/** Replicas asked for their counts at most. */
const MOST_REPLICAS = 10;

async function callers(evidence: Evidence): Promise<Outcome> {
  const [entries, target, { config }, [deployment]] = await Promise.all([
    evidence.entries(),
    evidence.target(),
    evidence.webhookConfig(),
    evidence.deployments(),
  ]);
  if (entries.length === 0 || target === undefined) return notRegistered();
  const common = { config, names: entries.map(({ name }) => name), now: evidence.parts.clock.now() };
  if (config.tls.clientCaFile === '') return judgeCallers(common);
  const view = await evidence.view();
  const [clientCa, replicaLines, apiServer] = await Promise.all([
    clientCaOf(view, target.namespace, clientCaMountOf(config, deployment)).catch(unread),
    callerCounts(view, target, config.server.metricsPort).catch(unread),
    view.apiServerMetrics(CALL_STATUS_METRICS).catch(unread),
  ]);
  return judgeCallers({
    ...common,
    ...(clientCa !== undefined && { clientCa }),
    ...(replicaLines !== undefined && { replicas: replicaLines }),
    ...(apiServer !== undefined && { apiServer }),
  });
}

/** Returns the certificates in what is mounted: which key of it becomes the file is not seen. */
async function clientCaOf(view: ClusterView, namespace: string, mount: MountSeen | undefined) {
  if (mount === undefined) return undefined;
  const { kind, name } = mount;
  const read = kind === 'secret' ? view.secretCertificates(namespace, name) : view.configMap(namespace, name);
  const values = Object.values((await read) ?? {}).filter((text) => text.includes('BEGIN CERTIFICATE'));
  return values.length === 0 ? undefined : values.join('\n');
}

async function callerCounts(view: ClusterView, { namespace, name }: Target, port: number): Promise<string[]> {
  const pods = await podsBehind(view, { namespace, name });
  const ready = pods.filter((pod) => pod.ready).slice(0, MOST_REPLICAS);
  const lines = await Promise.all(
    ready.map((pod) => view.podMetrics({ namespace, name: pod.name, port }, CALLER_METRICS)),
  );
  return lines.flat();
}

async function rights(evidence: Evidence): Promise<Outcome> {
  const [namespace, [deployment], { config }] = await Promise.all([
    evidence.home(),
    evidence.deployments(),
    evidence.webhookConfig(),
  ]);
  if (namespace === undefined) return notRegistered();
  if (deployment === undefined) return skipped('there is no Deployment to tell its service account');
  const view = await evidence.view();
  const user = `system:serviceaccount:${namespace}:${deployment.serviceAccount}`;
  const needs = rightsNeeded(config, namespace);
  const answers: { need: Need; allowed: boolean }[] = [];
  for (let from = 0; from < needs.length; from += AT_ONCE) {
    const some = needs.slice(from, from + AT_ONCE);
    const allowed = await Promise.all(some.map((need) => view.mayDo(user, need)));
    answers.push(...some.map((need, index) => ({ need, allowed: allowed[index] === true })));
  }
  return judgeRights(user, answers);
}

async function judged(evidence: Evidence, judge: (seen: CertificateEvidence) => Outcome): Promise<Outcome> {
  const seen = await certificateEvidence(evidence);
  return seen === undefined ? notRegistered() : judge(seen);
}

const check = (id: string, run: () => Promise<Outcome>): Check => ({ id, group: 'webhook', run });

/** Returns the checks of whether the webhook is called, trusted, running and allowed to do its work. */
export function webhookChecks(evidence: Evidence): Check[] {
  return [
    check('registration', () => registration(evidence)),
    check('configuration', () => configuration(evidence)),
    check('scope', () => scope(evidence)),
    check('trust', async () => await judged(evidence, judgeTrust)),
    check('certificates', async () => await judged(evidence, judgeLife)),
    check('replicas', () => replicas(evidence)),
    check('rehearsal', () => rehearsal(evidence)),
    check('failing-open', () => failOpen(evidence)),
    check('callers', () => callers(evidence)),
    check('rights', () => rights(evidence)),
  ];
}
