import { hash } from 'node:crypto';

import type { KubeClient } from '../kubernetes/client.ts';
import { eachObject } from '../kubernetes/lists.ts';
import { type KubeObject, objectKey, type Resource, resourcePath } from '../kubernetes/objects.ts';
import { createReflector } from '../kubernetes/reflector.ts';
import { type Reporter, silentReporter, type Trouble } from '../telemetry/reporter.ts';
import type { Backoff } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';

/** A new or changed Pod template of a workload. */
export interface WorkloadTemplate {
  readonly namespace: string;
  readonly template: unknown;
  /** Kind, namespace and name of the workload. */
  readonly workload: string;
  /** Pods that it asked for when its template was read; 1 if it does not say. */
  readonly pods: number;
  /** Reports whether the workload still exists with the same template. */
  readonly isCurrent: () => boolean;
}

interface WorkloadWatchOptions {
  readonly client: KubeClient;
  readonly kind: WorkloadKind;
  /** Called for each template that is new or has changed. */
  readonly onTemplate: (template: WorkloadTemplate) => void;
  readonly reporter?: Reporter;
  readonly clock: Pick<Clock, 'now'>;
  readonly backoff?: Backoff;
}

export interface WorkloadWatch {
  /** Calls `onTemplate` again for all workloads of a namespace. Rejects with `KubeError`, or with the signal's reason. */
  relist(namespace: string, signal: AbortSignal): Promise<void>;
  /** Known workloads. */
  readonly size: number;
  readonly synced: boolean;
  close(): Promise<void>;
}

/** A long wait, for nothing depends on it: a kind that is not installed costs a request every five minutes. */
const BACKOFF = { first: 1000, most: 300_000 };

/** Small pages, for parsing one blocks the event loop: some 6 ms for 100 objects of 5 KB. */
const PAGE = 100;

/** Returns 31 bits, which V8 stores without an object of its own. Two templates of one workload rarely share a hash. */
function hashOf(templates: readonly unknown[]): number {
  return Number.parseInt(hash('sha1', JSON.stringify(templates)).slice(0, 8), 16) >>> 1;
}

const selection = ({ fieldSelector }: WorkloadKind): Record<string, string> =>
  fieldSelector === undefined ? {} : { fieldSelector };

/** Reports a kind that cannot be watched once for each change of the reason: a kind may be missing for ever. */
function troubleOf(kind: string, { log, metrics, trouble }: Reporter): Trouble {
  const unwatched = trouble(`workloads of kind ${kind} cannot be watched: their images are not looked up ahead`);
  let state: string | undefined;
  return {
    lost(error) {
      if (error.code === state) return;
      state = error.code;
      metrics.cluster.apiFailed('workloads', error.code);
      // Not a failure: a kind may be configured before it is installed.
      if (error.code === 'not-found') log.info({ kind }, 'the API server has no such workloads (yet)');
      else unwatched.lost(error);
    },
    recovered() {
      state = undefined;
      unwatched.recovered();
    },
  };
}

/** Watches the workloads of one kind. Keeps only a hash of each one's templates, to tell a change from a new status. */
export function watchWorkloads(options: WorkloadWatchOptions): WorkloadWatch {
  const { client, kind, onTemplate, clock } = options;
  /** Hashes of listed workloads that the reflector does not hold until its list is complete. */
  const listed = new Map<string, number>();
  const hashOfKnown = (key: string): number | undefined => listed.get(key) ?? reflector.items.get(key);
  const emit = (object: KubeObject, templates: readonly unknown[], emitted: number): void => {
    const key = objectKey(object);
    const namespace = object.metadata.namespace ?? '';
    const of = { namespace, workload: `${kindName(kind)}/${key}`, pods: podsOf(object) };
    for (const template of templates) onTemplate({ ...of, template, isCurrent: () => hashOfKnown(key) === emitted });
  };
  const reflector = createReflector<number>({
    client,
    clock,
    path: resourcePath(kind),
    query: selection(kind),
    pageSize: PAGE,
    backoff: options.backoff ?? BACKOFF,
    trouble: troubleOf(kindName(kind), options.reporter ?? silentReporter),
    onSynced: () => listed.clear(),
    // Emits templates one by one as they are read: waiting for the complete list would hold all templates of the cluster.
    keep(object) {
      if (makesNoPods(object)) return undefined;
      const templates = podTemplatesOf(object, kind);
      const current = hashOf(templates);
      const key = objectKey(object);
      if (hashOfKnown(key) === current) return current;
      listed.set(key, current);
      emit(object, templates, current);
      return current;
    },
    onChange: (key) => listed.delete(key),
  });
  return {
    relist: async (namespace, signal) => {
      const pages = { client, resource: kind, namespace, query: selection(kind), pageSize: PAGE, signal };
      await eachObject(pages, () => (object) => {
        if (makesNoPods(object)) return;
        const templates = podTemplatesOf(object, kind);
        emit(object, templates, hashOf(templates));
      });
    },
    get size() {
      return reflector.items.size;
    },
    get synced() {
      return reflector.synced;
    },
    close: () => reflector.close(),
  };
}

