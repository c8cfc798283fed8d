import { eachObject, type PagesOptions } from '../../kubernetes/lists.ts';
import type { KubeObject, ObjectMeta, Resource } from '../../kubernetes/objects.ts';
import { readPod } from '../../policy/read-pod.ts';
import type { Gap } from '../report/report.ts';
import { orGap } from './gaps.ts';
import type { DnsSettings, Owner } from './scanned.ts';

/** The workload of a Pod, and what its template says of DNS. */
interface PodOwner {
  readonly owner: Owner;
  readonly template: DnsSettings | undefined;
}

export interface Owners {
  of(pod: KubeObject): PodOwner;
}

interface Reference {
  readonly kind?: unknown;
  readonly name?: unknown;
  readonly uid?: unknown;
  readonly controller?: unknown;
}

interface Known {
  readonly kind: string;
  readonly name: string;
  readonly template: DnsSettings | undefined;
  /** The label that Pods of this very template have; undefined: all have. */
  readonly revision?: { readonly label: string; readonly value: string | undefined };
}

/** What makes Pods itself; a Deployment's Pods are made by its ReplicaSets, a CronJob's by its Jobs. */
const KINDS: readonly (Resource & { readonly kind: string })[] = [
  { group: 'apps', version: 'v1', plural: 'replicasets', kind: 'ReplicaSet' },
  { group: 'apps', version: 'v1', plural: 'statefulsets', kind: 'StatefulSet' },
  { group: 'apps', version: 'v1', plural: 'daemonsets', kind: 'DaemonSet' },
  { group: 'batch', version: 'v1', plural: 'jobs', kind: 'Job' },
];

function controllerOf({ metadata }: KubeObject): { kind: string; name: string; uid: string } | undefined {
  const { ownerReferences } = metadata as ObjectMeta & { readonly ownerReferences?: unknown };
  const references = Array.isArray(ownerReferences) ? (ownerReferences as (Reference | null)[]) : [];
  const found = references.find((reference) => reference?.controller === true);
  if (typeof found?.kind !== 'string' || typeof found.name !== 'string') return undefined;
  return { kind: found.kind, name: found.name, uid: typeof found.uid === 'string' ? found.uid : '' };
}

/** DNS settings of templates, each kept once: most workloads have none. */
function createTemplates(): (object: KubeObject) => DnsSettings | undefined {
  const known = new Map<string, DnsSettings>();
  return ({ spec }) => {
    try {
      const { dnsPolicy, dnsConfig } = readPod((spec as { template?: unknown } | null | undefined)?.template);
      const key = JSON.stringify([dnsPolicy, dnsConfig]);
      const settings = known.get(key) ?? { dnsPolicy, dnsConfig };
      known.set(key, settings);
      return settings;
    } catch {
      // A template of wrong types makes no Pods.
      return undefined;
    }
  };
}

/**
 * While a StatefulSet or a DaemonSet is rolled out, some of its Pods are of an older template. A ReplicaSet's and a Job's never
 * changes.
 */
function revisionOf(kind: string, { metadata, status }: KubeObject): Known['revision'] {
  if (kind === 'StatefulSet') {
    const { updateRevision } = (status ?? {}) as { updateRevision?: unknown };
    const value = typeof updateRevision === 'string' ? updateRevision : undefined;
    return { label: 'controller-revision-hash', value };
  }
  if (kind !== 'DaemonSet') return undefined;
  // pkg/controller/daemon: both are written for as long as extensions/v1beta1 has to be understood.
  const value = metadata.annotations?.['deprecated.daemonset.template.generation'];
  return { label: 'pod-template-generation', value };
}

/** The Deployment of a ReplicaSet that was not read: its name is the Deployment's with the template's hash. */
function guessed(pod: KubeObject, name: string): { kind: string; name: string } {
  const hash = pod.metadata.labels?.['pod-template-hash'];
  const ending = `-${hash}`;
  if (hash === undefined || !name.endsWith(ending)) return { kind: 'ReplicaSet', name };
  return { kind: 'Deployment', name: name.slice(0, -ending.length) };
}

function ownerOf(pod: KubeObject, known: ReadonlyMap<string, Known>): Known {
  const controller = controllerOf(pod);
  // Static Pods are owned by their Node.
  if (controller === undefined || controller.kind === 'Node') {
    return { kind: 'Pod', name: pod.metadata.name, template: undefined };
  }
  const { kind, name, uid } = controller;
  return known.get(uid) ?? { ...(kind === 'ReplicaSet' ? guessed(pod, name) : { kind, name }), template: undefined };
}

function isOf({ metadata }: KubeObject, revision: Known['revision']): boolean {
  if (revision === undefined) return true;
  return revision.value !== undefined && metadata.labels?.[revision.label] === revision.value;
}

/** Reads who makes Pods in a namespace (absent: in all), as far as it may be read. */
export async function readOwners(base: Omit<PagesOptions, 'resource'>, gaps: Gap[]): Promise<Owners> {
  const known = new Map<string, Known>();
  const templateOf = createTemplates();
  const keep = (kind: string) => (object: KubeObject) => {
    const controller = controllerOf(object);
    const { kind: top, name } = controller ?? { kind, name: object.metadata.name };
    const { uid } = object.metadata;
    if (uid === undefined) return;
    const revision = revisionOf(kind, object);
    known.set(uid, { kind: top, name, template: templateOf(object), ...(revision !== undefined && { revision }) });
  };
  for (const { kind, ...resource } of KINDS) {
    const what = `${resource.plural}.${resource.group}`;
    const grant = `list ${what}: without it, owners are guessed by name, and settings injected by others are not seen`;
    await orGap(gaps, what, grant, async () => await eachObject({ ...base, resource }, () => keep(kind)));
  }
  return {
    of(pod) {
      const { kind, name, template, revision } = ownerOf(pod, known);
      const owner = { kind, namespace: pod.metadata.namespace ?? '', name };
      return { owner, template: isOf(pod, revision) ? template : undefined };
    },
  };
}
