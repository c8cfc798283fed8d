import { eachObject, type PagesOptions } from '../../kubernetes/lists.ts';
import type { KubeObject, ObjectMeta, Resource } from '../../kubernetes/objects.ts';
import { readPod } from '../../policy/read-pod.ts';
import type { Gap } from '../report/report.ts';
import { orGap } from './gaps.ts';
import type { DnsSettings, Owner } from './scanned.ts';

/** The workload of a Pod, and the DNS settings of its template (undefined if unknown). */
interface PodOwner {
  readonly owner: Owner;
  readonly template: DnsSettings | undefined;
}

export interface Owners {
  of(pod: KubeObject): PodOwner;
}

/** An entry of metadata.ownerReferences. */
interface OwnerReference {
  readonly kind?: unknown;
  readonly name?: unknown;
  readonly uid?: unknown;
  readonly controller?: unknown;
}

interface Known {
  readonly kind: string;
  readonly name: string;
  readonly template: DnsSettings | undefined;
  /** The label value of Pods made from this version of the template; undefined if all Pods are. */
  readonly revision?: { readonly label: string; readonly value: string | undefined };
}

/** The kinds that create Pods directly. Deployments create them through ReplicaSets, CronJobs through Jobs. */
const KINDS: readonly (Resource & { readonly kind: string })[] = [
  { group: 'apps', version: 'v1', plural: 'replicasets', kind: 'ReplicaSet' },
  { group: 'apps', version: 'v1', plural: 'statefulsets', kind: 'StatefulSet' },
  { group: 'apps', version: 'v1', plural: 'daemonsets', kind: 'DaemonSet' },
  { group: 'batch', version: 'v1', plural: 'jobs', kind: 'Job' },
];

function controllerOf({ metadata }: KubeObject): { kind: string; name: string; uid: string } | undefined {
  const { ownerReferences } = metadata as ObjectMeta & { readonly ownerReferences?: unknown };
  const references = Array.isArray(ownerReferences) ? (ownerReferences as (OwnerReference | null)[]) : [];
  const found = references.find((reference) => reference?.controller === true);
  if (typeof found?.kind !== 'string' || typeof found.name !== 'string') return undefined;
  return { kind: found.kind, name: found.name, uid: typeof found.uid === 'string' ? found.uid : '' };
}

/** Returns a reader of templates' DNS settings that keeps equal settings once: most workloads have none. */
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
      // A malformed template creates no Pods.
      return undefined;
    }
  };
}

/**
 * During a roll-out of a StatefulSet or a DaemonSet some of its Pods were made from an older template. The template of a
 * ReplicaSet or a Job never changes.
 */
function revisionOf(kind: string, { metadata, status }: KubeObject): Known['revision'] {
  if (kind === 'StatefulSet') {
    const { updateRevision } = (status ?? {}) as { updateRevision?: unknown };
    const value = typeof updateRevision === 'string' ? updateRevision : undefined;
    return { label: 'controller-revision-hash', value };
  }
  if (kind !== 'DaemonSet') return undefined;
  // pkg/controller/daemon still writes this deprecated annotation and its label, for extensions/v1beta1.
  const value = metadata.annotations?.['deprecated.daemonset.template.generation'];
  return { label: 'pod-template-generation', value };
}

/** Guesses the Deployment of a ReplicaSet that could not be read: `<deployment>-<pod-template-hash>`. */
function guessDeployment(pod: KubeObject, name: string): { kind: string; name: string } {
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
  return (
    known.get(uid) ?? { ...(kind === 'ReplicaSet' ? guessDeployment(pod, name) : { kind, name }), template: undefined }
  );
}

function isOfRevision({ metadata }: KubeObject, revision: Known['revision']): boolean {
  if (revision === undefined) return true;
  return revision.value !== undefined && metadata.labels?.[revision.label] === revision.value;
}

/** Reads the owners of Pods in a namespace, or in all if `base` names none. What cannot be read becomes a gap. */
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
      return { owner, template: isOfRevision(pod, revision) ? template : undefined };
    },
  };
}
