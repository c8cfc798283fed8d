import { every, listOf, mapOf, type Match, selectorOf, some } from './match.ts';
import {
  type Action,
  blockMatcher,
  type EgressPolicy,
  type EgressRule,
  isPort,
  policyName,
  type PolicyObject,
  type Protocol,
  type SelectedPod,
  unreadable,
} from '../network-policies.ts';

type Matcher = EgressRule['matches'];

const UNREADABLE: Matcher = () => 'maybe';

const ACTIONS: readonly Action[] = ['Allow', 'Deny', 'Pass'];

/** ClusterNetworkPolicy calls Allow Accept. */
const actionOf = (raw: unknown): Action | undefined =>
  raw === 'Accept' ? 'Allow' : ACTIONS.find((action) => action === raw);

/** Reads a subject, or the Pods of a peer: either whole namespaces or Pods in them. */
function podsMatcher(raw: unknown): (pod: SelectedPod) => Match {
  const { namespaces, pods } = mapOf(raw) ?? {};
  if (namespaces !== undefined) {
    const matches = selectorOf(namespaces);
    return ({ namespaceLabels }) => matches(namespaceLabels);
  }
  const { namespaceSelector, podSelector } = mapOf(pods) ?? {};
  const [byNamespace, byPod] = [selectorOf(namespaceSelector), selectorOf(podSelector)];
  return ({ namespaceLabels, labels }) => every([byNamespace(namespaceLabels), byPod(labels)]);
}

/** Reads a peer: namespaces, pods, nodes or networks. Others (domainNames) are uncertain. */
function peerMatcher(raw: unknown): Matcher {
  const peer = mapOf(raw) ?? {};
  if ('namespaces' in peer || 'pods' in peer) {
    const matches = podsMatcher(peer);
    return ({ pod }) => (pod === undefined ? 'no' : matches(pod));
  }
  if ('nodes' in peer) return ({ pod }) => (pod === undefined ? 'maybe' : 'no');
  const networks = listOf(peer['networks']);
  if (networks === undefined || networks.length === 0) return UNREADABLE;
  // Networks are meant for destinations outside the cluster: inside, plug-ins differ.
  const blocks = networks.map((cidr) => blockMatcher(cidr));
  return (endpoint) => (blocks.every((matches) => matches(endpoint) === 'no') ? 'no' : 'maybe');
}

const byPort =
  (port: unknown, end?: unknown): Matcher =>
  (endpoint, protocol) =>
    isPort(endpoint, protocol, port, end);

function destinationPort(raw: unknown): Matcher {
  const given = mapOf(raw);
  if (given === undefined) return () => 'yes';
  const { start, end } = mapOf(given['range']) ?? {};
  return given['range'] === undefined ? byPort(given['number']) : byPort(start, end);
}

/** Reads an AdminNetworkPolicyPort (v1alpha1) or ClusterNetworkPolicyProtocol (v1alpha2). */
function portMatcher(raw: unknown): Matcher {
  const { portNumber, portRange, namedPort, destinationNamedPort, tcp, udp, sctp } = mapOf(raw) ?? {};
  const single = mapOf(portNumber);
  const range = mapOf(portRange);
  const ofProtocol = (given: unknown, matches: Matcher): Matcher => {
    return (endpoint, protocol) => ((given ?? 'TCP') === protocol ? matches(endpoint, protocol) : 'no');
  };
  if (single !== undefined) return ofProtocol(single['protocol'], byPort(single['port']));
  if (range !== undefined) return ofProtocol(range['protocol'], byPort(range['start'], range['end']));
  const named = namedPort ?? destinationNamedPort;
  if (named !== undefined) return byPort(named);
  for (const [given, protocol] of [
    [tcp, 'TCP'],
    [udp, 'UDP'],
    [sctp, 'SCTP'],
  ] as const) {
    if (mapOf(given) !== undefined) return ofProtocol(protocol, destinationPort(mapOf(given)?.['destinationPort']));
  }
  return UNREADABLE;
}

function ruleOf(raw: unknown): EgressRule[] {
  const rule = mapOf(raw) ?? {};
  const action = actionOf(rule['action']);
  const peers = listOf(rule['to'])?.map(peerMatcher);
  const ports = listOf(rule['ports'] ?? rule['protocols'])?.map(portMatcher);
  if (action === undefined || peers === undefined || peers.length === 0 || ports === undefined) {
    return ACTIONS.map((possible) => ({ action: possible, matches: UNREADABLE }));
  }
  const each = (parts: readonly Matcher[], ...asked: Parameters<Matcher>): Match =>
    some(parts.map((matches) => matches(...asked)));
  const matches: Matcher = (endpoint, protocol: Protocol) =>
    every([each(peers, endpoint, protocol), ports.length === 0 ? 'yes' : each(ports, endpoint, protocol)]);
  return [{ action, matches }];
}

type AdminKind = 'AdminNetworkPolicy' | 'BaselineAdminNetworkPolicy' | 'ClusterNetworkPolicy';

/**
 * Reads a policy.networking.k8s.io AdminNetworkPolicy or BaselineAdminNetworkPolicy (v1alpha1), or a ClusterNetworkPolicy
 * (v1alpha2): https://network-policy-api.sigs.k8s.io/api-overview. Returns an empty list if it has no egress rules. Never throws: malformed
 * and unknown parts are uncertain.
 */
export function readAdminPolicy(object: PolicyObject, kind: AdminKind): readonly EgressPolicy[] {
  const name = policyName(kind, object);
  const spec = mapOf(object.spec);
  const selects = podsMatcher(spec?.['subject']);
  const { egress, priority, tier } = spec ?? {};
  const rules = listOf(egress);
  const isBaseline = kind === 'BaselineAdminNetworkPolicy' || tier === 'Baseline';
  const isKnown = kind === 'ClusterNetworkPolicy' ? isBaseline || tier === 'Admin' : true;
  if (spec === undefined || rules === undefined || !isKnown) return [unreadable(name, selects)];
  if (rules.length === 0) return [];
  const order = typeof priority === 'number' ? priority : 0;
  return [
    { name, tier: isBaseline ? 'baseline' : 'admin', order, selects, isolates: false, rules: rules.flatMap(ruleOf) },
  ];
}
