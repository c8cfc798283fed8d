import { LRUCache } from 'lru-cache';

import { isAnnotationRead, VIRTUAL_LABELS } from '../policy/exemptions.ts';
import type { ClusterFacts, NamespaceView, PodView } from '../policy/model.ts';
import { affinityAsRead, readPod, withCommandLines } from '../policy/read-pod.ts';
import { MODE_LABEL } from '../policy/scope.ts';
import type { Verdict } from '../policy/verdict.ts';
import { isObject, type Json } from '../util/json.ts';
import type { Evaluation } from './evaluate.ts';

/** What Pods of one template in one namespace have in common, and what was last decided for one of them. */
export interface Template {
  /** Those parts of a Pod that a decision depends on, all but its command lines. */
  readonly object: unknown;
  /** Read from them. */
  readonly pod: PodView;
  /** They, and the namespace's part in it, as text. */
  readonly key: string;
  /** What their namespace's mode label said; null: nothing. */
  readonly label: string | null;
  last?: LastDecision;
}

/** Pods of one template with the same command lines. */
export interface Alike {
  /** The Pod, or those parts of it that its patch depends on. */
  readonly object: unknown;
  readonly pod: PodView;
  /** Absent: it is not remembered. */
  readonly template?: Template;
  last?: LastDecision;
  /** Those that they are since their namespace's label has changed. */
  moved?: Alike;
}

/** A decision, and all it came from that may have changed since. */
export interface LastDecision {
  readonly facts: ClusterFacts;
  /** Absent: nothing had to be looked up. */
  readonly verdicts?: readonly Verdict[];
  readonly evaluation: Evaluation;
  /** As `AlikeMemory.now` has it: until then nothing else is asked for the same command lines. Absent: what is known of the images is. */
  readonly until?: number;
}

export interface AlikeMemory {
  /** What is remembered of a Pod, or the Pod. Throws what `readPod` throws. */
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
        const { name, image } = one;
        return { name, image };
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

const keyOf = (parts: unknown, { name }: NamespaceView, label: string | null): string =>
  JSON.stringify([parts, name, label]);

/**
 * Remembers Pods by what a decision depends on, once two of them were met. Nearly all Pods of a cluster are made from templates,
 * some thousand times from one; those of CI and of workflows have command lines of their own, which make a difference only by what they
 * say of the image. What is decided for a remembered Pod is read from its remembered parts and its command lines alone, so that nothing
 * else can make a difference.
 */
export function createAlikeMemory(now: () => number): AlikeMemory {
  const known = new LRUCache<string, Template>({
    max: MOST,
    maxSize: MOST_BYTES,
    sizeCalculation: (_, text) => BYTES_PER_CHARACTER * text.length,
  });
  const met = createMet();
  const remember = (key: string, label: string | null): Template => {
    const [object] = JSON.parse(key) as [unknown];
    const template = { object, pod: readPod(object), key, label };
    known.set(key, template);
    return template;
  };
  return {
    of(object, namespace) {
      const label = labelOf(namespace);
      const key = keyOf(partsOf(object), namespace, label);
      let template = known.get(key);
      if (template === undefined) {
        // It says what is wrong with the Pod, of all of it.
        const pod = readPod(object);
        if (key.length > LONGEST || !met(key)) return { object, pod };
        template = remember(key, label);
      }
      return { object: template.object, pod: withCommandLines(template.pod, object), template };
    },
    again(alike, namespace) {
      const { object, pod, template, moved } = alike;
      const label = labelOf(namespace);
      if (template === undefined || template.label === label) return alike;
      if (moved?.template?.label === label) return moved;
      const key = keyOf(object, namespace, label);
      alike.moved = { object, pod, template: known.get(key) ?? remember(key, label) };
      return alike.moved;
    },
    now,
    size: () => ({ entries: known.size, bytes: known.calculatedSize }),
  };
}

/** Texts that were met, by their hash: the later of two takes the place of the other. */
const MOST_SEEN = 1024;

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
export function createMet(): (text: string) => boolean {
  const met = new Uint32Array(MOST_SEEN);
  return (text) => {
    const hash = hashOf(text);
    const place = hash % MOST_SEEN;
    if (met[place] === hash) return true;
    met[place] = hash;
    return false;
  };
}
