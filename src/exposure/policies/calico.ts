import { every, exists, hasOneOf, type LabelOf, listOf, mapOf, type Match, matchIf, not, some } from './match.ts';
import {
  type Action,
  blockMatcher,
  type EgressPolicy,
  type EgressRule,
  type Endpoint,
  isPort,
  policyName,
  type PolicyObject,
  type Protocol,
  type SelectedPod,
  unreadable,
} from '../network-policies.ts';

type Matcher = EgressRule['matches'];

const UNREADABLE: Matcher = () => 'maybe';

type Selector = (labels: LabelOf) => Match;

const KEY = String.raw`[\w./-]+`;
const TEXT = String.raw`(?:'[^']*'|"[^"]*")`;

/** The supported terms of selectors (Calico documentation, NetworkPolicy, Selectors). Others are uncertain. */
const TERMS: readonly (readonly [RegExp, (key: string, values: readonly string[]) => Selector])[] = [
  [/^all\(\)$/, () => () => 'yes'],
  [new RegExp(`^has\\((${KEY})\\)$`), (key) => (labels) => exists(labels(key))],
  [new RegExp(`^(${KEY})\\s*==\\s*(${TEXT})$`), (key, values) => (labels) => hasOneOf(labels(key), values)],
  [new RegExp(`^(${KEY})\\s*!=\\s*(${TEXT})$`), (key, values) => (labels) => not(hasOneOf(labels(key), values))],
  [new RegExp(`^(${KEY})\\s+in\\s*\\{([^{}]*)\\}$`), (key, values) => (labels) => hasOneOf(labels(key), values)],
  [
    new RegExp(`^(${KEY})\\s+not\\s+in\\s*\\{([^{}]*)\\}$`),
    (key, values) => (labels) => not(hasOneOf(labels(key), values)),
  ],
];

/** Characters. Longer selectors are uncertain. */
const LONGEST = 1000;

const unquoted = (text: string): string[] => [...text.matchAll(new RegExp(TEXT, 'g'))].map(([one]) => one.slice(1, -1));

function termOf(text: string): Selector {
  const term = text.trim();
  if (term.startsWith('!')) {
    const inner = termOf(term.slice(1));
    return (labels) => not(inner(labels));
  }
  for (const [pattern, make] of TERMS) {
    const [found, key = '', values = ''] = pattern.exec(term) ?? [];
    if (found !== undefined) return make(key, unquoted(values));
  }
  return () => 'maybe';
}

const CALL = /\b(?:all|global)\(\)|\bhas\([^()]*\)/g;

