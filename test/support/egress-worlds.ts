import fc from 'fast-check';

import { createEvaluate } from '../../src/admission/evaluate.ts';
import { createReach, type ReachOf } from '../../src/cluster/reach/reach.ts';
import { labelsOf } from '../../src/exposure/policies/match.ts';
import { readNetworkPolicy } from '../../src/exposure/network-policies.ts';
import type { ClusterFacts, PolicyConfig, ResolvConf } from '../../src/policy/model.ts';
import { readPod } from '../../src/policy/read-pod.ts';
import type { Resolver } from '../../src/policy/verdict.ts';
import { kubeletResolvConf } from '../../src/resolv-conf/kubelet.ts';
import { readByGlibc, readByGo, readByMusl } from '../../src/resolv-conf/resolvers.ts';
import { policy } from './policy.ts';

/** Pods, network policies and clusters, and whether DNS works with what a Pod gets: the properties of "never worse". */

/** The places that packets go to: two Pods behind the Service, the node-local cache, servers elsewhere. */
export const SERVICE = '10.96.0.10';
export const CACHE = '169.254.20.10';
const ELSEWHERE = ['192.0.2.1', '192.0.2.2'];
const DNS_PODS = ['10.244.1.7', '10.244.2.9'];
const DNS_LABELS: Record<string, string> = { 'k8s-app': 'kube-dns' };
const SYSTEM_LABELS: Record<string, string> = { 'kubernetes.io/metadata.name': 'kube-system' };
const POD_LABELS: Record<string, string> = { app: 'web' };

type Protocol = 'UDP' | 'TCP';

interface Packet {
  readonly to: string;
  readonly port: number;
  readonly protocol: Protocol;
}

interface Peer {
  readonly namespaceSelector?: { readonly matchLabels: Record<string, string> };
  readonly podSelector?: { readonly matchLabels: Record<string, string> };
  readonly ipBlock?: { readonly cidr: string };
}
interface Rule {
  readonly to?: readonly Peer[];
  readonly ports?: readonly { readonly port: number; readonly protocol: Protocol }[];
}
export interface EgressSpec {
  readonly podSelector: { readonly matchLabels: Record<string, string> };
  readonly policyTypes: readonly string[];
  readonly egress: readonly Rule[];
}

const holds = (wanted: Record<string, string>, labels: Record<string, string>): boolean =>
  Object.entries(wanted).every(([key, value]) => labels[key] === value);

/** The blocks that the policies of this test name, and the places in them. */
const BLOCKS: Record<string, (address: string) => boolean> = {
  '0.0.0.0/0': () => true,
  '10.244.0.0/16': (address) => address.startsWith('10.244.'),
  '10.244.1.0/24': (address) => address.startsWith('10.244.1.'),
  '169.254.20.10/32': (address) => address === CACHE,
  '192.0.2.0/24': (address) => address.startsWith('192.0.2.'),
  '10.96.0.10/32': (address) => address === SERVICE,
};

/** What a plug-in does that carries policies out to the letter: the documentation of NetworkPolicy once more, in few words. */
function passes(specs: readonly EgressSpec[], { to, port, protocol }: Packet): boolean {
  const isDnsPod = DNS_PODS.includes(to);
  const isolating = specs.filter(
    (spec) => spec.policyTypes.includes('Egress') && holds(spec.podSelector.matchLabels, POD_LABELS),
  );
  const isPeer = ({ ipBlock, namespaceSelector, podSelector }: Peer): boolean => {
    if (ipBlock !== undefined) return BLOCKS[ipBlock.cidr]?.(to) === true;
    // Without a namespace selector: Pods of the policy's own namespace, and none of these is.
    return (
      isDnsPod &&
      namespaceSelector !== undefined &&
      holds(namespaceSelector.matchLabels, SYSTEM_LABELS) &&
      holds(podSelector?.matchLabels ?? {}, DNS_LABELS)
    );
  };
  return (
    isolating.length === 0 ||
    isolating.some(({ egress }) =>
      egress.some(
        (rule) =>
          (rule.to === undefined || rule.to.some(isPeer)) &&
          (rule.ports === undefined || rule.ports.some((one) => one.port === port && one.protocol === protocol)),
      ),
    )
  );
}

