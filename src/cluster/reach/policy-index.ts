import { LRUCache } from 'lru-cache';

import { type EgressPolicy, unreadable } from '../../exposure/network-policies.ts';
import { type PolicyKind, readObject } from '../../exposure/policies/kinds.ts';
import type { KubeError } from '../../kubernetes/errors.ts';
import type { KubeObject } from '../../kubernetes/objects.ts';
import type { Json } from '../../util/json.ts';

/** What is kept of policies at most. */
export interface PolicyBounds {
  /** Policies about egress in the cluster. */
  readonly entries: number;
  /** Characters of all of them. */
  readonly characters: number;
  /** Policies of one namespace: each of its Pods is matched against each of them. */
  readonly namespaceEntries: number;
  readonly namespaceCharacters: number;
}

export const BOUNDS: PolicyBounds = {
  entries: 20_000,
  characters: 8 * 1024 * 1024,
  namespaceEntries: 500,
  namespaceCharacters: 256 * 1024,
};

/**
 * Bounds of the policies that are parsed. All are kept as text, about 500 characters each, and parsed for namespaces in which Pods are
 * created: parsed they take about eleven times as much.
 */
const READ = { namespaces: 1000, characters: 2 * 1024 * 1024 };

/** Why policies are unknown. `unread`: the first list is not complete. */
type Unknown = 'unread' | 'forbidden' | 'too-many';

/** The policies that may select Pods of a namespace, or why they are unknown. */
type NamespacePolicies = readonly EgressPolicy[] | Unknown;

/** Policies, as far as they are known. */
export interface KnownPolicies {
  of(namespace: string): NamespacePolicies;
  /** Whether Cilium may enforce them. */
  readonly cilium: boolean;
}

/** An object as it is kept. */
export interface Kept {
  readonly namespace: string;
  readonly version: string;
  readonly characters: number;
  readonly read: () => readonly EgressPolicy[];
}

/** Characters that a policy counts for beside its text. */
const STUB = 100;

/** Policies by namespace, cluster-wide ones under the empty name. Bounded: it serves the webhook and the audit alike. */
export interface PolicyIndex {
  /** Returns an object as it is kept, or a stand-in if it does not fit; undefined if it is not about egress. */
  keep(kind: PolicyKind, object: KubeObject): Kept | undefined;
  /** Gives back the room of what `keep` has returned. */
  release(kept: Kept): void;
  /** `key`: `namespace/name`, or the name of a cluster-wide policy. */
  set(kind: PolicyKind, key: string, kept: Kept): void;
  delete(kind: PolicyKind, key: string, kept: Kept): void;
  /** Marks the namespace of a policy for which there is no room: what else it has is unknown. */
  crowd(kind: PolicyKind, key: string): void;
  /** Takes the marks of a kind away. */
  uncrowd(kind: PolicyKind): void;
  of(namespace: string): NamespacePolicies;
  readonly size: number;
}

type Places = Pick<PolicyIndex, 'of' | 'size'> & {
  set(key: string, kept: Kept): void;
  delete(key: string, kept: Kept): void;
};

interface Place {
  readonly kept: Map<string, Kept>;
  characters: number;
}

const NONE: readonly EgressPolicy[] = [];

