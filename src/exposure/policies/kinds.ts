import { readAdminPolicy } from './admin.ts';
import { readCalicoPolicy } from './calico.ts';
import { readCiliumPolicy } from './cilium.ts';
import { mapOf } from './match.ts';
import {
  type EgressPolicy,
  policyName,
  type PolicyObject,
  readNetworkPolicy,
  unreadable,
} from '../network-policies.ts';

/** A kind of policy, and how it is read. */
export interface PolicyKind {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  /** False if its objects are cluster-wide. */
  readonly namespaced: boolean;
  readonly read: (object: PolicyObject) => readonly EgressPolicy[];
}

const CALICO = { version: 'v1', read: readCalicoPolicy } as const;
const CILIUM = { group: 'cilium.io', version: 'v2', read: readCiliumPolicy } as const;
const ADMIN = { group: 'policy.networking.k8s.io', namespaced: false } as const;

/** The kind that every cluster has. */
export const NETWORK_POLICIES: PolicyKind = {
  group: 'networking.k8s.io',
  version: 'v1',
  plural: 'networkpolicies',
  kind: 'NetworkPolicy',
  namespaced: true,
  read: readNetworkPolicy,
};

/** Kinds that a cluster has only if they are installed. */
const FOREIGN_KINDS: readonly PolicyKind[] = [
  { ...CILIUM, plural: 'ciliumnetworkpolicies', kind: 'CiliumNetworkPolicy', namespaced: true },
  { ...CILIUM, plural: 'ciliumclusterwidenetworkpolicies', kind: 'CiliumClusterwideNetworkPolicy', namespaced: false },
  { ...CALICO, group: 'crd.projectcalico.org', plural: 'networkpolicies', kind: 'NetworkPolicy', namespaced: true },
  {
    ...CALICO,
    group: 'crd.projectcalico.org',
    plural: 'globalnetworkpolicies',
    kind: 'GlobalNetworkPolicy',
    namespaced: false,
  },
  {
    ...CALICO,
    group: 'projectcalico.org',
    version: 'v3',
    plural: 'networkpolicies',
    kind: 'NetworkPolicy',
    namespaced: true,
  },
  {
    ...CALICO,
    group: 'projectcalico.org',
    version: 'v3',
    plural: 'globalnetworkpolicies',
    kind: 'GlobalNetworkPolicy',
    namespaced: false,
  },
  {
    ...ADMIN,
    version: 'v1alpha1',
    plural: 'adminnetworkpolicies',
    kind: 'AdminNetworkPolicy',
    read: (object) => readAdminPolicy(object, 'AdminNetworkPolicy'),
  },
  {
    ...ADMIN,
    version: 'v1alpha1',
    plural: 'baselineadminnetworkpolicies',
    kind: 'BaselineAdminNetworkPolicy',
    read: (object) => readAdminPolicy(object, 'BaselineAdminNetworkPolicy'),
  },
  {
    ...ADMIN,
    version: 'v1alpha2',
    plural: 'clusternetworkpolicies',
    kind: 'ClusterNetworkPolicy',
    read: (object) => readAdminPolicy(object, 'ClusterNetworkPolicy'),
  },
];

export const POLICY_KINDS: readonly PolicyKind[] = [NETWORK_POLICIES, ...FOREIGN_KINDS];

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/** The result of reading an object of a policy's kind. */
export interface ReadPolicy {
  readonly kind: PolicyKind;
  /** Empty if the policy is cluster-wide. */
  readonly namespace: string;
  /** Empty if the object is not about egress. */
  readonly policies: readonly EgressPolicy[];
}

/** Reads an object of a known kind. `namespace` is the default if its metadata has none. */
export function readObject(kind: PolicyKind, object: Readonly<Record<string, unknown>>, namespace = ''): ReadPolicy {
  const metadata = mapOf(object['metadata']) ?? {};
  const own = kind.namespaced ? text(metadata['namespace']) || namespace : '';
  const { spec, specs } = object;
  const named = { name: text(metadata['name']), namespace: own };
  return { kind, namespace: own, policies: kind.read({ ...named, spec, ...(specs !== undefined && { specs }) }) };
}

/** Returns a kind of policies that cannot be read. Whether they are cluster-wide is unknown without a namespace. */
const unknownKind = (group: string, kind: string): PolicyKind => ({
  group,
  version: '',
  plural: '',
  kind,
  namespaced: true,
  read: (object) => [
    unreadable(policyName(kind, object), (pod) =>
      object.namespace === '' || object.namespace === pod.namespace ? 'maybe' : 'no',
    ),
  ],
});

/**
 * Reads an object; undefined if it is no policy. `namespace` is the default if its metadata has none. A NetworkPolicy of another API
 * group, as Antrea's, is uncertain.
 */
export function readPolicy(object: unknown, namespace = ''): ReadPolicy | undefined {
  const { apiVersion, kind, ...fields } = mapOf(object) ?? {};
  const [group = '', version] = text(apiVersion).split('/');
  if (text(kind).endsWith('NetworkPolicy') && !POLICY_KINDS.some((one) => one.group === group)) {
    return readObject(unknownKind(group, text(kind)), fields);
  }
  // An unknown version of a known kind is read like the known one: new parts are uncertain.
  const isSame = (one: PolicyKind): boolean => one.group === group && one.kind === kind;
  const found = POLICY_KINDS.find((one) => isSame(one) && one.version === version) ?? POLICY_KINDS.find(isSame);
  return found && readObject(found, fields, namespace);
}

/** Policies by namespace. */
export interface PolicySet {
  add(read: ReadPolicy): void;
  /** Returns the policies that may select Pods of a namespace: its own and the cluster-wide ones. */
  of(namespace: string): readonly EgressPolicy[];
  /** The namespaces that have policies about egress; an empty name if any are cluster-wide. */
  readonly namespaces: readonly string[];
  /** Whether Cilium may enforce them. */
  readonly cilium: boolean;
}

/** `cilium`: Cilium may enforce the policies, even if none is of its own kinds. */
export function createPolicySet({ cilium = false } = {}): PolicySet {
  const places = new Map<string, EgressPolicy[]>();
  let isCilium = cilium;
  return {
    add({ kind, namespace, policies }) {
      isCilium ||= kind.group === 'cilium.io';
      const place = places.get(namespace) ?? [];
      if (policies.length > 0) places.set(namespace, place);
      place.push(...policies);
    },
    of: (namespace) => [...(places.get('') ?? []), ...(namespace === '' ? [] : (places.get(namespace) ?? []))],
    get namespaces() {
      return [...places.keys()];
    },
    get cilium() {
      return isCilium;
    },
  };
}