/** A kind of workload, and the path of its Pod templates. */
export interface WorkloadKind extends Resource {
  /** Field names from the object's root, with dots between; `*` for every item: `spec.replicatedJobs.*.template.spec.template`. */
  readonly template: string;
  /** Filters out, on the server, workloads that no longer create Pods. */
  readonly fieldSelector?: string;
}

/**
 * The kinds that are always watched. ReplicaSets are not: they have the templates of their Deployments. The API server can
 * select Jobs only by success (pkg/apis/batch/v1/conversion.go).
 */
export const WORKLOAD_KINDS: readonly WorkloadKind[] = [
  { group: 'apps', version: 'v1', plural: 'deployments', template: 'spec.template' },
  { group: 'apps', version: 'v1', plural: 'statefulsets', template: 'spec.template' },
  { group: 'apps', version: 'v1', plural: 'daemonsets', template: 'spec.template' },
  { group: 'batch', version: 'v1', plural: 'cronjobs', template: 'spec.jobTemplate.spec.template' },
  { group: 'batch', version: 'v1', plural: 'jobs', template: 'spec.template', fieldSelector: 'status.successful=0' },
];

/** Most templates of one object that are read. */
const MOST_TEMPLATES = 32;

const LONGEST_PATH = 16;

/** Returns `apps/deployments`, or `namespaces` for the core group. */
export function kindName({ group, plural }: Resource): string {
  return group === '' ? plural : `${group}/${plural}`;
}

function children(node: unknown, key: string): readonly unknown[] {
  if (typeof node !== 'object' || node === null) return [];
  if (key === '*') return Object.values(node).slice(0, MOST_TEMPLATES);
  return Object.hasOwn(node, key) ? [(node as Record<string, unknown>)[key]] : [];
}

/** Returns the Pod templates of a workload; empty if the path leads nowhere. */
export function podTemplatesOf(workload: KubeObject, { template }: Pick<WorkloadKind, 'template'>): readonly unknown[] {
  let nodes: readonly unknown[] = [workload];
  for (const key of template.split('.').slice(0, LONGEST_PATH)) {
    nodes = nodes.flatMap((node) => children(node, key)).slice(0, MOST_TEMPLATES);
  }
  return nodes.filter((node) => typeof node === 'object' && node !== null);
}

/** Returns the Pods that a workload asks for: of a Deployment, StatefulSet, Job or DaemonSet. 1 for others. */
export function podsOf({ spec, status }: KubeObject): number {
  const { replicas, parallelism } = (spec ?? {}) as Record<string, unknown>;
  const { desiredNumberScheduled } = (status ?? {}) as Record<string, unknown>;
  const pods = replicas ?? parallelism ?? desiredNumberScheduled;
  return typeof pods === 'number' && pods >= 0 ? pods : 1;
}

interface WorkloadState {
  readonly metadata: {
    readonly deletionTimestamp?: unknown;
    readonly ownerReferences?: readonly ({ readonly kind?: unknown; readonly controller?: unknown } | null)[];
  };
  readonly status?: {
    readonly conditions?: readonly ({ readonly type?: unknown; readonly status?: unknown } | null)[];
  } | null;
}

const arrayOf = <T extends readonly unknown[]>(value: T | undefined): T | [] => (Array.isArray(value) ? value : []);

/** Reports whether a workload no longer creates Pods, or is a CronJob's Job: the CronJob has the same template. */
export function makesNoPods(workload: KubeObject): boolean {
  const { metadata, status } = workload as WorkloadState;
  if (typeof metadata.deletionTimestamp === 'string') return true;
  const owners = arrayOf(metadata.ownerReferences);
  if (owners.some((owner) => owner?.controller === true && owner.kind === 'CronJob')) return true;
  const conditions = arrayOf(status?.conditions);
  return conditions.some((one) => one?.status === 'True' && (one.type === 'Complete' || one.type === 'Failed'));
}
