import type { Permit } from '../policy/model.ts';
import { type IpBlock, contains, overlaps, parseBlock } from './policies/ip-block.ts';
import { every, type LabelOf, listOf, mapOf, type Match, matchIf, selectorOf, some } from './policies/match.ts';

export type Protocol = 'TCP' | 'UDP';

/** A Pod or Pod template, as far as policies select by it. */
export interface SelectedPod {
  readonly namespace: string;
  readonly labels: LabelOf;
  readonly namespaceLabels: LabelOf;
}

/** A Pod that answers behind a Service. */
export interface EndpointPod extends SelectedPod {
  /** Its container ports; undefined if not known. */
  readonly ports?: readonly { readonly name: string; readonly port: number; readonly protocol: Protocol }[];
}

/** Where packets go: policies see them after the Service address is translated. */
export interface Endpoint {
  /** Its address, or a block that it lies in where the address is not known. */
  readonly address: IpBlock;
  readonly port: Readonly<Partial<Record<Protocol, number>>>;
  /** undefined: no Pod, or one on its node's network, which no selector of Pods matches. */
  readonly pod?: EndpointPod;
  /** The Service that leads to it, and the addresses it has. */
  readonly service?: { readonly name: string; readonly addresses: readonly IpBlock[] };
  /** Cilium leads Pods and nodes by identity: a block of addresses does not match them. */
  readonly blocksMayMiss?: boolean;
}

export type Action = 'Allow' | 'Deny' | 'Pass';

export interface EgressRule {
  readonly action: Action;
  readonly matches: (endpoint: Endpoint, protocol: Protocol) => Match;
}

/**
 * A policy about egress, whatever its kind. `admin` policies come before all others; what none decides goes on to `default`, and from
 * there, for Pods that no policy isolates, to `baseline`. In a tier the lowest order comes first, and in a policy the first rule.
 */
export interface EgressPolicy {
  /** With its kind: `NetworkPolicy shop/allow-dns`. */
  readonly name: string;
  readonly tier: 'admin' | 'default' | 'baseline';
  readonly order: number;
  readonly selects: (pod: SelectedPod) => Match;
  /** The Pods it selects send nothing but what is allowed. */
  readonly isolates: boolean;
  readonly rules: readonly EgressRule[];
}

/** An object of a policy's kind. */
export interface PolicyObject {
  readonly name: string;
  /** Empty: the whole cluster's. */
  readonly namespace: string;
  readonly spec: unknown;
}

const TIERS = ['admin', 'default', 'baseline'] as const;

/** What a policy may do with packets to an endpoint, as bits: it decides by one of its rules, or not at all. */
const EFFECTS = { Allow: 1, Deny: 2, Pass: 4 } as const;
const NONE = 8;

/** Endpoints that are all meant: a look-up goes to any one of them. */
export interface Target {
  readonly endpoints: readonly Endpoint[];
  /** What each policy does to each endpoint: the same for all Pods that it selects. */
  readonly effects: Readonly<Record<Protocol, WeakMap<EgressPolicy, readonly number[]>>>;
}

export const targetOf = (endpoints: readonly Endpoint[]): Target => ({
  endpoints,
  effects: { TCP: new WeakMap(), UDP: new WeakMap() },
});

function effectOf({ rules }: EgressPolicy, endpoint: Endpoint, protocol: Protocol): number {
  let effect = 0;
  for (const { action, matches } of rules) {
    const match = matches(endpoint, protocol);
    if (match !== 'no') effect |= EFFECTS[action];
    if (match === 'yes') return effect;
  }
  return effect | NONE;
}

function effectsOf(policy: EgressPolicy, { endpoints, effects }: Target, protocol: Protocol): readonly number[] {
  const known = effects[protocol].get(policy);
  if (known !== undefined) return known;
  const found = endpoints.map((endpoint) => effectOf(policy, endpoint, protocol));
  effects[protocol].set(policy, found);
  return found;
}

interface Selecting {
  readonly policy: EgressPolicy;
  readonly certain: boolean;
  /** By endpoint. */
  readonly effects: readonly number[];
}