const selector = (...all: Record<string, string>[]) => fc.constantFrom(...all).map((matchLabels) => ({ matchLabels }));
const peer: fc.Arbitrary<Peer> = fc.oneof(
  fc.record({ ipBlock: fc.constantFrom(...Object.keys(BLOCKS)).map((cidr) => ({ cidr })) }),
  fc.record(
    {
      namespaceSelector: selector({}, SYSTEM_LABELS, { 'kubernetes.io/metadata.name': 'shop' }),
      podSelector: selector({}, DNS_LABELS, { 'k8s-app': 'other' }),
    },
    { requiredKeys: ['namespaceSelector'] },
  ),
  fc.record({ podSelector: selector({}, DNS_LABELS) }),
);
const rule: fc.Arbitrary<Rule> = fc.record(
  {
    to: fc.array(peer, { minLength: 1, maxLength: 2 }),
    ports: fc.array(
      fc.record({ port: fc.constantFrom(53, 5353, 443), protocol: fc.constantFrom<Protocol>('UDP', 'TCP') }),
      { minLength: 1, maxLength: 3 },
    ),
  },
  { requiredKeys: [] },
);
/** One thing each: which of them stand together is what people get wrong. */
const SINGLE: readonly Rule[] = [
  ['10.244.0.0/16', 'UDP'],
  ['10.244.0.0/16', 'TCP'],
  ['169.254.20.10/32', 'UDP'],
  ['169.254.20.10/32', 'TCP'],
  ['192.0.2.0/24', 'UDP'],
  ['10.96.0.10/32', 'UDP'],
].map(([cidr = '', protocol]) => ({
  to: [{ ipBlock: { cidr } }],
  ports: [53, 5353].map((port) => ({ port, protocol: protocol as Protocol })),
}));
const selected: fc.Arbitrary<EgressSpec[]> = fc
  .subarray([...SINGLE])
  .map((egress) => [{ podSelector: { matchLabels: {} }, policyTypes: ['Egress'], egress }]);
const any: fc.Arbitrary<EgressSpec[]> = fc.array(
  fc.record({
    podSelector: selector({}, POD_LABELS, { app: 'db' }),
    policyTypes: fc.constantFrom(['Egress'], ['Ingress']),
    egress: fc.array(rule, { maxLength: 3 }),
  }),
  { maxLength: 3 },
);
export const specs = fc.oneof(selected, any);

/** `unknown`: nobody says what the image holds. */
const RESOLVERS = ['glibc', 'musl', 'go', 'other', 'unknown'] as const;
export const pod = fc.record({
  resolvers: fc.uniqueArray(fc.constantFrom(...RESOLVERS), { minLength: 1, maxLength: 2 }),
  nameservers: fc.uniqueArray(fc.constantFrom(SERVICE, CACHE, ...ELSEWHERE), { maxLength: 2 }),
  options: fc.subarray(['use-vc', 'single-request-reopen', 'ndots:2']),
  cache: fc.boolean(),
});

export type World = Situation & { readonly config: PolicyConfig };

interface Situation {
  readonly facts: ClusterFacts;
  /** Where DNS listens behind the Service. */
  readonly port: number;
  /** Cilium enforces the policies. */
  readonly cilium: boolean;
}

export const world: fc.Arbitrary<World> = fc
  .record({
    port: fc.constantFrom(53, 5353),
    cilium: fc.boolean(),
    nodeLocal: fc.constantFrom('ready', 'unready', 'intercepting', 'absent', 'unknown'),
    dns: fc.constantFrom([SERVICE], [CACHE]),
    dnsOverTcp: fc.boolean(),
    mode: fc.constantFrom('auto', 'on'),
    remedy: fc.constantFrom('auto', 'redirect', 'retry', 'none'),
    fallback: fc.boolean(),
    mixedPods: fc.constantFrom('redirect', 'retry'),
    extraNameservers: fc.constantFrom([], ['192.0.2.2']),
  } as const)
  .map(({ port, cilium, nodeLocal, dns, dnsOverTcp, mode, remedy, fallback, mixedPods, extraNameservers }) => ({
    port,
    cilium,
    facts: {
      dns,
      domain: 'cluster.local',
      nodeSearches: [],
      dnsOverTcp,
      nativeSidecars: true,
      nodeLocal,
      nodeLocalAddresses: nodeLocal === 'absent' || nodeLocal === 'unknown' ? [] : [CACHE],
    },
    config: policy({
      musl: { ...policy().musl, remedy, extraNameservers },
      mixedPods,
      nodeLocal: { mode, addresses: [CACHE], fallback },
    }),
  }));

