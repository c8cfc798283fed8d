import { hash } from 'node:crypto';

import type { KubeClient } from '../kubernetes/client.ts';
import { eachObject } from '../kubernetes/lists.ts';
import { type KubeObject, objectKey, type Resource, resourcePath } from '../kubernetes/objects.ts';
import { createReflector } from '../kubernetes/reflector.ts';
import { type Reporter, silentReporter, type Trouble } from '../telemetry/reporter.ts';
import type { Backoff } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';

/** A Pod template of a workload, new or changed. */
export interface WorkloadTemplate {
  readonly namespace: string;
  readonly template: unknown;
  /** Whether the workload is still there, with the same template. */
  readonly isCurrent: () => boolean;
}

interface WorkloadWatchOptions {
  readonly client: KubeClient;
  readonly kind: WorkloadKind;
  /** Called for each new template: when it is listed, created, or changed in anything that counts. */
  readonly onTemplate: (template: WorkloadTemplate) => void;
  readonly reporter?: Reporter;
  readonly clock: Pick<Clock, 'now'>;
  readonly backoff?: Backoff;
}

export interface WorkloadWatch {
  /** Calls `onTemplate` again for all workloads of a namespace. Rejects with `KubeError`, or with the signal's reason. */
  again(namespace: string, signal: AbortSignal): Promise<void>;
  /** Workloads that are known. */
  readonly size: number;
  readonly synced: boolean;
  close(): Promise<void>;
}

/** Nothing waits for this: a kind that is not installed costs a request every five minutes. */
const BACKOFF = { first: 1000, most: 300_000 };

/** Whole objects come, though a hash alone stays. A page holds up everything else while it is read: some 6 ms for 100 of 5 KB. */
const PAGE = 100;

/** 31 bits: Node keeps such a number without an object of its own. Two templates of one workload rarely share it. */
function hashOf(templates: readonly unknown[]): number {
  return Number.parseInt(hash('sha1', JSON.stringify(templates)).slice(0, 8), 16) >>> 1;
}

const selection = ({ fieldSelector }: WorkloadKind): Record<string, string> =>
  fieldSelector === undefined ? {} : { fieldSelector };

/** Reports a kind that cannot be watched: once for each reason in a row, for a kind may be missing for ever. */
function troubleOf(kind: string, { log, metrics, trouble }: Reporter): Trouble {
  const unwatched = trouble(`workloads of kind ${kind} cannot be watched: their images are not looked up ahead`);
  let state: string | undefined;
  return {
    lost(error) {
      if (error.code === state) return;
      state = error.code;
      metrics.cluster.apiFailed('workloads', error.code);
      // Kinds that are configured for when they are installed are no failure.
      if (error.code === 'not-found') log.info({ kind }, 'the API server has no such workloads (yet)');
      else unwatched.lost(error);
    },
    recovered() {
      state = undefined;
      unwatched.recovered();
    },
  };
}

/** Watches the workloads of one kind. Of each a hash of its templates is kept, to tell a change from a new status. */
export function watchWorkloads(options: WorkloadWatchOptions): WorkloadWatch {
  const { client, kind, onTemplate, clock } = options;
  /** Listed, while the list is not complete: what is told of them must not be taken for gone. */
  const listed = new Map<string, number>();
  const known = (key: string): number | undefined => listed.get(key) ?? reflector.items.get(key);
  const tell = (object: KubeObject, templates: readonly unknown[], told: number): void => {
    const key = objectKey(object);
    const namespace = object.metadata.namespace ?? '';
    for (const template of templates) onTemplate({ namespace, template, isCurrent: () => known(key) === told });
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
    // Templates are told of from here, one by one: kept until the list is complete, they would be all of the cluster's.
    keep(object) {
      if (isSpent(object)) return undefined;
      const templates = podTemplatesOf(object, kind);
      const now = hashOf(templates);
      const key = objectKey(object);
      if (known(key) === now) return now;
      listed.set(key, now);
      tell(object, templates, now);
      return now;
    },
    onChange: (key) => listed.delete(key),
  });
  return {
    again: async (namespace, signal) => {
      const pages = { client, resource: kind, namespace, query: selection(kind), pageSize: PAGE, signal };
      await eachObject(pages, () => (object) => {
        if (isSpent(object)) return;
        const templates = podTemplatesOf(object, kind);
        tell(object, templates, hashOf(templates));
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

/** A kind of workload, and where its Pod templates stand. */
export interface WorkloadKind extends Resource {
  /** Field names from the object's root, with dots between; `*` for every item: `spec.replicatedJobs.*.template.spec.template`. */
  readonly template: string;
  /** Leaves out on the server what makes no Pods any more. */
  readonly fieldSelector?: string;
}

/**
 * What is always watched. ReplicaSets are not: their templates are those of their Deployments. Of Jobs the API server
 * tells apart by field only those that have succeeded (pkg/apis/batch/v1/conversion.go).
 */
export const WORKLOAD_KINDS: readonly WorkloadKind[] = [
  { group: 'apps', version: 'v1', plural: 'deployments', template: 'spec.template' },
  { group: 'apps', version: 'v1', plural: 'statefulsets', template: 'spec.template' },
  { group: 'apps', version: 'v1', plural: 'daemonsets', template: 'spec.template' },
  { group: 'batch', version: 'v1', plural: 'cronjobs', template: 'spec.jobTemplate.spec.template' },
  { group: 'batch', version: 'v1', plural: 'jobs', template: 'spec.template', fieldSelector: 'status.successful=0' },
];

/** Templates of one object that are looked at. */
const MOST_TEMPLATES = 32;

const LONGEST_PATH = 16;

/** `apps/deployments`; `namespaces` for the core group. */
export function kindName({ group, plural }: Resource): string {
  return group === '' ? plural : `${group}/${plural}`;
}

function children(node: unknown, key: string): readonly unknown[] {
  if (typeof node !== 'object' || node === null) return [];
  if (key === '*') return Object.values(node).slice(0, MOST_TEMPLATES);
  return Object.hasOwn(node, key) ? [(node as Record<string, unknown>)[key]] : [];
}

/** The Pod templates of a workload; those that are not there are left out. */
export function podTemplatesOf(workload: KubeObject, { template }: Pick<WorkloadKind, 'template'>): readonly unknown[] {
  let nodes: readonly unknown[] = [workload];
  for (const key of template.split('.').slice(0, LONGEST_PATH)) {
    nodes = nodes.flatMap((node) => children(node, key)).slice(0, MOST_TEMPLATES);
  }
  return nodes.filter((node) => typeof node === 'object' && node !== null);
}

interface Spent {
  readonly metadata: {
    readonly deletionTimestamp?: unknown;
    readonly ownerReferences?: readonly ({ readonly kind?: unknown; readonly controller?: unknown } | null)[];
  };
  readonly status?: {
    readonly conditions?: readonly ({ readonly type?: unknown; readonly status?: unknown } | null)[];
  } | null;
}

const listed = <T extends readonly unknown[]>(value: T | undefined): T | [] => (Array.isArray(value) ? value : []);

/** Whether it makes no Pods any more, or is only the shadow of another workload: a CronJob's Job. */
export function isSpent(workload: KubeObject): boolean {
  const { metadata, status } = workload as Spent;
  if (typeof metadata.deletionTimestamp === 'string') return true;
  const owners = listed(metadata.ownerReferences);
  if (owners.some((owner) => owner?.controller === true && owner.kind === 'CronJob')) return true;
  const conditions = listed(status?.conditions);
  return conditions.some((one) => one?.status === 'True' && (one.type === 'Complete' || one.type === 'Failed'));
}
