import { policyConfig } from '../../src/config/policy-config.ts';
import { defaultConfig } from '../../src/config/schema.ts';
import { decide } from '../../src/policy/decide.ts';
import { REACHES_ALL } from '../../src/exposure/dns-target.ts';
import type { ClusterFacts, PodView, PolicyConfig, Reach } from '../../src/policy/model.ts';
import { readPod } from '../../src/policy/read-pod.ts';
import { MODE_LABEL } from '../../src/policy/scope.ts';
import type { Libc, Resolver, Verdict } from '../../src/policy/verdict.ts';
import { expectedResolvConf } from '../../src/resolv-conf/kubelet.ts';

export const facts: ClusterFacts = {
  dns: ['10.96.0.10'],
  domain: 'cluster.local',
  nodeSearches: [],
  dnsOverTcp: true,
  nodeLocal: 'unknown',
};

export const policy = (change: Partial<PolicyConfig> = {}): PolicyConfig => ({
  ...policyConfig(defaultConfig()),
  ...change,
});

/** Returns the default policy with a node-local cache that is always usable. */
export const withNodeLocal = (change: Partial<PolicyConfig> = {}): PolicyConfig =>
  policy({ nodeLocal: { mode: 'on', addresses: ['169.254.20.10'], fallback: true }, ...change });

export const verdict = (resolver: Resolver, libc: Libc = 'unknown'): Verdict => ({
  resolver,
  libc,
  evidence: { source: 'executable', detail: 'test', confidence: 0.99 },
});

/** Returns a Pod with `count` containers. */
export const podWith = (count: number, spec: Record<string, unknown> = {}, metadata: Record<string, unknown> = {}) => ({
  metadata,
  spec: { containers: Array.from({ length: count }, (_, index) => ({ name: `c${index}`, image: 'x' })), ...spec },
});

export const enforced = (name = 'shop', labels: Readonly<Record<string, string>> = {}) => ({
  name,
  labels: { ...labels, [MODE_LABEL]: 'enforce' },
});

interface Given {
  /** One for each container. */
  readonly resolvers?: readonly Resolver[];
  /** In place of `resolvers`. */
  readonly verdicts?: readonly Verdict[];
  readonly spec?: Record<string, unknown>;
  readonly metadata?: Record<string, unknown>;
  /** The namespace's labels, besides the mode. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly config?: PolicyConfig;
  readonly cluster?: ClusterFacts;
  /** Default: no policy selects the Pod. */
  readonly reach?: Partial<Reach>;
}

export const kubeletFor = (pod: PodView, cluster: ClusterFacts, namespace = 'shop') =>
  expectedResolvConf(cluster, namespace, pod);

/** Decides for a Pod in an enforcing namespace, with a container for each resolver. */
export function decideFor(given: Given) {
  const { resolvers = [], spec = {}, metadata = {}, labels = {}, config = policy(), cluster = facts, reach } = given;
  const verdicts = given.verdicts ?? resolvers.map((resolver) => verdict(resolver));
  const pod = readPod(podWith(verdicts.length, spec, metadata));
  const kubelet = () => kubeletFor(pod, cluster);
  return decide({
    pod,
    namespace: enforced('shop', labels),
    verdicts,
    cluster,
    config,
    reach: { ...REACHES_ALL, ...reach },
    kubelet,
  });
}
