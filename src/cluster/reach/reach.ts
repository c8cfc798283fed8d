import {
  assumedBackends,
  type DnsBackends,
  dnsReach,
  type DnsTargets,
  dnsTargets,
  namedNamespace,
  REACHES_ALL,
  unknownBackends,
} from '../../exposure/dns-target.ts';
import { type LabelOf, labelsOf } from '../../exposure/policies/match.ts';
import type { EgressPolicy, SelectedPod } from '../../exposure/network-policies.ts';
import type { KubeClient } from '../../kubernetes/client.ts';
import type { ClusterFacts, PolicyConfig, Reach } from '../../policy/model.ts';
import { nodeLocalAddresses, nodeLocalReason, nodeLocalUsable } from '../../policy/redirect.ts';
import { type Reporter, silentReporter } from '../../telemetry/reporter.ts';
import { jittered, pause } from '../../util/abort.ts';
import type { Clock } from '../../util/clock.ts';
import { isLinkLocal } from '../../util/ip.ts';
import { createDnsBackends, type DnsBackendsReader } from './dns-backends.ts';
import { createNetworkPolicies } from './network-policies.ts';
import type { KnownPolicies } from './policy-index.ts';

/** Returns what policies let a Pod reach. Cheap if its namespace has no policies. */
export type ReachOf = (namespace: string, labels: unknown) => Reach;

/** The reach of a Pod whose policies are unknown. */
export const UNKNOWN_REACH: Reach = { dnsTcp: 'uncertain', nodeLocalUdp: 'uncertain', nodeLocalTcp: 'uncertain' };

/** Returns where the DNS packets of Pods go. */
function targetsFor(facts: ClusterFacts, config: PolicyConfig, behind: DnsBackends, cilium: boolean): DnsTargets {
  const redirects = nodeLocalUsable(facts, config) && nodeLocalReason(facts, config) === undefined;
  return dnsTargets({
    dns: facts.dns,
    nodeLocal: redirects ? nodeLocalAddresses(facts, config) : [],
    intercepting: facts.nodeLocal === 'intercepting',
    behind,
    cilium,
  });
}

/**
 * Returns what is assumed of `service` (`namespace/name`) behind the addresses that the kubelet gives to Pods. Link-local addresses
 * and the node-local cache's are no Service's: the node itself answers there, or a metadata server.
 */
export function backendsWithoutCluster(facts: ClusterFacts, config: PolicyConfig, service: string): DnsBackends {
  const caches = nodeLocalAddresses(facts, config);
  const dns = facts.dns.filter((address) => !isLinkLocal(address) && !caches.includes(address));
  return assumedBackends(dns, service);
}

interface ReachOptions {
  readonly policies: KnownPolicies;
  readonly facts: () => ClusterFacts;
  /** What is behind the DNS Service; undefined if it could not be read. */
  readonly behind: () => DnsBackends | undefined;
  readonly config: PolicyConfig;
  /** `namespace/name` of the cluster DNS Service. */
  readonly service: string;
  /** Reads the labels; by default as a Pod's. */
  readonly readLabels?: (labels: unknown) => LabelOf;
}

/** The policies of a Pod's namespace, and where its DNS packets go. */
interface PodPolicies {
  readonly policies: readonly EgressPolicy[];
  readonly pod: SelectedPod;
  readonly targets: () => DnsTargets;
}

/** Returns a function that finds the policies for a Pod, undefined if they are unknown. */
export function createPodPolicies(
  options: ReachOptions,
): (namespace: string, labels: unknown) => PodPolicies | undefined {
  const { policies, facts, behind, config, service, readLabels = labelsOf } = options;
  let made: { facts: ClusterFacts; behind: DnsBackends | undefined; cilium: boolean; targets: DnsTargets } | undefined;

  function targets(): DnsTargets {
    const now = { facts: facts(), behind: behind(), cilium: policies.cilium };
    if (made?.facts === now.facts && made.behind === now.behind && made.cilium === now.cilium) return made.targets;
    const found = now.behind ?? unknownBackends(service, now.facts.dns);
    made = { ...now, targets: targetsFor(now.facts, config, found, now.cilium) };
    return made.targets;
  }

  return (namespace, labels) => {
    const found = policies.of(namespace);
    if (typeof found === 'string') return undefined;
    const pod = { namespace, namespaceLabels: namedNamespace(namespace), labels: readLabels(labels) };
    return { policies: found, pod, targets };
  };
}

/** Evaluates policies for Pods. Unknown facts are uncertain. */
export function createReach(options: ReachOptions): ReachOf {
  const policiesFor = createPodPolicies(options);
  return (namespace, labels) => {
    const found = policiesFor(namespace, labels);
    if (found === undefined) return UNKNOWN_REACH;
    const { policies, pod, targets } = found;
    return policies.length === 0 ? REACHES_ALL : dnsReach(policies, pod, targets());
  };
}

/** Returns what every Pod of a namespace may reach: uncertain as soon as some policy may select one. */
function reachOfAny({ policies }: Pick<ReachOptions, 'policies'>): (namespace: string) => Reach {
  return (namespace) => (policies.of(namespace).length === 0 ? REACHES_ALL : UNKNOWN_REACH);
}

interface ClusterReachOptions extends Pick<ReachOptions, 'facts' | 'config' | 'service'> {
  readonly client: KubeClient;
  readonly clock: Pick<Clock, 'now'>;
  readonly reporter?: Reporter;
}

/** What policies let Pods reach, kept up to date. */
export interface ClusterReach {
  readonly of: ReachOf;
  /** What every Pod of a namespace may reach. */
  readonly ofAny: (namespace: string) => Reach;
  /** Resolves after the first attempt to read the policies and the DNS Service. Never rejects. */
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

/** Milliseconds between two reads of the DNS Service, on average. */
const EVERY_MS = 45_000;
/** Milliseconds between two attempts before the first success, on average. */
const AGAIN_MS = 3000;
const READ_MS = 5000;

async function lookAgain(backends: DnsBackendsReader, signal: AbortSignal, first: () => void): Promise<void> {
  while (!signal.aborted) {
    await backends.look(signal);
    first();
    const waitMs = backends.current === undefined ? AGAIN_MS : EVERY_MS;
    await pause(jittered(waitMs), signal);
  }
}

/** Watches policies, and reads about every 45 s what is behind the DNS Service. */
export function createClusterReach(options: ClusterReachOptions): ClusterReach {
  const { client, clock, service, reporter = silentReporter } = options;
  const closing = new AbortController();
  const policies = createNetworkPolicies({ client, clock, reporter });
  const backends = createDnsBackends({ client, service, timeoutMs: READ_MS, reporter });
  const { promise: looked, resolve } = Promise.withResolvers<void>();
  const running = lookAgain(backends, closing.signal, resolve).finally(resolve);
  return {
    of: createReach({ ...options, policies, behind: () => backends.current }),
    ofAny: reachOfAny({ policies }),
    ready: Promise.all([policies.ready, looked]).then(() => undefined),
    async close() {
      closing.abort();
      await Promise.all([running, policies.close()]);
    },
  };
}
