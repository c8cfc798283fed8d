import type { PodSeen } from '../cluster/pod-seen.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { Config } from '../config/schema.ts';
import type { Detection } from '../detection/detector.ts';
import { type Exposure, judgeExposure, linuxKernels } from '../exposure/exposure.ts';
import { kubeProxyOf, type KubeProxySources } from '../exposure/kube-proxy.ts';
import type { PolicyConfig } from '../policy/model.ts';
import type { Clock } from '../util/clock.ts';
import type { RaceLimits } from './dns/race.ts';
import type {
  ClusterView,
  DeploymentSeen,
  DnsSeen,
  MutatingPolicy,
  NodeSeen,
  WebhookConfiguration,
  WebhookEntry,
} from './view/view.ts';
import type { ReplicaAddress, Served } from './webhook/certificates.ts';
import { chooses, configMapOf, readConfig, type Target, targetOf, type WebhookConfig } from './webhook/installation.ts';
import { isOurs, ourConfigurations } from './webhook/registration.ts';

/** Inspects images as the webhook does. */
export interface ImageInspector {
  /** Returns the registry of an image reference; undefined if the reference is invalid. */
  readonly registryOf: (image: string) => string | undefined;
  readonly detect: (pod: PodSeen, image: string, signal: AbortSignal) => Promise<Detection>;
  /** Parts of the configuration that cannot be used outside the webhook's Pod. */
  readonly notes: readonly string[];
  readonly close: () => Promise<void>;
}

/** The dependencies of the checks. */
export interface DoctorParts {
  /** Of this program. */
  readonly version: string;
  /** undefined if there is no cluster. */
  readonly view?: ClusterView;
  /** Why there is no cluster. */
  readonly noCluster?: string;
  /** Whether this runs in a Pod of the cluster, as the webhook does. */
  readonly inside: boolean;
  /** From flags, environment and file. Applies unless the installed webhook's own configuration is found. */
  readonly config: Config;
  /** The configuration that the user named; the cluster's is then not read. */
  readonly configGiven: string | undefined;
  /** `--cluster-dns` and `--cluster-domain` if given: they win over the cluster's values. */
  readonly given: Partial<Pick<Config['cluster'], 'dns' | 'domain'>>;
  /** `--namespace`: the namespace of the release, and of the rehearsal. */
  readonly namespace?: string;
  /** `--webhook`. */
  readonly webhook?: { readonly host: string; readonly port: number };
  readonly dnsPort: number;
  readonly race: RaceLimits;
  /** Finds the cluster DNS and the node-local cache as the webhook would with this configuration. */
  readonly findDns: (config: Config) => Promise<DnsSeen>;
  readonly askCertificate: (replica: ReplicaAddress) => Promise<Served>;
  readonly openInspector: (config: Config) => Promise<ImageInspector>;
  readonly clock: Pick<Clock, 'now'>;
}

/** What the checks know. Each part is read at most once, when first asked for. */
export interface Evidence {
  readonly parts: DoctorParts;
  /** Rejects with a {@link NeedsClusterError} if no cluster answers. */
  readonly view: () => Promise<ClusterView>;
  /** All MutatingWebhookConfigurations. */
  readonly configurations: () => Promise<readonly WebhookConfiguration[]>;
  /** The configurations that belong to this webhook. */
  readonly ours: () => Promise<readonly WebhookConfiguration[]>;
  /** Our webhook entries in these configurations. */
  readonly entries: () => Promise<readonly WebhookEntry[]>;
  /** The Service that the API server calls; undefined if the registration names none. */
  readonly target: () => Promise<Target | undefined>;
  /** Our MutatingAdmissionPolicies; none if the API server has no such kind, or they may not be read. */
  readonly policies: () => Promise<readonly MutatingPolicy[]>;
  /** The namespace of the release: of that Service, else the one that our policy names. */
  readonly home: () => Promise<string | undefined>;
  /** The Deployments whose Pods that Service selects; without a Service, the release's Deployments. */
  readonly deployments: () => Promise<readonly DeploymentSeen[]>;
  readonly webhookConfig: () => Promise<WebhookConfig>;
  readonly policy: () => Promise<PolicyConfig>;
  readonly pods: () => Promise<readonly PodSeen[]>;
  readonly dns: () => Promise<DnsSeen>;
  readonly nodes: () => Promise<readonly NodeSeen[]>;
  readonly kubeProxy: () => Promise<KubeProxySources>;
  /** Whether some node can lose DNS packets, as the webhook judges it. Rejects if the nodes cannot be read. */
  readonly exposure: () => Promise<Exposure>;
}

/** A check needs a cluster, and none answers. The report says so once, not for each check. */
export class NeedsClusterError extends Error {
  override readonly name = 'NeedsClusterError';
  readonly code = 'no-cluster';
}

/** Pods read at most: more would take minutes and add nothing new. */
const MOST_PODS = 20_000;

