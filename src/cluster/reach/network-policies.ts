import { LRUCache } from 'lru-cache';

import { type EgressPolicy, unreadable } from '../../exposure/network-policies.ts';
import { NETWORK_POLICIES, POLICY_KINDS, type PolicyKind, readObject } from '../../exposure/policies/kinds.ts';
import type { KubeClient } from '../../kubernetes/client.ts';
import type { KubeError } from '../../kubernetes/errors.ts';
import { type KubeObject, resourcePath } from '../../kubernetes/objects.ts';
import { createReflector, type Reflector } from '../../kubernetes/reflector.ts';
import { type Reporter, silentReporter, type Trouble } from '../../telemetry/reporter.ts';
import type { Backoff } from '../../util/abort.ts';
import type { Clock } from '../../util/clock.ts';
import type { Json } from '../../util/json.ts';

interface NetworkPoliciesOptions {
  readonly client: KubeClient;
  readonly clock: Pick<Clock, 'now'>;
  readonly reporter?: Reporter;
  /** For tests. */
  readonly backoff?: Backoff;
  /** For tests. */
  readonly bounds?: Partial<Bounds>;
}

interface Bounds {
  /** Policies about egress in the cluster. */
  readonly entries: number;
  /** Characters of all of them. */
  readonly characters: number;
  /** Policies of one namespace: each of its Pods is matched against each of them. */
  readonly namespaceEntries: number;
  readonly namespaceCharacters: number;
}