/** Reports whether a selector has groups in parentheses, or a text that cannot be told from what is around it. */
function isNested(text: string): boolean {
  const bare = text.replaceAll(new RegExp(TEXT, 'g'), ' ').replaceAll(CALL, ' ');
  return /[()'"]/.test(bare) || unquoted(text).some((one) => /&&|\|\|/.test(one));
}

/** Reads a selector without parentheses: terms, `!` before them, `&&` and `||` between them. An empty one selects all. */
function selectorOf(text: unknown): Selector {
  if (text === undefined || text === null || text === '') return () => 'yes';
  if (typeof text !== 'string' || text.length > LONGEST || isNested(text)) return () => 'maybe';
  const alternatives = text.split('||').map((one) => one.split('&&').map(termOf));
  return (labels) => some(alternatives.map((terms) => every(terms.map((term) => term(labels)))));
}

const podLabels =
  ({ labels, namespace }: SelectedPod): LabelOf =>
  (key) => {
    if (key === 'projectcalico.org/namespace') return namespace;
    if (key === 'projectcalico.org/orchestrator') return 'k8s';
    return key.startsWith('projectcalico.org/') ? undefined : labels(key);
  };

const namespaceLabelsOf =
  ({ namespaceLabels, namespace }: SelectedPod): LabelOf =>
  (key) =>
    key === 'projectcalico.org/name' ? namespace : namespaceLabels(key);

/** Matches a number, a range `1000:2000`, or the name of a container's port. */
function portMatch(port: unknown, ...[endpoint, protocol]: Parameters<Matcher>): Match {
  if (typeof port !== 'string') return isPort(endpoint, protocol, port);
  const [, start, end = start] = /^(\d+)(?::(\d+))?$/.exec(port) ?? [];
  return start === undefined
    ? isPort(endpoint, protocol, port)
    : isPort(endpoint, protocol, Number(start), Number(end));
}

/** Reads the selectors of a destination. Without a namespaceSelector a namespaced policy means its own namespace. */
function podsMatcher(destination: Readonly<Record<string, unknown>>, namespace: string): Matcher {
  const { selector, namespaceSelector } = destination;
  const [byPod, byNamespace] = [selectorOf(selector), selectorOf(namespaceSelector)];
  const here = namespace !== '' && !namespaceSelector;
  return ({ pod }) => {
    // Selectors also match NetworkSets, which are addresses with labels.
    if (pod === undefined) return 'maybe';
    const inNamespace = here ? matchIf(pod.namespace === namespace) : byNamespace(namespaceLabelsOf(pod));
    return every([inNamespace, byPod(podLabels(pod))]);
  };
}

const READ = ['nets', 'notNets', 'selector', 'namespaceSelector', 'ports', 'services'];

/** Reads the EntityRule of a destination: all of its fields must match. */
function destinationOf(raw: unknown, namespace: string): Matcher {
  const destination = mapOf(raw ?? {});
  const ports = listOf(destination?.['ports']);
  const [nets, notNets] = ['nets', 'notNets'].map((field) =>
    listOf(destination?.[field])?.map((cidr) => blockMatcher(cidr)),
  );
  if (destination === undefined || nets === undefined || notNets === undefined || ports === undefined)
    return UNREADABLE;
  const service = mapOf(destination['services']);
  const pods = podsMatcher(destination, namespace);
  const bySelector = Boolean(destination['selector'] || destination['namespaceSelector']);
  const unread = Object.entries(destination).some(([field, value]) => !READ.includes(field) && value);
  return (endpoint, protocol) => {
    const inAny = (blocks: typeof nets): Match => some(blocks.map((matches) => matches(endpoint)));
    const parts: Match[] = [unread ? 'maybe' : 'yes'];
    if (nets.length > 0) parts.push(inAny(nets));
    if (notNets.length > 0) parts.push(not(inAny(notNets)));
    if (ports.length > 0) parts.push(some(ports.map((port) => portMatch(port, endpoint, protocol))));
    if (bySelector) parts.push(pods(endpoint, protocol));
    if (service !== undefined) parts.push(isService(service, endpoint));
    return every(parts);
  };
}

const isService = ({ name, namespace }: Readonly<Record<string, unknown>>, endpoint: Endpoint): Match =>
  typeof name === 'string' && typeof namespace === 'string' && endpoint.service !== undefined
    ? matchIf(endpoint.service.name === `${namespace}/${name}`)
    : 'maybe';

/** Compares a protocol's name or IANA number. */
function isProtocol(given: unknown, protocol: Protocol): Match {
  if (typeof given === 'number') return matchIf(given === (protocol === 'TCP' ? 6 : 17));
  return typeof given === 'string' ? matchIf(given.toUpperCase() === protocol) : 'maybe';
}

const ACTIONS: readonly Action[] = ['Allow', 'Deny', 'Pass'];

function ruleOf(raw: unknown, namespace: string): EgressRule[] {
  const rule = mapOf(raw) ?? {};
  if (rule['action'] === 'Log') return [];
  const action = ACTIONS.find((one) => one === rule['action']);
  if (action === undefined) return ACTIONS.map((possible) => ({ action: possible, matches: UNREADABLE }));
  const { protocol: wanted, notProtocol, ipVersion, source, destination, icmp, notICMP, http } = rule;
  const isUncertain = Object.keys(mapOf(source) ?? {}).length > 0 || Boolean(icmp || notICMP || http);
  const leads = destinationOf(destination, namespace);
  const matches: Matcher = (endpoint, protocol) => {
    if (typeof ipVersion === 'number' && ipVersion !== endpoint.address.family) return 'no';
    return every([
      isUncertain ? 'maybe' : 'yes',
      wanted === undefined ? 'yes' : isProtocol(wanted, protocol),
      notProtocol === undefined ? 'yes' : not(isProtocol(notProtocol, protocol)),
      leads(endpoint, protocol),
    ]);
  };
  return [{ action, matches }];
}

/** Without `types`, a policy with egress rules is about egress, and a policy without rules is about ingress. */
function isAboutEgress(types: readonly unknown[], egress: readonly unknown[]): boolean {
  return types.length === 0 ? egress.length > 0 : types.includes('Egress');
}

function subjectOf(spec: Readonly<Record<string, unknown>>, namespace: string): (pod: SelectedPod) => Match {
  const [byPod, byNamespace] = [selectorOf(spec['selector']), selectorOf(spec['namespaceSelector'])];
  const account: Match = spec['serviceAccountSelector'] ? 'maybe' : 'yes';
  return (pod) => {
    if (namespace !== '' && pod.namespace !== namespace) return 'no';
    return every([byPod(podLabels(pod)), byNamespace(namespaceLabelsOf(pod)), account]);
  };
}

/**
 * Reads a Calico NetworkPolicy or, without a namespace, a GlobalNetworkPolicy (projectcalico.org/v3 and what Calico stores it as,
 * crd.projectcalico.org/v1): https://docs.tigera.io/calico/latest/reference/resources/networkpolicy. Returns an empty
 * list if it is not about egress. Never throws: other tiers, malformed and unknown parts are uncertain.
 */
export function readCalicoPolicy(object: PolicyObject): readonly EgressPolicy[] {
  const name = policyName(object.namespace === '' ? 'GlobalNetworkPolicy' : 'Calico NetworkPolicy', object);
  const spec = mapOf(object.spec ?? {}) ?? { unread: true };
  const selects = subjectOf(spec, object.namespace);
  const [types, egress] = [listOf(spec['types']), listOf(spec['egress'])];
  if ('unread' in spec || types === undefined || egress === undefined) return [unreadable(name, selects)];
  // These apply to the interfaces of nodes.
  if (spec['preDNAT'] || spec['doNotTrack'] || !isAboutEgress(types, egress)) return [];
  const { tier = 'default', order } = spec;
  if (tier !== 'default') return [unreadable(name, selects)];
  return [
    {
      name,
      tier: 'default',
      order: typeof order === 'number' ? order : Number.POSITIVE_INFINITY,
      selects,
      isolates: true,
      rules: egress.flatMap((rule) => ruleOf(rule, object.namespace)),
    },
  ];
}
