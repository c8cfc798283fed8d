import { CONTROLLER_LABELS } from '../../exposure/policies/match.ts';
import { isVirtualNode } from '../../policy/exemptions.ts';
import type { PodView } from '../../policy/model.ts';
import { MalformedPodError, partsRead, readPod } from '../../policy/read-pod.ts';
import { asObject, type Json } from '../../util/json.ts';
import { compareText, compareTexts } from '../../util/text.ts';
import type { DnsSettings, Owner, PodGroup } from './scanned.ts';

/** Groups Pods as they come, page by page. Memory grows with the groups, not with the Pods. */
export interface PodGroups {
  /** Leaves a Pod out that is not well formed. `pod`: as the API has it; `template`: of its workload. */
  add(owner: Owner, pod: unknown, template: DnsSettings | undefined): void;
  /** Sorted. */
  all(): readonly PodGroup[];
}

const MOST_NAMES = 5;

function viewOf(pod: unknown): PodView | undefined {
  try {
    return readPod(pod);
  } catch (error) {
    if (error instanceof MalformedPodError) return undefined;
    throw error;
  }
}

/**
 * Returns what decisions read of a Pod, and the labels that NetworkPolicies may select it by: Pods of one workload share them. Names of
 * nodes are kept only if they say that the node is a virtual one. Returns undefined if the Pod is not well formed.
 */
export function strippedPod(value: unknown): Json | undefined {
  const view = viewOf(value);
  if (view === undefined) return undefined;
  const { metadata, spec } = asObject(partsRead(value));
  const { nodeName, ...others } = asObject(spec);
  const { labels, annotations } = asObject(metadata);
  const shared = Object.entries(view.labels).filter(([name]) => !CONTROLLER_LABELS.has(name));
  const sorted = shared.toSorted(([a], [b]) => compareText(a, b));
  return {
    metadata: { labels: { ...Object.fromEntries(sorted), ...asObject(labels) }, annotations },
    spec: { ...others, ...(isVirtualNode(view.nodeName) && { nodeName }) },
  };
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
      if (stripped === undefined) return;
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