const BOUNDS: Bounds = {
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
export type NamespacePolicies = readonly EgressPolicy[] | Unknown;

/** The egress policies of the cluster, of all installed kinds, kept up to date. */
interface ClusterPolicies {
  /** Returns the policies from memory. */
  of(namespace: string): NamespacePolicies;
  /** Whether Cilium's kinds are installed. */
  readonly cilium: boolean;
  /** Resolves when each kind was read, was forbidden or is not installed. Never rejects. */
  readonly ready: Promise<void>;
  readonly synced: boolean;
  /** Policies in memory. */
  readonly size: number;
  /** The oldest last contact of all kinds, milliseconds since 1970; undefined if there was none. */
  readonly contactAt: number | undefined;
  close(): Promise<void>;
}

/** An object as it is kept. */
interface Kept {
  readonly namespace: string;
  readonly version: string;
  readonly characters: number;
  readonly read: () => readonly EgressPolicy[];
}

/** Characters that a policy counts for beside its text. */
const STUB = 100;

/** Policies by namespace, cluster-wide ones under the empty name. */
interface Index {
  set(key: string, kept: Kept): void;
  delete(key: string, kept: Kept): void;
  of(namespace: string): NamespacePolicies;
  readonly size: number;
}

interface Place {
  readonly kept: Map<string, Kept>;
  characters: number;
}

const NONE: readonly EgressPolicy[] = [];

function createIndex(bounds: Bounds, onTooMany: (namespace: string) => void): Index {
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

type KindState = 'unread' | 'read' | 'forbidden' | 'absent';

interface Kind {
  readonly reflector: Reflector<Kept>;
  readonly isCilium: boolean;
  readonly state: KindState;
  /** Resolves when the state is known. */
  readonly known: Promise<void>;
}

/** Milliseconds. A kind that is not installed costs a request every five minutes. */
const FOREIGN_BACKOFF: Backoff = { first: 1000, most: 300_000 };

const PAGE = 100;

interface Shared {
  readonly options: NetworkPoliciesOptions;
  readonly bounds: Bounds;
  readonly index: Index;
  /** Characters of all objects kept, in complete and in incomplete lists. */
  readonly held: { characters: number };
  readonly reporter: Reporter;
  /** Kinds that are forbidden; there is one warning for all of them. */
  readonly forbidden: Set<PolicyKind>;
  readonly refused: Trouble;
  readonly tooMany: (namespace: string) => void;
}

/** Returns `networkpolicies.networking.k8s.io`. */
const nameOf = ({ plural, group }: PolicyKind): string => `${plural}.${group}`;

/** Keeps an object's text, or a stand-in if it does not fit. Returns undefined if the object is not about egress. */
function keep(kind: PolicyKind, object: KubeObject, { bounds, held }: Shared): Kept | undefined {
  const { name, namespace = '', resourceVersion: version = '' } = object.metadata;
  if (readObject(kind, object).policies.length === 0) return undefined;
  const { spec, specs } = object;
  const text = JSON.stringify({ metadata: { name, namespace }, spec, specs });
  const fits = text.length <= bounds.namespaceCharacters && held.characters + text.length <= bounds.characters;
  const characters = STUB + (fits ? text.length : 0);
  held.characters += characters;
  if (!fits) return { namespace, version, characters, read: () => [stub(kind, name, namespace)] };
  const read = (): readonly EgressPolicy[] => readObject(kind, JSON.parse(text) as Json).policies;
  return { namespace, version, characters, read };
}

const stub = ({ kind }: PolicyKind, name: string, namespace: string): EgressPolicy =>
  unreadable(`${kind} ${namespace === '' ? name : `${namespace}/${name}`}`, (pod) =>
    namespace === '' || pod.namespace === namespace ? 'maybe' : 'no',
  );

/** Calico's API server serves its CRDs' objects a second time, and only to users with rights on its tiers. */
const isSecondView = ({ group }: PolicyKind): boolean => group === 'projectcalico.org';

/** Follows the state of a kind. A forbidden kind is unknown; after any other failure the last list stays in use. */
function createState(kind: PolicyKind, { reporter, refused, forbidden }: Shared) {
  let state: KindState = 'unread';
  const { promise: known, resolve } = Promise.withResolvers<void>();
  const become = (next: KindState): void => {
    if (next !== 'forbidden' && forbidden.delete(kind) && forbidden.size === 0) refused.recovered();
    state = next;
    resolve();
  };
  return {
    known,
    get now() {
      return state;
    },
    // A list without a watch is soon out of date: only an open watch ends `forbidden`.
    listed(): void {
      if (state !== 'forbidden') become('read');
    },
    watched: () => become('read'),
    failed(error: KubeError): void {
      const isRefused = error.code === 'forbidden' || error.code === 'unauthorized';
      if (error.code !== 'not-found') reporter.metrics.cluster.apiFailed('networkpolicies', error.code);
      if (error.code === 'not-found' || (isRefused && isSecondView(kind))) become('absent');
      else if (isRefused) {
        forbidden.add(kind);
        refused.lost(error);
        become('forbidden');
      }
    },
  };
}

/** Marks namespaces whose policies do not all fit. Their policies are unknown until a list fits. */
function createCrowded(kind: PolicyKind, { index, tooMany }: Shared, indexKey: (key: string) => string) {
  const crowded = new Map<string, Kept>();
  const keyOf = (namespace: string): string => indexKey(`${namespace}/`);
  return {
    add(key: string): void {
      const namespace = key.includes('/') ? key.slice(0, key.indexOf('/')) : '';
      if (crowded.has(namespace)) return;
      const read = (): readonly EgressPolicy[] => [stub(kind, '(too many)', namespace)];
      const kept = { namespace, version: '', characters: STUB, read };
      crowded.set(namespace, kept);
      index.set(keyOf(namespace), kept);
      tooMany(namespace);
    },
    clear(): void {
      for (const [namespace, kept] of crowded) index.delete(keyOf(namespace), kept);
      crowded.clear();
    },
  };
}

function followKind(kind: PolicyKind, shared: Shared): Kind {
  const { options, index, held, bounds } = shared;
  const { client, clock, backoff } = options;
  const state = createState(kind, shared);
  const indexKey = (key: string): string => `${nameOf(kind)}/${key}`;
  const crowded = createCrowded(kind, shared, indexKey);
  const reflector: Reflector<Kept> = createReflector<Kept>({
    client,
    clock,
    path: resourcePath(kind),
    pageSize: PAGE,
    streamed: true,
    most: bounds.entries,
    onTooMany: (key) => crowded.add(key),
    keep(object) {
      const { namespace, name: own, resourceVersion } = object.metadata;
      const before = reflector.items.get(namespace === undefined ? own : `${namespace}/${own}`);
      return before !== undefined && before.version === resourceVersion ? before : keep(kind, object, shared);
    },
    onChange(key, now, before) {
      if (before !== undefined && before !== now) {
        held.characters -= before.characters;
        index.delete(indexKey(key), before);
      }
      if (now !== undefined) index.set(indexKey(key), now);
    },
    trouble: { lost: () => {}, recovered: state.watched },
    onSynced(items) {
      if (items < bounds.entries) crowded.clear();
      state.listed();
    },
    onError(error) {
      state.failed(error);
      if (state.now === 'absent') for (const [key, kept] of reflector.items) index.delete(indexKey(key), kept);
    },
    backoff: backoff ?? (kind === NETWORK_POLICIES ? { first: 500, most: 30_000 } : FOREIGN_BACKOFF),
  });
  return {
    reflector,
    isCilium: kind.group === 'cilium.io',
    known: state.known,
    get state() {
      return state.now;
    },
  };
}

const FORBIDDEN =
  'network policies cannot be read: no Pod gets use-vc (docs/security.md has the rights; networkPolicies: false turns this off)';

/** Watches NetworkPolicies, and policies of other kinds if they are installed. */
export function createNetworkPolicies(options: NetworkPoliciesOptions): ClusterPolicies {
  const { reporter = silentReporter } = options;
  const bounds = { ...BOUNDS, ...options.bounds };
  const warn = reporter.warnings();
  const tooMany = (namespace: string): void =>
    warn('more network policies than are kept: Pods of the namespace get no use-vc', { namespace });
  const index = createIndex(bounds, tooMany);
  const refused = reporter.trouble(FORBIDDEN);
  const held = { characters: 0 };
  const shared = { options, bounds, index, held, reporter, forbidden: new Set<PolicyKind>(), refused, tooMany };
  const kinds = POLICY_KINDS.map((kind) => followKind(kind, shared));
  const has = (state: KindState): boolean => kinds.some((kind) => kind.state === state);
  const policies: ClusterPolicies = {
    of(namespace) {
      if (has('forbidden')) return 'forbidden';
      return has('unread') ? 'unread' : index.of(namespace);
    },
    get cilium() {
      return kinds.some(({ isCilium, state }) => isCilium && state === 'read');
    },
    ready: Promise.all(kinds.map(({ known }) => known)).then(() => undefined),
    get synced() {
      return !has('unread') && !has('forbidden');
    },
    get size() {
      return index.size;
    },
    get contactAt() {
      const followed = kinds.filter(({ state }) => state === 'read').map(({ reflector }) => reflector.contactAt ?? 0);
      return followed.length === 0 ? undefined : Math.min(...followed);
    },
    async close() {
      await Promise.all(kinds.map(({ reflector }) => reflector.close()));
    },
  };
  reporter.metrics.cluster.informer('networkpolicies', () => {
    const { synced, size: items, contactAt } = policies;
    return { synced, items, contactAt };
  });
  return policies;
}
