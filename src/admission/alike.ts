import { LRUCache } from 'lru-cache';

import { isAnnotationRead, VIRTUAL_LABELS } from '../policy/exemptions.ts';
import type { ClusterFacts, NamespaceView, PodView } from '../policy/model.ts';
import { affinityAsRead, readPod } from '../policy/read-pod.ts';
import { MODE_LABEL } from '../policy/scope.ts';
import type { Verdict } from '../policy/verdict.ts';
import type { Evaluation } from './evaluate.ts';
import { isObject, type Json } from './json.ts';

/** Pods of one template that stand in one namespace, and what was last decided for them. */
export interface Alike {
  /** The Pod, or those parts of it that a decision depends on. */
  readonly object: unknown;
  readonly pod: PodView;
  /** All that their decision depends on, as text. Absent where they are not remembered. */
  readonly key?: string;
  /** What their namespace's mode label said; null: nothing. */
  readonly label?: string | null;
  last?: LastDecision;
}

/** A decision, and all it came from that may have changed since. */
export interface LastDecision {
  readonly facts: ClusterFacts;
  /** Absent: nothing had to be looked up. */
  readonly verdicts?: readonly Verdict[];
  readonly evaluation: Evaluation;
  /** As `AlikeMemory.now` has it: until then nothing else is asked. Absent: what is known of the images is. */
  readonly until?: number;
}

export interface AlikeMemory {
  /** Throws what `readPod` throws. */
  of(object: unknown, namespace: NamespaceView): Alike;
  /** Those that they are now: their namespace's label may have changed. */
  again(alike: Alike, namespace: NamespaceView): Alike;
  /** Milliseconds, monotonic. */
  now(): number;
  /** How many are held, and about how many bytes they take. */
  size(): { readonly entries: number; readonly bytes: number };
}

const isMap = (value: unknown): value is Json => isObject(value) && !Array.isArray(value);

const LABELS: readonly string[] = [MODE_LABEL, ...VIRTUAL_LABELS];
const isLabelRead = (name: string): boolean => LABELS.includes(name);

/** Characters of labels or annotations: with more than the API server's limit, ours are not added (`patch.ts`). */
const MOST_TEXT = 64 * 1024;

/** Labels and annotations tell the Pods of a StatefulSet, of Jobs or of workflows apart, but none of those is read. */
function textsAsRead(texts: unknown, isRead: (name: string) => boolean): unknown {
  if (!isMap(texts)) return texts;
  const kept: Record<string, string> = {};
  let length = 0;
  for (const name in texts) {
    const text = texts[name];
    if (typeof text !== 'string') return texts;
    length += name.length + text.length;
    if (isRead(name)) kept[name] = text;
  }
  return length > MOST_TEXT ? texts : kept;
}

const containersOf = (list: unknown): unknown =>
  Array.isArray(list)
    ? list.map((one: unknown) => {
        if (!isMap(one)) return one;
        const { name, image, command, args } = one;
        return { name, image, command, args };
      })
    : list;

const metadataOf = ({ labels, annotations }: Json): Json => ({
  labels: textsAsRead(labels, isLabelRead),
  annotations: textsAsRead(annotations, isAnnotationRead),
});

const specOf = (spec: Json): Json => ({
  dnsPolicy: spec['dnsPolicy'],
  dnsConfig: spec['dnsConfig'],
  hostNetwork: spec['hostNetwork'],
  os: spec['os'],
  nodeName: spec['nodeName'],
  schedulerName: spec['schedulerName'],
  nodeSelector: spec['nodeSelector'],
  affinity: affinityAsRead(spec['affinity']),
  tolerations: spec['tolerations'],
  imagePullSecrets: spec['imagePullSecrets'],
  serviceAccountName: spec['serviceAccountName'],
  initContainers: containersOf(spec['initContainers']),
  containers: containersOf(spec['containers']),
});

const labelOf = ({ labels }: NamespaceView): string | null => labels[MODE_LABEL] ?? null;

/** The parts of a Pod that a decision and its patch depend on, as JSON. */
function partsOf(object: unknown): unknown {
  if (!isMap(object)) return object;
  const { metadata, spec } = object;
  return { metadata: isMap(metadata) ? metadataOf(metadata) : metadata, spec: isMap(spec) ? specOf(spec) : spec };
}

/** Templates that are held; another's decision is made anew, which costs some 50 us. */
const MOST = 1000;

/** Bytes for all of them, approximately: text, parsed parts, decision and patch come to about six times the text. */
const MOST_BYTES = 12 * 1024 * 1024;
const BYTES_PER_CHARACTER = 6;

/** Characters of the parts of a Pod that is held: whoever creates Pods chooses how many there are. */
const LONGEST = 8 * 1024;

/** Texts that were met, by their hash: the later of two takes the place of the other. */
const MOST_MET = 1024;

/** FNV-1a, of UTF-16 units. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

/**
 * Whether a text was met before, most likely. What is met once is not worth keeping: Pods of CI and of workflows have command lines of
 * their own, and what was made for each of them would only be moved about until it is dropped.
 */
function createMet(): (text: string) => boolean {
  const met = new Uint32Array(MOST_MET);
  return (text) => {
    const hash = hashOf(text);
    const place = hash % MOST_MET;
    if (met[place] === hash) return true;
    met[place] = hash;
    return false;
  };
}

/**
 * Remembers Pods by what a decision depends on, once two of them were met. Nearly all Pods of a cluster are made from templates,
 * some thousand times from one. What is decided for a remembered Pod is read from its remembered parts alone, so that nothing else can
 * make a difference.
 */
export function createAlikeMemory(now: () => number): AlikeMemory {
  const known = new LRUCache<string, Alike>({
    max: MOST,
    maxSize: MOST_BYTES,
    sizeCalculation: (_, text) => BYTES_PER_CHARACTER * text.length,
  });
  const met = createMet();
  const of: AlikeMemory['of'] = (object, namespace) => {
    const label = labelOf(namespace);
    const key = JSON.stringify([partsOf(object), namespace.name, label]);
    const found = known.get(key);
    if (found !== undefined) return found;
    if (key.length > LONGEST || !met(key)) return { object, pod: readPod(object) };
    const [parts] = JSON.parse(key) as [unknown];
    const alike = { object: parts, pod: readPod(parts), key, label };
    known.set(key, alike);
    return alike;
  };
  return {
    of,
    again: (alike, namespace) => (alike.label === labelOf(namespace) ? alike : of(alike.object, namespace)),
    now,
    size: () => ({ entries: known.size, bytes: known.calculatedSize }),
  };
}
