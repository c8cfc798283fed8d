import type { PodSeen } from '../cluster/pod-seen.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { Config } from '../config/schema.ts';
import type { Detection } from '../detection/detector.ts';
import type { PolicyConfig } from '../policy/model.ts';
import type { Clock } from '../util/clock.ts';
import type { RaceLimits } from './dns/race.ts';
import type { ClusterView, DeploymentSeen, DnsSeen, WebhookConfiguration, WebhookEntry } from './view/view.ts';
import type { AskedReplica, Served } from './webhook/certificates.ts';
import { chooses, configMapOf, readConfig, type Target, targetOf, type WebhookConfig } from './webhook/installation.ts';
import { isOurs, ourConfigurations } from './webhook/registration.ts';

/** Looks into images as the webhook does. */
export interface ImageLook {
  /** The registry of a reference; undefined for what is no reference. */
  readonly registryOf: (image: string) => string | undefined;
  readonly detect: (pod: PodSeen, image: string, signal: AbortSignal) => Promise<Detection>;
  /** What of the configuration could not be used here. */
  readonly notes: readonly string[];
  readonly close: () => Promise<void>;
}

/** What the checks are handed. */
export interface DoctorParts {
  /** Absent: there is no cluster, for `noCluster`. */
  readonly view?: ClusterView;
  readonly noCluster?: string;
  /** Whether this runs in a Pod, as the webhook does. */
  readonly inside: boolean;
  /** Of the command line, the environment and a file: the webhook's, unless it has one of its own in the cluster. */
  readonly config: Config;
  /** Whether a person has named the configuration: then that of the cluster is not looked for. */
  readonly configGiven: string | undefined;
  /** `--cluster-dns` and `--cluster-domain`, as far as they are given: they win over the cluster's own. */
  readonly given: Partial<Pick<Config['cluster'], 'dns' | 'domain'>>;
  /** `--namespace`: of the release to look at, and of the rehearsal. */
  readonly namespace?: string;
  /** `--webhook`. */
  readonly webhook?: { readonly host: string; readonly port: number };
  readonly dnsPort: number;
  readonly race: RaceLimits;
  /** Finds the cluster DNS and the node-local cache by a configuration. */
  readonly findDns: (config: Config) => Promise<DnsSeen>;
  readonly askCertificate: (replica: AskedReplica) => Promise<Served>;
  readonly openLook: (config: Config) => Promise<ImageLook>;
  readonly clock: Pick<Clock, 'now'>;
}

/** What the checks share, read at most once and only when asked for. */
export interface Sight {
  readonly parts: DoctorParts;
  /** Rejects with a {@link NeedsClusterError} where there is none that answers. */
  readonly view: () => Promise<ClusterView>;
  readonly configurations: () => Promise<readonly WebhookConfiguration[]>;
  /** Ours. */
  readonly ours: () => Promise<readonly WebhookConfiguration[]>;
  readonly entries: () => Promise<readonly WebhookEntry[]>;
  /** The Service that the API server calls; undefined where we are not registered by Service. */
  readonly target: () => Promise<Target | undefined>;
  /** The Deployments whose Pods that Service chooses. */
  readonly deployments: () => Promise<readonly DeploymentSeen[]>;
  readonly webhookConfig: () => Promise<WebhookConfig>;
  readonly policy: () => Promise<PolicyConfig>;
  readonly pods: () => Promise<readonly PodSeen[]>;
  readonly dns: () => Promise<DnsSeen>;
}

/** A check wants a cluster, and there is none that answers: said once, not by each check. */
export class NeedsClusterError extends Error {
  override readonly name = 'NeedsClusterError';
  readonly code = 'no-cluster';
}

/** Pods that are looked at: more would take minutes to read, and tell nothing new. */
const MOST_PODS = 20_000;

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

async function reached({ view, noCluster }: DoctorParts): Promise<ClusterView> {
  if (view === undefined) throw new NeedsClusterError(noCluster ?? 'there is no cluster');
  try {
    await view.version();
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    // /version may be closed to anonymous users and open to those who may do more.
    if (code !== 'forbidden')
      throw new NeedsClusterError(`the API server does not answer: ${message}`, { cause: error });
  }
  return view;
}

function deploymentsOf(sight: Pick<Sight, 'view' | 'target'>): () => Promise<readonly DeploymentSeen[]> {
  return once(async () => {
    const [view, target] = [await sight.view(), await sight.target()];
    if (target === undefined) return [];
    const service = await view.service(target.namespace, target.name);
    const all = await view.deployments(target.namespace);
    // A Service without selector is led elsewhere by hand: a Deployment of its name is the best guess.
    return all.filter(({ name, podLabels }) =>
      service === undefined || Object.keys(service.selector).length === 0
        ? name === target.name
        : chooses(service.selector, podLabels),
    );
  });
}

/** The webhook's own configuration where it can be found, else the one of the command line. */
async function findConfig(
  parts: DoctorParts,
  sight: Pick<Sight, 'view' | 'target' | 'deployments'>,
): Promise<WebhookConfig> {
  const given = { config: parts.config, from: parts.configGiven ?? 'defaults', problems: [] };
  if (parts.configGiven !== undefined) return given;
  const target = await sight.target();
  const [deployment] = await sight.deployments();
  const map = deployment && configMapOf(deployment);
  if (target === undefined || deployment === undefined || map === undefined) return given;
  const data = await (await sight.view()).configMap(target.namespace, map.name);
  const from = `ConfigMap ${target.namespace}/${map.name}`;
  const text = data?.[map.key];
  if (text === undefined) return { ...given, problems: [`${from} has no ${map.key}`] };
  return readConfig({ from, text, environment: deployment.environment }, parts.config);
}

/** What cannot be read is no reason not to look at the rest: then it is as without a configuration. */
async function configOrDefaults(parts: DoctorParts, find: () => Promise<WebhookConfig>): Promise<WebhookConfig> {
  try {
    return await find();
  } catch (error) {
    return { config: parts.config, from: parts.configGiven ?? 'defaults', problems: [], unread: error };
  }
}

export function createSight(parts: DoctorParts): Sight {
  const view = once(() => reached(parts));
  const configurations = once(async () => await (await view()).webhookConfigurations());
  const ours = once(async () => {
    const { registration } = parts.config.tls;
    const all = await configurations().catch(async (error: unknown) => {
      if ((error as { code?: string }).code !== 'forbidden') throw error;
      const named = await (await view()).webhookConfigurationsNamed(registration);
      // Not to see it by its name does not mean that it has no other name.
      if (named.length === 0) throw error;
      return named;
    });
    return ourConfigurations(all, registration);
  });
  const entries = async (): Promise<readonly WebhookEntry[]> =>
    (await ours()).flatMap(({ name, entries: of }) =>
      of.filter((entry) => name === parts.config.tls.registration || isOurs(entry)),
    );
  const target = once(async () => targetOf(await ours(), parts.namespace));
  const deployments = deploymentsOf({ view, target });
  const webhookConfig = once(async () => {
    const found = await configOrDefaults(parts, () => findConfig(parts, { view, target, deployments }));
    const cluster = { ...found.config.cluster, ...parts.given };
    return { ...found, config: { ...found.config, cluster } };
  });
  return {
    parts,
    view,
    configurations,
    ours,
    entries,
    target,
    deployments,
    webhookConfig,
    policy: once(async () => policyConfig((await webhookConfig()).config)),
    pods: once(async () => await (await view()).allPods(MOST_PODS)),
    dns: once(async () => await parts.findDns((await webhookConfig()).config)),
  };
}
