/** The fields of meta/v1 ObjectMeta that are read. */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Any object of the API. Readers have to check its other fields. */
export interface KubeObject {
  readonly metadata: ObjectMeta;
  readonly [field: string]: unknown;
}

/** A resource of the API: `{ group: 'apps', version: 'v1', plural: 'daemonsets' }`; the core group is empty. */
export interface Resource {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
}

/** The resources that this program reads or writes. */
export const RESOURCES = {
  namespaces: { group: '', version: 'v1', plural: 'namespaces' },
  secrets: { group: '', version: 'v1', plural: 'secrets' },
  serviceAccounts: { group: '', version: 'v1', plural: 'serviceaccounts' },
  services: { group: '', version: 'v1', plural: 'services' },
  configMaps: { group: '', version: 'v1', plural: 'configmaps' },
  pods: { group: '', version: 'v1', plural: 'pods' },
  nodes: { group: '', version: 'v1', plural: 'nodes' },
  events: { group: '', version: 'v1', plural: 'events' },
  deployments: { group: 'apps', version: 'v1', plural: 'deployments' },
  daemonSets: { group: 'apps', version: 'v1', plural: 'daemonsets' },
  networkPolicies: { group: 'networking.k8s.io', version: 'v1', plural: 'networkpolicies' },
  localRedirects: { group: 'cilium.io', version: 'v2', plural: 'ciliumlocalredirectpolicies' },
  disruptionBudgets: { group: 'policy', version: 'v1', plural: 'poddisruptionbudgets' },
  leases: { group: 'coordination.k8s.io', version: 'v1', plural: 'leases' },
  podResolvers: { group: 'libc-dns.dev', version: 'v1alpha1', plural: 'podresolvers' },
  imageLibcs: { group: 'libc-dns.dev', version: 'v1alpha1', plural: 'imagelibcs' },
  webhookConfigurations: {
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    plural: 'mutatingwebhookconfigurations',
  },
  mutatingPolicies: {
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    plural: 'mutatingadmissionpolicies',
  },
} as const satisfies Record<string, Resource>;

/** Returns the path of a resource, or of one object of it. Escapes names, for some come from Pods. */
export function resourcePath(resource: Resource, name?: string, namespace?: string): string {
  const { group, version, plural } = resource;
  const base = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  const inside = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${base}${inside}/${plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`;
}

/** Returns `namespace/name`, or the name alone if there is no namespace. */
export function objectKey({ metadata: { name, namespace } }: KubeObject): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

export type Labels = Readonly<Record<string, string>>;
