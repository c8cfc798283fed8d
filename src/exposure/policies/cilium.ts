import { every, keysOf, type LabelOf, listOf, mapOf, type Match, matchIf, selectorOf, some } from './match.ts';
import {
  blockMatcher,
  type EgressPolicy,
  type EgressRule,
  type Endpoint,
  type EndpointPod,
  isPort,
  policyName,
  type PolicyObject,
  type SelectedPod,
  unreadable,
} from '../network-policies.ts';

type Matcher = EgressRule['matches'];

const UNREADABLE: Matcher = () => 'maybe';

const NAMESPACE = 'io.kubernetes.pod.namespace';
const NAMESPACE_LABELS = 'io.cilium.k8s.namespace.labels.';

/** Removes the source from a label's name. Returns undefined if the source is not Kubernetes (Cilium documentation, Labels). */
function kubernetesKey(key: string): string | undefined {
  const [, source = 'any', name = key] = /^([a-z0-9-]+):(.*)$/s.exec(key) ?? [];
  return source === 'k8s' || source === 'any' ? name : undefined;
}

/** Returns a Pod's labels as Cilium sees them, which include its namespace and the namespace's labels. */
function ciliumLabels({ namespace, labels, namespaceLabels }: SelectedPod): LabelOf {
  return (key) => {
    const name = kubernetesKey(key);
    if (name === NAMESPACE) return namespace;
    if (name?.startsWith(NAMESPACE_LABELS)) return namespaceLabels(name.slice(NAMESPACE_LABELS.length));
    return name === undefined || name.startsWith('io.cilium.') ? undefined : labels(name);
  };
}

const namesNamespace = (selector: unknown): boolean =>
  keysOf(selector).some((key) => {
    const name = kubernetesKey(key) ?? '';
    return name === NAMESPACE || name.startsWith(NAMESPACE_LABELS);
  });

/** Reads an EndpointSelector. Without a namespace in it, a namespaced policy means its own namespace. */
function endpointMatcher(selector: unknown, namespace: string): (pod: SelectedPod) => Match {
  const matches = selectorOf(selector);
  const here = namespace !== '' && !namesNamespace(selector);
  return (pod) => (here && pod.namespace !== namespace ? 'no' : matches(ciliumLabels(pod)));
}

const OTHER_THAN_PODS: readonly unknown[] = ['world', 'world-ipv4', 'world-ipv6', 'ingress', 'health', 'none'];

function entityMatch(entity: unknown, pod: EndpointPod | undefined): Match {
  if (entity === 'all' || (entity === 'cluster' && pod !== undefined)) return 'yes';
  return OTHER_THAN_PODS.includes(entity) && pod !== undefined ? 'no' : 'maybe';
}

/** A match of a CIDR is uncertain: CIDR rules apply only to connections that leave the cluster (Cilium API, toCIDR). */
function outsideMatcher(cidr: unknown, except?: unknown): (endpoint: Endpoint) => Match {
  const matches = blockMatcher(cidr, except);
  return (endpoint) => (matches(endpoint) === 'no' ? 'no' : 'maybe');
}

/** Readers of the fields that name a destination. Other fields that begin with `to` are uncertain. */
const DESTINATIONS: Readonly<Record<string, (one: unknown, namespace: string) => (endpoint: Endpoint) => Match>> = {
  toEndpoints(one, namespace) {
    const matches = endpointMatcher(one, namespace);
    return ({ pod }) => (pod === undefined ? 'no' : matches(pod));
  },
  toEntities: (one) => (endpoint) => entityMatch(one, endpoint.pod),
  toCIDR: (one) => outsideMatcher(one),
  toCIDRSet(one) {
    const { cidr, except } = mapOf(one) ?? {};
    return outsideMatcher(cidr, except);
  },
};

/** Reads the destination of a rule. Without one, a rule with ports leads everywhere, and an empty rule leads nowhere. */
function destinationOf(rule: Readonly<Record<string, unknown>>, namespace: string): Matcher {
  const named = Object.entries(rule).filter(([field, value]) => /^to[A-Z]/.test(field) && field !== 'toPorts' && value);
  if (named.length === 0) return () => (listOf(rule['toPorts'])?.length === 0 ? 'no' : 'yes');
  const matchers = named.flatMap(([field, value]): Matcher[] => {
    const read = Object.hasOwn(DESTINATIONS, field) ? DESTINATIONS[field] : undefined;
    const list = listOf(value);
    return read === undefined || list === undefined ? [UNREADABLE] : list.map((one) => read(one, namespace));
  });
  return (endpoint, protocol) => some(matchers.map((matches) => matches(endpoint, protocol)));
}