type Given = typeof pod extends fc.Arbitrary<infer T> ? T : never;

export const objectOf = ({ resolvers, nameservers, options, cache }: Given) => ({
  metadata: {
    labels: POD_LABELS,
    annotations: {
      ...Object.fromEntries(
        resolvers.flatMap((one, index) => (one === 'unknown' ? [] : [[`libc-dns.dev/libc.c${index}`, one]])),
      ),
      ...(cache && { 'libc-dns.dev/remedy': 'sidecar' }),
    },
  },
  spec: {
    dnsConfig: {
      nameservers,
      options: options.map((text) => {
        const [name, value] = text.split(':');
        return { name, ...(value !== undefined && { value }) };
      }),
    },
    containers: resolvers.map((_, index) => ({ name: `c${index}`, image: 'x' })),
  },
});

export function fileOf(object: unknown, { facts }: World, namespace = 'shop'): ResolvConf {
  const node = { servers: [], searches: [], options: [] };
  const kubelet = { clusterDns: facts.dns, clusterDomain: facts.domain, node };
  return kubeletResolvConf(kubelet, { name: '', namespace, ...readPod(object) }).resolvConf;
}

/** Whether a server is reached, whichever Pod behind it is chosen. Servers elsewhere have never heard of TCP. */
export function reaches(
  server: string,
  protocol: Protocol,
  policies: readonly EgressSpec[],
  around: Situation,
): boolean {
  const { facts, port } = around;
  // The cache in the Pod asks as it is asked (CoreDNS, plugin forward).
  if (server === '127.0.0.1') return facts.dns.every((one) => reaches(one, protocol, policies, around));
  if (ELSEWHERE.includes(server)) return protocol === 'UDP' && passes(policies, { to: server, port: 53, protocol });
  if (server === CACHE) return passes(policies, { to: CACHE, port: 53, protocol });
  // A cache that intercepts has the Service's address on the nodes where it runs; on others a Pod answers.
  const onNode = facts.nodeLocal !== 'intercepting' || passes(policies, { to: SERVICE, port: 53, protocol });
  return onNode && DNS_PODS.every((to) => passes(policies, { to, port, protocol }));
}

const READERS = { glibc: readByGlibc, go: readByGo, musl: readByMusl } as const;

/** Who may read the file of a container. */
export const readersOf = (resolver: Resolver): readonly (keyof typeof READERS)[] => {
  if (resolver === 'unknown') return ['glibc', 'go', 'musl'];
  return [resolver === 'other' ? 'glibc' : resolver];
};

/**
 * Whether names are found before anybody loses patience: over UDP by any server, for the next one is asked after some seconds (musl asks
 * all at once); over TCP by the first, for glibc waits minutes for one that packets do not reach.
 */
export function works(
  reader: keyof typeof READERS,
  file: ResolvConf,
  policies: readonly EgressSpec[],
  around: World,
): boolean {
  const { servers, tcp } = READERS[reader](file);
  if (tcp) return servers[0] !== undefined && reaches(servers[0], 'TCP', policies, around);
  return servers.some((server) => reaches(server, 'UDP', policies, around));
}

const dnsPod = (port: number) => ({
  namespace: 'kube-system',
  namespaceLabels: labelsOf(SYSTEM_LABELS),
  labels: labelsOf(DNS_LABELS),
  ports: [{ name: 'dns-tcp', port, protocol: 'TCP' as const }],
});

export function evaluatorOf(policies: readonly EgressSpec[], around: World, namespace = 'shop') {
  const { facts, config, port, cilium } = around;
  const read = policies.flatMap((spec, index) => readNetworkPolicy({ namespace, name: `p${index}`, spec }));
  const behind = {
    service: 'kube-system/kube-dns',
    addresses: [SERVICE],
    backends: [{ addresses: DNS_PODS, port: { UDP: port, TCP: port }, pod: dnsPod(port) }],
  };
  const reach = createReach({
    policies: { of: () => read, cilium },
    facts: () => facts,
    behind: () => behind,
    config,
    service: behind.service,
  });
  return evaluatorWith(reach, around);
}

/** Returns a webhook's decisions where policies let Pods reach this. */
export function evaluatorWith(reach: ReachOf, { facts, config }: Pick<World, 'facts' | 'config'>) {
  const verdicts = { platform: { os: 'linux', architecture: 'amd64' } };
  return createEvaluate({ config, cluster: () => facts, verdicts, reach });
}
