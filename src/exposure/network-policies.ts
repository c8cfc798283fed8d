import type { Permit } from '../policy/model.ts';
import { type IpBlock, contains, overlaps, parseBlock } from './policies/ip-block.ts';
import { every, type LabelOf, listOf, mapOf, type Match, matchIf, selectorOf, some } from './policies/match.ts';

export type Protocol = 'TCP' | 'UDP';

/** The properties of a Pod or Pod template that policies select by. */
export interface SelectedPod {
  readonly namespace: string;
  readonly labels: LabelOf;
  readonly namespaceLabels: LabelOf;
}

/** A Pod that answers behind a Service. */
export interface EndpointPod extends SelectedPod {
  /** Container ports; undefined if unknown. */
  readonly ports?: readonly { readonly name: string; readonly port: number; readonly protocol: Protocol }[];
}

/** A destination of packets, after the Service's address is translated: policies match packets there. */
export interface Endpoint {
  /** The address, or a block that contains it if the address is unknown. */
  readonly address: IpBlock;
  readonly port: Readonly<Partial<Record<Protocol, number>>>;
  /** Undefined if it is no Pod, or a Pod on its node's network: no Pod selector matches these. */
  readonly pod?: EndpointPod;
  /** The Service in front of it. */
  readonly service?: { readonly name: string; readonly addresses: readonly IpBlock[] };
  /** True with Cilium, which matches Pods and nodes by identity: an address block may not match them. */
  readonly blocksMayMiss?: boolean;
}

export type Action = 'Allow' | 'Deny' | 'Pass';

export interface EgressRule {
  readonly action: Action;
  readonly matches: (endpoint: Endpoint, protocol: Protocol) => Match;
}

/**
 * An egress policy of any kind. Tiers apply in the order `admin`, `default`, `baseline`: packets that no rule decides go on to the next
 * tier, except that packets of isolated Pods end in `default`. In a tier the lowest order applies first, in a policy the first rule.
 */
export interface EgressPolicy {
  /** With its kind: `NetworkPolicy shop/allow-dns`. */
  readonly name: string;
  readonly tier: 'admin' | 'default' | 'baseline';
  readonly order: number;
  readonly selects: (pod: SelectedPod) => Match;
  /** Selected Pods may send only what some rule allows. */
  readonly isolates: boolean;
  readonly rules: readonly EgressRule[];
}

/** An object of a policy's kind. */
export interface PolicyObject {
  readonly name: string;
  /** Empty if the policy is cluster-wide. */
  readonly namespace: string;
  readonly spec: unknown;
}

const TIERS = ['admin', 'default', 'baseline'] as const;

/** The possible effects of a policy on packets to an endpoint, as bits: the action of one of its rules, or none. */
const EFFECTS = { Allow: 1, Deny: 2, Pass: 4 } as const;
const NONE = 8;

/** Endpoints that must all be reachable: a look-up goes to any of them. */
export interface Target {
  readonly endpoints: readonly Endpoint[];
  /** The effect of each policy on each endpoint, cached: it is the same for all Pods that the policy selects. */
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
  /** One for each endpoint. */
  readonly effects: readonly number[];
}

/** Returns the possible outcomes for packets to one endpoint, as `Allow` and `Deny` bits. */
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

/** Returns the policy that explains a refusal: one that denies, else one that isolates and allows UDP, else any that isolates. */
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

interface Egress {
  readonly permit: Permit;
  /** The policy that explains a refusal; undefined if the packets are allowed. */
  readonly by?: string;
}

const ALLOWED: Egress = { permit: 'allowed' };

/**
 * Evaluates policies for packets from a Pod to a target: allowed if every endpoint is allowed. Ignores policies that do not select the
 * Pod. A target without endpoints, or without a port for the protocol, is uncertain if any policy selects the Pod.
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

/** Returns a name with its kind: `NetworkPolicy shop/allow-dns`. */
export function policyName(kind: string, { name, namespace }: Pick<PolicyObject, 'name' | 'namespace'>): string {
  // Manifests may have generateName alone.
  if (name === '') return `a ${kind}${namespace === '' ? '' : ` of ${namespace}`} without a name`;
  return `${kind} ${namespace === '' ? name : `${namespace}/${name}`}`;
}

const maybe = (): Match => 'maybe';

/** Returns a stand-in for a policy that cannot be read: it may allow and may deny anything to the Pods it selects. */
export function unreadable(name: string, selects: EgressPolicy['selects']): EgressPolicy {
  const rules = [{ action: 'Allow', matches: maybe } as const, { action: 'Deny', matches: maybe } as const];
  return { name, tier: 'admin', order: 0, selects, isolates: false, rules };
}

/**
 * Returns a matcher for endpoints in a block without its `except` blocks. A block that contains only the Service's address is uncertain:
 * it is undefined whether a plug-in matches before or after translation (NetworkPolicy documentation).
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

/** Reads a networking.k8s.io/v1 NetworkPolicyPort: the default protocol is TCP, the default port is any. */
function portMatcher(raw: unknown): Matcher {
  const given = mapOf(raw);
  if (given === undefined) return maybe;
  const { protocol: wanted, port, endPort } = given;
  return (endpoint, protocol) => {
    if ((wanted ?? 'TCP') !== protocol) return 'no';
    return port === undefined || port === null ? 'yes' : isPort(endpoint, protocol, port, endPort);
  };
}

/** Reads a networking.k8s.io/v1 NetworkPolicyPeer. A podSelector alone selects Pods in the policy's own namespace. */
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

/** Returns a matcher that matches if any part does, or if there are no parts. */
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

/** The order of Kubernetes' own policies among those of Calico (Calico documentation, NetworkPolicy, `order`). */
const USUAL_ORDER = 1000;

/**
 * Reads a networking.k8s.io/v1 NetworkPolicy. Returns an empty list if it is not about egress: without `policyTypes` it is if it has egress
 * rules (kubernetes, pkg/apis/networking/v1/defaults.go). Never throws: malformed parts are uncertain.
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