/** Reads a PortProtocol: the port is a text with a number or a name; 0 is any port, and the default protocol is any. */
function portMatcher(raw: unknown): Matcher {
  const { port, endPort, protocol: wanted = 'ANY' } = mapOf(raw) ?? {};
  if (typeof port !== 'string') return UNREADABLE;
  const number = /^\d+$/.test(port) ? Number(port) : undefined;
  return (endpoint, protocol) => {
    if (wanted !== 'ANY' && wanted !== protocol) return 'no';
    return number === 0 ? 'yes' : isPort(endpoint, protocol, number ?? port, endPort || undefined);
  };
}

/** Reads a PortRule: ports, and rules for the traffic to them. A DNS proxy lets DNS through; other rules are uncertain. */
function portRuleMatcher(raw: unknown): Matcher {
  const { ports, rules, ...others } = mapOf(raw) ?? { unread: true };
  const list = listOf(ports);
  if (list === undefined || Object.keys(others).length > 0) return UNREADABLE;
  const matchers = list.map(portMatcher);
  const inspected: Match = Object.keys(mapOf(rules) ?? {}).every((layer) => layer === 'dns') ? 'yes' : 'maybe';
  return (endpoint, protocol) =>
    every([matchers.length === 0 ? 'yes' : some(matchers.map((matches) => matches(endpoint, protocol))), inspected]);
}

function ruleOf(raw: unknown, namespace: string, action: 'Allow' | 'Deny'): EgressRule {
  const rule = mapOf(raw);
  const ports = listOf(rule?.['toPorts'])?.map(portRuleMatcher);
  if (rule === undefined || ports === undefined) return { action, matches: UNREADABLE };
  if (rule['icmps']) return { action, matches: () => 'no' };
  const destination = destinationOf(rule, namespace);
  const matches: Matcher = (endpoint, protocol) =>
    every([
      destination(endpoint, protocol),
      ports.length === 0 ? 'yes' : some(ports.map((port) => port(endpoint, protocol))),
    ]);
  return { action, matches };
}

/** Denials go before all that allows, in every kind of policy (Cilium documentation, Deny Policies). */
function specPolicies(spec: Readonly<Record<string, unknown>>, object: PolicyObject, name: string): EgressPolicy[] {
  // Only a CiliumClusterwideNetworkPolicy about nodes has one.
  if (spec['nodeSelector'] !== undefined && spec['nodeSelector'] !== null) return [];
  const selects = endpointMatcher(spec['endpointSelector'], object.namespace);
  const allow = listOf(spec['egress']);
  const deny = listOf(spec['egressDeny']);
  if (allow === undefined || deny === undefined) return [unreadable(name, selects)];
  // A requirement narrows the other rules about the Pods, of all policies (Cilium API, toRequires; deprecated).
  if ([...allow, ...deny].some((rule) => mapOf(rule)?.['toRequires'])) return [unreadable(name, selects)];
  if (allow.length + deny.length === 0) return [];
  const isolates = mapOf(spec['enableDefaultDeny'])?.['egress'] !== false;
  const rules = (list: readonly unknown[], action: 'Allow' | 'Deny'): EgressRule[] =>
    list.map((rule) => ruleOf(rule, object.namespace, action));
  const common = { name, tier: 'default', selects } as const;
  const denials = { ...common, order: Number.NEGATIVE_INFINITY, isolates: false, rules: rules(deny, 'Deny') };
  return [...(deny.length > 0 ? [denials] : []), { ...common, order: 0, isolates, rules: rules(allow, 'Allow') }];
}

/**
 * Reads a cilium.io/v2 CiliumNetworkPolicy or, without a namespace, a CiliumClusterwideNetworkPolicy (Cilium documentation, Layer 3
 * and Layer 4 Policies). Never throws: malformed and unknown parts are uncertain.
 */
export function readCiliumPolicy(object: PolicyObject & { readonly specs?: unknown }): readonly EgressPolicy[] {
  const { namespace } = object;
  const name = policyName(namespace === '' ? 'CiliumClusterwideNetworkPolicy' : 'CiliumNetworkPolicy', object);
  const inReach = (pod: SelectedPod): Match => matchIf(namespace === '' || pod.namespace === namespace);
  const specs = listOf(object.specs);
  if (specs === undefined) return [unreadable(name, inReach)];
  const given = object.spec === undefined || object.spec === null ? specs : [object.spec, ...specs];
  return given.flatMap((one) => {
    const spec = mapOf(one);
    return spec === undefined ? [unreadable(name, inReach)] : specPolicies(spec, object, name);
  });
}
