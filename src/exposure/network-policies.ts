type Json = Readonly<Record<string, unknown>>;
type Labels = Readonly<Record<string, string>>;

const asObject = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};

const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

function matchesExpression(labels: Labels, expression: Json): boolean {
  const value = labels[String(expression['key'])];
  const values = asList(expression['values']);
  switch (expression['operator']) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    default:
      return false;
  }
}

/** meta/v1 LabelSelector: all of it has to hold; an empty one selects everything. */
function selects(selector: Json, labels: Labels): boolean {
  const pairs = Object.entries(asObject(selector['matchLabels']));
  const expressions = asList(selector['matchExpressions']).map(asObject);
  return (
    pairs.every(([key, value]) => labels[key] === value) && expressions.every((one) => matchesExpression(labels, one))
  );
}

const DNS_PORT = 53;

/** networking.k8s.io/v1 NetworkPolicyPort: no protocol is TCP, no port is all; a named port is the target's own. */
function allowsPort(port: Json, protocol: 'TCP' | 'UDP'): boolean {
  if ((port['protocol'] ?? 'TCP') !== protocol) return false;
  const number = port['port'];
  if (number === undefined || number === null) return true;
  if (typeof number === 'string') return /dns/.test(number) && /tcp/.test(number) === (protocol === 'TCP');
  const end = port['endPort'];
  return typeof end === 'number' ? Number(number) <= DNS_PORT && DNS_PORT <= end : number === DNS_PORT;
}

/** Whether any egress rule lets DNS out over a protocol, wherever to. */
function allows(spec: Json, protocol: 'TCP' | 'UDP'): boolean {
  return asList(spec['egress']).some((rule) => {
    const ports = asList(asObject(rule)['ports']);
    return ports.length === 0 || ports.some((port) => allowsPort(asObject(port), protocol));
  });
}

/** networking.k8s.io/v1: without policyTypes, a policy with egress rules is about egress. */
function isAboutEgress(spec: Json): boolean {
  const types = asList(spec['policyTypes']);
  return types.length === 0 ? spec['egress'] !== undefined : types.includes('Egress');
}

/**
 * The first NetworkPolicy (`namespace/name`) of those that let the Pods out to port 53 over UDP where none does over TCP;
 * undefined: there is none. Policies add up: what one allows, all do.
 */
export function tcpBlockedBy(
  policies: readonly ScannedPolicy[],
  namespace: string,
  labels: Labels,
): string | undefined {
  const about = policies.filter((policy) => {
    const spec = asObject(policy.spec);
    return policy.namespace === namespace && isAboutEgress(spec) && selects(asObject(spec['podSelector']), labels);
  });
  if (about.some(({ spec }) => allows(asObject(spec), 'TCP'))) return undefined;
  const udp = about.find(({ spec }) => allows(asObject(spec), 'UDP'));
  return udp && `${udp.namespace}/${udp.name}`;
}

/** networking.k8s.io/v1 NetworkPolicy, as the API has it: its reader checks it. */
export interface ScannedPolicy {
  readonly namespace: string;
  readonly name: string;
  readonly spec: unknown;
}