/** All that may become of packets to one endpoint, as `Allow` and `Deny` bits. */
function outcomeOf(selecting: readonly Selecting[], endpoint: number): number {
  let outcome = 0;
  for (const tier of TIERS) {
    const inTier = selecting.filter(({ policy }) => policy.tier === tier);
    let effect = NONE;
    for (const { certain, effects } of inTier) {
      effect = (effect & ~NONE) | (effects[endpoint] ?? NONE) | (certain ? 0 : NONE);
      if ((effect & NONE) === 0) break;
    }
    outcome |= effect & (EFFECTS.Allow | EFFECTS.Deny);
    const isolating = inTier.filter(({ policy }) => policy.isolates);
    if ((effect & NONE) !== 0 && isolating.length > 0) {
      outcome |= EFFECTS.Deny;
      if (isolating.some(({ certain }) => certain)) effect &= ~NONE;
    }
    if ((effect & (NONE | EFFECTS.Pass)) === 0) return outcome;
  }
  return outcome | EFFECTS.Allow;
}

const any = (effects: readonly number[], wanted: number): boolean => effects.some((one) => (one & wanted) !== 0);

/** The policy that a person has to look at: one that denies, else one that isolates and lets UDP through, else any that isolates. */
function blamed(selecting: readonly Selecting[], target: Target): string | undefined {
  const found =
    selecting.find(({ effects }) => any(effects, EFFECTS.Deny)) ??
    selecting.find(({ policy }) => policy.isolates && any(effectsOf(policy, target, 'UDP'), EFFECTS.Allow)) ??
    selecting.find(({ policy }) => policy.isolates) ??
    selecting[0];
  return found?.policy.name;
}

function before(a: EgressPolicy, b: EgressPolicy): number {
  if (a.order !== b.order) return a.order - b.order;
  return a.name < b.name ? -1 : 1;
}

export interface Egress {
  readonly permit: Permit;
  /** The policy to look at; absent where the packets are allowed. */
  readonly by?: string;
}

const ALLOWED: Egress = { permit: 'allowed' };

/**
 * What policies make of packets from a Pod to a target: allowed where each endpoint is allowed. `policies` may hold any that
 * do not select the Pod. A target without endpoints, or without a port for the protocol, is uncertain as soon as a policy selects.
 */
export function egressTo(
  policies: readonly EgressPolicy[],
  pod: SelectedPod,
  target: Target,
  protocol: Protocol,
): Egress {
  const selecting: Selecting[] = [];
  for (const policy of policies) {
    const selected = policy.selects(pod);
    if (selected === 'no') continue;
    selecting.push({ policy, certain: selected === 'yes', effects: effectsOf(policy, target, protocol) });
  }
  if (selecting.length === 0) return ALLOWED;
  selecting.sort((a, b) => before(a.policy, b.policy));
  const outcomes = target.endpoints.map((_, index) => outcomeOf(selecting, index));
  if (outcomes.length > 0 && outcomes.every((outcome) => outcome === EFFECTS.Allow)) return ALLOWED;
  const denied = outcomes.length > 0 && outcomes.every((outcome) => outcome === EFFECTS.Deny);
  const by = blamed(selecting, target);
  return { permit: denied ? 'denied' : 'uncertain', ...(by !== undefined && { by }) };
}

/** `NetworkPolicy shop/allow-dns`. */
export const policyName = (kind: string, { name, namespace }: Pick<PolicyObject, 'name' | 'namespace'>): string =>
  `${kind} ${namespace === '' ? name : `${namespace}/${name}`}`;

const maybe = (): Match => 'maybe';

/** A policy that cannot be read: it may allow anything, and deny anything, to the Pods it selects. */
export function unreadable(name: string, selects: EgressPolicy['selects']): EgressPolicy {
  const rules = [{ action: 'Allow', matches: maybe } as const, { action: 'Deny', matches: maybe } as const];
  return { name, tier: 'admin', order: 0, selects, isolates: false, rules };
}

/**
 * Matches endpoints that lie in a block. `except`: blocks of it that are left out. A block that holds the address of its Service alone
 * is uncertain: whether a plug-in sees packets before or after they are translated is its own affair (docs of NetworkPolicy).
 */
export function blockMatcher(cidr: unknown, except?: unknown): (endpoint: Endpoint) => Match {
  const block = parseBlock(cidr);
  const left = listOf(except)?.map(parseBlock);
  const outside = left?.filter((one) => one !== undefined);
  if (block === undefined || outside === undefined || outside.length !== left?.length) return maybe;
  const covers = (address: IpBlock): Match => {
    if (!overlaps(block, address) || outside.some((one) => contains(one, address))) return 'no';
    return contains(block, address) && !outside.some((one) => overlaps(one, address)) ? 'yes' : 'maybe';
  };
  return ({ address, service, blocksMayMiss }) => {
    const found = covers(address);
    if (found === 'yes') return blocksMayMiss === true ? 'maybe' : 'yes';
    return service?.addresses.some((one) => covers(one) !== 'no') === true ? 'maybe' : found;
  };
}