export function createEvidence(parts: DoctorParts): Evidence {
  const view = once(() => reachableView(parts));
  const configurations = once(async () => await (await view()).webhookConfigurations());
  const ours = once(async () => {
    const { registration } = parts.config.tls;
    const all = await configurations().catch(async (error: unknown) => {
      if ((error as { code?: string }).code !== 'forbidden') throw error;
      const named = await (await view()).webhookConfigurationsNamed(registration);
      // Without the right to list all, an empty result does not show that it is not registered under another name.
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
  const policies = once(async () => {
    const all = await (await view()).mutatingPolicies().catch(() => []);
    return all.filter(isOurs);
  });
  const home = once(async () => {
    const found = await target();
    return found === undefined
      ? (await policies()).find(({ namespace }) => namespace !== undefined)?.namespace
      : found.namespace;
  });
  const deployments = deploymentsOf({ view, target, home });
  const webhookConfig = once(async () => {
    const found = await configOrDefaults(parts, () => findConfig(parts, { view, home, deployments }));
    const cluster = { ...found.config.cluster, ...parts.given };
    return { ...found, config: { ...found.config, cluster } };
  });
  const dns = once(async () => await parts.findDns((await webhookConfig()).config));
  const nodes = once(async () => await (await view()).nodes());
  const kubeProxy = once(async () => await (await view()).kubeProxy());
  return {
    parts,
    view,
    configurations,
    ours,
    entries,
    target,
    policies,
    home,
    deployments,
    webhookConfig,
    policy: once(async () => policyConfig((await webhookConfig()).config)),
    pods: once(async () => await (await view()).allPods(MOST_PODS)),
    dns,
    nodes,
    kubeProxy,
    exposure: once(async () => await readExposure({ view, webhookConfig, dns, nodes, kubeProxy })),
  };
}

/** DaemonSets that cannot be listed count as not known; a node-local cache counts where the webhook would look for it. */
async function readExposure(
  evidence: Pick<Evidence, 'view' | 'webhookConfig' | 'dns' | 'nodes' | 'kubeProxy'>,
): Promise<Exposure> {
  const view = await evidence.view();
  const [nodes, kubeProxy, nfqueue, dns, { config }] = await Promise.all([
    evidence.nodes(),
    evidence.kubeProxy(),
    view.nfqueueUsers().catch(() => undefined),
    evidence.dns(),
    evidence.webhookConfig(),
  ]);
  return judgeExposure({
    nodes: linuxKernels(nodes),
    kubeProxy: kubeProxyOf(kubeProxy),
    nfqueue,
    nodeLocalIntercepts: config.nodeLocal.mode === 'auto' && dns.facts.nodeLocal === 'intercepting',
  });
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

async function reachableView({ view, noCluster }: DoctorParts): Promise<ClusterView> {
  if (view === undefined) throw new NeedsClusterError(noCluster ?? 'there is no cluster');
  try {
    await view.version();
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    // A cluster may forbid /version and still allow other calls.
    if (code !== 'forbidden')
      throw new NeedsClusterError(`the API server does not answer: ${message}`, { cause: error });
  }
  return view;
}

/** The label that the chart and the manifests give to replicas. */
export const REPLICA = { 'app.kubernetes.io/name': 'libc-dns-webhook' };

function deploymentsOf(evidence: Pick<Evidence, 'view' | 'target' | 'home'>): () => Promise<readonly DeploymentSeen[]> {
  return once(async () => {
    const [view, target] = [await evidence.view(), await evidence.target()];
    if (target === undefined) {
      const home = await evidence.home();
      const found = home === undefined ? [] : await view.deployments(home);
      return found.filter(({ podLabels }) => chooses(REPLICA, podLabels));
    }
    const service = await view.service(target.namespace, target.name);
    const all = await view.deployments(target.namespace);
    // A Service without a selector has hand-made endpoints: a Deployment of its name is the best guess.
    return all.filter(({ name, podLabels }) =>
      service === undefined || Object.keys(service.selector).length === 0
        ? name === target.name
        : chooses(service.selector, podLabels),
    );
  });
}

/** Falls back to the command line's configuration if the webhook's cannot be read, so that other checks still run. */
async function configOrDefaults(parts: DoctorParts, find: () => Promise<WebhookConfig>): Promise<WebhookConfig> {
  try {
    return await find();
  } catch (error) {
    return { config: parts.config, from: parts.configGiven ?? 'defaults', problems: [], unread: error };
  }
}

/** Returns the installed webhook's configuration; the command line's if none is found or the user named one. */
async function findConfig(
  parts: DoctorParts,
  evidence: Pick<Evidence, 'view' | 'home' | 'deployments'>,
): Promise<WebhookConfig> {
  const given = { config: parts.config, from: parts.configGiven ?? 'defaults', problems: [] };
  if (parts.configGiven !== undefined) return given;
  const home = await evidence.home();
  const [deployment] = await evidence.deployments();
  const map = deployment && configMapOf(deployment);
  if (home === undefined || deployment === undefined || map === undefined) return given;
  const data = await (await evidence.view()).configMap(home, map.name);
  const from = `ConfigMap ${home}/${map.name}`;
  const text = data?.[map.key];
  if (text === undefined) return { ...given, problems: [`${from} has no ${map.key}`] };
  return readConfig({ from, text, environment: deployment.environment }, parts.config);
}