function createPlaces(bounds: PolicyBounds, onTooMany: (namespace: string) => void): Places {
  const places = new Map<string, Place>();
  const lists = new LRUCache<string, readonly EgressPolicy[]>({
    max: READ.namespaces,
    maxSize: READ.characters,
    maxEntrySize: READ.characters,
    sizeCalculation: (_, namespace) => Math.max(1, places.get(namespace)?.characters ?? 1),
  });
  let size = 0;
  const isTooMuch = ({ kept, characters }: Place): boolean =>
    kept.size > bounds.namespaceEntries || characters > bounds.namespaceCharacters;
  const remove = (key: string, namespace: string): void => {
    const place = places.get(namespace);
    const found = place?.kept.get(key);
    if (place === undefined || found === undefined) return;
    lists.delete(namespace);
    place.kept.delete(key);
    place.characters -= found.characters;
    size -= 1;
    if (place.kept.size === 0) places.delete(namespace);
  };
  const listOf = (namespace: string): NamespacePolicies => {
    const place = places.get(namespace);
    if (place === undefined) return NONE;
    if (isTooMuch(place)) return 'too-many';
    const known = lists.get(namespace);
    if (known !== undefined) return known;
    const list = [...place.kept.values()].flatMap(({ read }) => read());
    lists.set(namespace, list);
    return list;
  };
  return {
    set(key, kept) {
      const { namespace, characters } = kept;
      remove(key, namespace);
      lists.delete(namespace);
      const place = places.get(namespace) ?? { kept: new Map(), characters: 0 };
      places.set(namespace, place);
      const before = isTooMuch(place);
      place.kept.set(key, kept);
      place.characters += characters;
      size += 1;
      if (!before && isTooMuch(place)) onTooMany(namespace);
    },
    delete: (key, { namespace }) => remove(key, namespace),
    of(namespace) {
      const [common, own] = [listOf(''), listOf(namespace)];
      if (common === NONE || typeof own === 'string') return own;
      return own === NONE || typeof common === 'string' ? common : [...common, ...own];
    },
    get size() {
      return size;
    },
  };
}

/** Returns `networkpolicies.networking.k8s.io`. */
export const kindName = ({ plural, group }: PolicyKind): string => `${plural}.${group}`;

const stub = ({ kind }: PolicyKind, name: string, namespace: string): EgressPolicy =>
  unreadable(`${kind} ${namespace === '' ? name : `${namespace}/${name}`}`, (pod) =>
    namespace === '' || pod.namespace === namespace ? 'maybe' : 'no',
  );

const keyOf = (kind: PolicyKind, key: string): string => `${kindName(kind)}/${key}`;

/** `onTooMany` is called with each namespace whose policies no longer fit. */
export function createPolicyIndex(bounds: PolicyBounds, onTooMany: (namespace: string) => void): PolicyIndex {
  const places = createPlaces(bounds, onTooMany);
  const crowded = new Map<string, Kept>();
  let held = 0;
  return {
    keep(kind, object) {
      const { name, namespace = '', resourceVersion: version = '' } = object.metadata;
      if (readObject(kind, object).policies.length === 0) return undefined;
      const { spec, specs } = object;
      const text = JSON.stringify({ metadata: { name, namespace }, spec, specs });
      const fits = text.length <= bounds.namespaceCharacters && held + text.length <= bounds.characters;
      const characters = STUB + (fits ? text.length : 0);
      held += characters;
      if (!fits) return { namespace, version, characters, read: () => [stub(kind, name, namespace)] };
      const read = (): readonly EgressPolicy[] => readObject(kind, JSON.parse(text) as Json).policies;
      return { namespace, version, characters, read };
    },
    release({ characters }) {
      held -= characters;
    },
    set: (kind, key, kept) => places.set(keyOf(kind, key), kept),
    delete: (kind, key, kept) => places.delete(keyOf(kind, key), kept),
    crowd(kind, key) {
      const namespace = key.includes('/') ? key.slice(0, key.indexOf('/')) : '';
      const mark = keyOf(kind, `${namespace}/`);
      if (crowded.has(mark)) return;
      const read = (): readonly EgressPolicy[] => [stub(kind, '(too many)', namespace)];
      const kept = { namespace, version: '', characters: STUB, read };
      crowded.set(mark, kept);
      places.set(mark, kept);
      onTooMany(namespace);
    },
    uncrowd(kind) {
      for (const [mark, kept] of crowded) {
        if (!mark.startsWith(keyOf(kind, ''))) continue;
        places.delete(mark, kept);
        crowded.delete(mark);
      }
    },
    of: places.of,
    get size() {
      return places.size;
    },
  };
}

/** Calico's API server serves its CRDs' objects a second time, and only to users with rights on its tiers. */
const isSecondView = ({ group }: PolicyKind): boolean => group === 'projectcalico.org';

/** Returns what an error says of a kind that was to be listed: it is not installed, or its policies are unknown, and why. */
export function unreadKind(kind: PolicyKind, { code }: Pick<KubeError, 'code'>): 'absent' | 'forbidden' | 'unread' {
  if (code === 'not-found') return 'absent';
  if (code !== 'forbidden' && code !== 'unauthorized') return 'unread';
  return isSecondView(kind) ? 'absent' : 'forbidden';
}