/** Reports whether a port is that of the endpoint: a number, a range with `end`, or the name of a container's port. */
export function isPort({ port, pod }: Endpoint, protocol: Protocol, wanted: unknown, end?: unknown): Match {
  const number = port[protocol];
  if (number === undefined) return 'maybe';
  if (typeof wanted === 'number') {
    return matchIf(typeof end === 'number' ? wanted <= number && number <= end : wanted === number);
  }
  if (typeof wanted !== 'string') return 'maybe';
  const named = pod?.ports?.find((one) => one.name === wanted && one.protocol === protocol);
  return named === undefined ? 'maybe' : matchIf(named.port === number);
}

type Matcher = EgressRule['matches'];

/** networking.k8s.io/v1 NetworkPolicyPort: no protocol is TCP, no port is all of them. */
function portMatcher(raw: unknown): Matcher {
  const given = mapOf(raw);
  if (given === undefined) return maybe;
  const { protocol: wanted, port, endPort } = given;
  return (endpoint, protocol) => {
    if ((wanted ?? 'TCP') !== protocol) return 'no';
    return port === undefined || port === null ? 'yes' : isPort(endpoint, protocol, port, endPort);
  };
}

/** networking.k8s.io/v1 NetworkPolicyPeer. A selector of Pods alone means Pods of the policy's own namespace. */
function peerMatcher(raw: unknown, namespace: string): Matcher {
  const { ipBlock, podSelector, namespaceSelector } = mapOf(raw) ?? {};
  if (ipBlock !== undefined && ipBlock !== null) {
    const { cidr, except } = mapOf(ipBlock) ?? {};
    return blockMatcher(cidr, except);
  }
  const byPod = podSelector === undefined || podSelector === null ? undefined : selectorOf(podSelector);
  const byNamespace =
    namespaceSelector === undefined || namespaceSelector === null ? undefined : selectorOf(namespaceSelector);
  if (byPod === undefined && byNamespace === undefined) return maybe;
  return ({ pod }) => {
    if (pod === undefined) return 'no';
    const inNamespace =
      byNamespace === undefined ? matchIf(pod.namespace === namespace) : byNamespace(pod.namespaceLabels);
    return every([inNamespace, byPod === undefined ? 'yes' : byPod(pod.labels)]);
  };
}

/** Reports whether any of the parts matches; absent or empty means all. */
function anyOf(raw: unknown, matcher: (part: unknown) => Matcher): Matcher {
  const parts = listOf(raw)?.map(matcher);
  if (parts === undefined) return maybe;
  if (parts.length === 0) return () => 'yes';
  return (endpoint, protocol) => some(parts.map((matches) => matches(endpoint, protocol)));
}

function ruleOf(raw: unknown, namespace: string): EgressRule {
  const given = mapOf(raw);
  if (given === undefined) return { action: 'Allow', matches: maybe };
  const ports = anyOf(given['ports'], portMatcher);
  const peers = anyOf(given['to'], (peer) => peerMatcher(peer, namespace));
  return {
    action: 'Allow',
    matches(endpoint, protocol) {
      const port = ports(endpoint, protocol);
      return port === 'no' ? 'no' : every([port, peers(endpoint, protocol)]);
    },
  };
}

/** Calico gives policies of this kind this place among its own (docs of Calico: NetworkPolicy, `order`). */
const USUAL_ORDER = 1000;

/**
 * Reads a networking.k8s.io/v1 NetworkPolicy; none if it is not about egress. Without `policyTypes` one with egress rules is
 * (kubernetes: pkg/apis/networking/v1/defaults.go). Never throws: what is malformed is uncertain.
 */
export function readNetworkPolicy(object: PolicyObject): readonly EgressPolicy[] {
  const name = policyName('NetworkPolicy', object);
  const inNamespace = ({ namespace }: SelectedPod): boolean => namespace === object.namespace;
  const spec = mapOf(object.spec ?? {});
  const types = listOf(spec?.['policyTypes']);
  const egress = listOf(spec?.['egress']);
  if (spec === undefined || types === undefined || egress === undefined) {
    return [unreadable(name, (pod) => (inNamespace(pod) ? 'maybe' : 'no'))];
  }
  if (types.length === 0 ? egress.length === 0 : !types.includes('Egress')) return [];
  const selector = selectorOf(spec['podSelector'] ?? {});
  return [
    {
      name,
      tier: 'default',
      order: USUAL_ORDER,
      selects: (pod) => (inNamespace(pod) ? selector(pod.labels) : 'no'),
      isolates: true,
      rules: egress.map((rule) => ruleOf(rule, object.namespace)),
    },
  ];
}
