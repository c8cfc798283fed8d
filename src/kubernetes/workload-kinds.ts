import type { KubeObject, Resource } from './objects.ts';

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
