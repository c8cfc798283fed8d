import { isAnnotationRead, mayRunOnVirtualNode, VIRTUAL_LABELS } from '../../policy/exemptions.ts';
import { affinityAsRead, MalformedPodError, readPod } from '../../policy/read-pod.ts';
import { MODE_LABEL } from '../../policy/scope.ts';
import { asList, asObject, type Json, objectAt } from '../../util/json.ts';
import { compareText, compareTexts } from '../../util/text.ts';
import type { DnsSettings, Owner, PodGroup } from './scanned.ts';

/** Pods as they come, page by page, put together: what is kept grows with what is different, not with the Pods. */
export interface PodGroups {
  /** `pod`: as the API has it; `template`: of its workload. */
  add(owner: Owner, pod: unknown, template: DnsSettings | undefined): void;
  /** Sorted. */
  all(): readonly PodGroup[];
}

const MOST_NAMES = 5;

/** What decisions read of labels; the rest may be large. */
const LABELS: readonly string[] = [MODE_LABEL, 'type', ...VIRTUAL_LABELS];

const pick = (object: Json, keys: readonly string[]): Json =>
  Object.fromEntries(keys.filter((key) => object[key] !== undefined).map((key) => [key, object[key]]));

const containers = (value: unknown): readonly Json[] =>
  asList(value).map((item) => pick(asObject(item), ['name', 'image', 'command', 'args']));

const SPEC = [
  'dnsPolicy',
  'dnsConfig',
  'hostNetwork',
  'os',
  'schedulerName',
  'nodeSelector',
  'imagePullSecrets',
  'serviceAccountName',
];

/** The labels that NetworkPolicies select by are part of it: they are few, and Pods of one workload share them. */
function strippedMetadata(metadata: Json): Json {
  const labels = asObject(metadata['labels']);
  const annotations = Object.entries(asObject(metadata['annotations'])).filter(([key]) => isAnnotationRead(key));
  const names = Object.keys(labels).filter((key) => LABELS.includes(key) || !PER_POD.has(key));
  return { labels: pick(labels, names.toSorted(compareText)), annotations: Object.fromEntries(annotations) };
}

/** Labels that controllers give each Pod another value of. */
const PER_POD: ReadonlySet<string> = new Set([
  'pod-template-hash',
  'controller-revision-hash',
  'statefulset.kubernetes.io/pod-name',
  'apps.kubernetes.io/pod-index',
  'batch.kubernetes.io/job-completion-index',
  'batch.kubernetes.io/controller-uid',
  'batch.kubernetes.io/job-name',
  'controller-uid',
  'job-name',
  'pod-template-generation',
]);

/** Of the affinity and the tolerations only what `readPod` reads. */
function strippedSpec(spec: Json): Json {
  const affinity = objectAt(spec, ['affinity', 'nodeAffinity']);
  const required = affinity['requiredDuringSchedulingIgnoredDuringExecution'];
  return {
    ...pick(spec, SPEC),
    ...(required !== undefined && { affinity: affinityAsRead(spec['affinity']) }),
    tolerations: asList(spec['tolerations']).map((item) => pick(asObject(item), ['key', 'value'])),
    initContainers: containers(spec['initContainers']),
    containers: containers(spec['containers']),
  };
}

/** The node's name where it says that the node is a virtual one: nothing else reads it. */
function virtualNode(pod: Json): Json {
  const nodeName = asObject(pod['spec'])['nodeName'];
  if (typeof nodeName !== 'string' || nodeName === '') return {};
  try {
    const view = readPod({ spec: { nodeName } });
    return mayRunOnVirtualNode(view) ? { nodeName } : {};
  } catch (error) {
    if (error instanceof MalformedPodError) return {};
    throw error;
  }
}

/** A Pod without what no decision reads. */
export function strippedPod(value: unknown): Json {
  const pod = asObject(value);
  const spec = strippedSpec(asObject(pod['spec']));
  return { metadata: strippedMetadata(asObject(pod['metadata'])), spec: { ...spec, ...virtualNode(pod) } };
}

interface Growing {
  readonly owner: Owner;
  readonly key: string;
  readonly pod: unknown;
  readonly template: DnsSettings | undefined;
  pods: number;
  podNames: string[];
  readonly nodes: Map<string, number>;
}

function noteName(group: Growing, name: unknown): void {
  if (typeof name !== 'string' || name === '') return;
  const last = group.podNames.at(-1);
  if (group.podNames.length === MOST_NAMES && last !== undefined && compareText(name, last) > 0) return;
  group.podNames = [...group.podNames, name].toSorted(compareText).slice(0, MOST_NAMES);
}

const ownerTexts = ({ namespace, kind, name }: Owner): string[] => [namespace, kind, name];

export function createPodGroups(): PodGroups {
  const groups = new Map<string, Growing>();
  return {
    add(owner, pod, template) {
      const stripped = strippedPod(pod);
      const key = JSON.stringify([ownerTexts(owner), stripped, template ?? null]);
      const group = groups.get(key) ?? { owner, key, pod: stripped, template, pods: 0, podNames: [], nodes: new Map() };
      groups.set(key, group);
      group.pods += 1;
      const { metadata, spec } = asObject(pod);
      noteName(group, asObject(metadata)['name']);
      const node = asObject(spec)['nodeName'];
      if (typeof node === 'string' && node !== '') group.nodes.set(node, (group.nodes.get(node) ?? 0) + 1);
    },
    all: () =>
      [...groups.values()]
        .toSorted((a, b) => compareTexts([...ownerTexts(a.owner), a.key], [...ownerTexts(b.owner), b.key]))
        .map(({ key: _key, ...group }) => group),
  };
}
