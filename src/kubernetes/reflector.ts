import type { Trouble } from '../telemetry/reporter.ts';
import { type Backoff, backoffMs, pause } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';
import type { KubeClient, WatchEvent, WatchRequest } from './client.ts';
import { type CollectionCopy, type CopyOptions, createCollectionCopy, type NewList } from './collection.ts';
import { asKubeError, KubeError } from './errors.ts';
import { pageReader } from './lists.ts';
import type { KubeObject } from './objects.ts';

export interface ReflectorOptions<T> extends CopyOptions<T> {
  readonly client: KubeClient;
  /** Path of the collection, as `resourcePath` makes it. */
  readonly path: string;
  /** `labelSelector`, `fieldSelector`. */
  readonly query?: Readonly<Record<string, string>>;
  /** Requests only metadata: specs and statuses are then neither sent nor parsed. */
  readonly metadataOnly?: boolean;
  /** Reported when a list or watch fails, and once a watch is open again. */
  readonly trouble?: Trouble;
  /** Called when a list is complete, with the number of remembered objects. */
  readonly onSynced?: (items: number) => void;
  /** Called when a list or watch has failed; the next attempt starts in `waitMs`. */
  readonly onError?: (error: KubeError, waitMs: number) => void;
  readonly clock: Pick<Clock, 'now'>;
  /** Milliseconds: the first wait after a failure, doubled at each further one up to `most`, with jitter. */
  readonly backoff?: Backoff;
  readonly pageSize?: number;
  /**
   * Requests the list as the first events of the watch, which the API server sends from memory; pages it reads from etcd.
   * Falls back to pages if the server refuses (Kubernetes before 1.32).
   */
  readonly streamed?: boolean;
  /**
   * Requests the first list from the API server's memory at the least cost to it, although that may be seconds old: what was created
   * since is then missing and what was deleted since is still there until the watch has caught up. Falls back to the other lists.
   */
  readonly cached?: boolean;
}

/** An in-memory copy of a collection of the API, kept up to date. */
export interface Reflector<T> {
  /** By name, or `namespace/name`. */
  readonly items: ReadonlyMap<string, T>;
  /** Whether the first list is complete. It stays true when the API server goes away: old data is better than no data. */
  readonly synced: boolean;
  /** When the API server last answered, milliseconds since 1970; undefined: never. */
  readonly contactAt: number | undefined;
  /** Resolves at the end of the first list, or when closed. Never rejects. */
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

/** Milliseconds without an event after which a connection counts as dead. Bookmarks come about once a minute. */
const IDLE_MS = 150_000;

const LIST_MS = 30_000;

/** A bound of a million objects, for a server may send pages without end. */
const MOST_PAGES = 2000;

const DEFAULT_BACKOFF: Backoff = { first: 500, most: 30_000 };

/**
 * Lists a collection, then watches it (client-go: tools/cache/reflector.go). Tries again after any failure, with a growing,
 * jittered wait; lists again if the resourceVersion is too old.
 */
export function createReflector<T>(options: ReflectorOptions<T>): Reflector<T> {
  const closing = new AbortController();
  const { promise: ready, resolve: synced } = Promise.withResolvers<void>();
  const run: Run<T> = {
    options,
    copy: createCollectionCopy(options),
    signal: closing.signal,
    version: undefined,
    streamed: options.streamed ?? false,
    cached: options.cached ?? false,
    synced: false,
    contactAt: undefined,
    failures: 0,
    lost: false,
  };
  const running = listAndWatch(run, synced).finally(synced);
  return {
    get items() {
      return run.copy.items;
    },
    get synced() {
      return run.synced;
    },
    get contactAt() {
      return run.contactAt;
    },
    ready,
    async close() {
      closing.abort();
      await running;
    },
  };
}

interface Run<T> {
  readonly options: ReflectorOptions<T>;
  readonly copy: CollectionCopy<T>;
  readonly signal: AbortSignal;
  /** Where to watch from; undefined: list first. */
  version: string | undefined;
  /** Whether lists are requested as events; false once that has failed. */
  streamed: boolean;
  /** Whether the next list may be an old one; false once one was requested. */
  cached: boolean;
  synced: boolean;
  contactAt: number | undefined;
  /** Since the last watch that lasted. */
  failures: number;
  lost: boolean;
}

function noteContact<T>(run: Run<T>): void {
  run.contactAt = run.options.clock.now();
}

/** Notes that a watch is open. A successful list alone is not recovery: without a watch the copy goes stale. */
function opened<T>(run: Run<T>): void {
  noteContact(run);
  if (run.lost) run.options.trouble?.recovered();
  run.lost = false;
}

function accept({ metadataOnly }: { readonly metadataOnly?: boolean }, kind: string): { accept?: string } {
  return metadataOnly ? { accept: `application/json;as=${kind};g=meta.k8s.io;v=v1,application/json` } : {};
}

async function list<T>(run: Run<T>): Promise<void> {
  const { client, path, query, pageSize = 500 } = run.options;
  const request = { path, query, signal: run.signal, ...accept(run.options, 'PartialObjectMetadataList') };
  const read = pageReader(client, request, pageSize);
  const listed = run.copy.list();
  let next = '';
  let version: string | undefined;
  let pages = 0;
  do {
    pages += 1;
    if (pages > MOST_PAGES) throw new KubeError('malformed', `list ${path}: more than ${MOST_PAGES} pages`);
    const page = await read(next);
    for (const object of page.items ?? []) listed.add(object);
    version = page.metadata?.resourceVersion;
    next = page.metadata?.continue ?? '';
    noteContact(run);
  } while (next !== '');
  complete(run, listed, version);
}

/**
 * Requests the list that the API server has in memory, whole: it ignores `limit` then. Done once: if the watch cannot go on from an old
 * list (410), the same old list again would not help. Any failure leaves the version undefined, and the next kind of list follows.
 */
async function listCached<T>(run: Run<T>): Promise<void> {
  run.cached = false;
  const { client, path, query } = run.options;
  const listed = run.copy.list();
  let objects = 0;
  const request = {
    path,
    query: { ...query, resourceVersion: '0' },
    timeoutMs: LIST_MS,
    signal: run.signal,
    ...accept(run.options, 'PartialObjectMetadataList'),
  };
  const add = (object: KubeObject): void => {
    objects += 1;
    if (objects > MOST_OBJECTS) throw new KubeError('malformed', `list ${path}: more than ${MOST_OBJECTS} objects`);
    listed.add(object);
  };
  const version = await client.list(request, add).catch(() => undefined);
  if (version === undefined) return;
  noteContact(run);
  complete(run, listed, version);
}

function complete<T>(run: Run<T>, listed: NewList, version: string | undefined): void {
  listed.done();
  run.version = version;
  run.synced = true;
  run.options.onSynced?.(run.copy.items.size);
}

/** A watch that ends sooner counts as a failure, even after events, so that the loop cannot run hot. */
const leastWatchMs = <T>({ backoff = DEFAULT_BACKOFF }: ReflectorOptions<T>): number => 2 * backoff.first;

const watchQuery = <T>({ options: { query }, version }: Run<T>): NonNullable<WatchRequest['query']> => ({
  ...query,
  ...(version === undefined ? STREAMED_LIST : { resourceVersion: version }),
  allowWatchBookmarks: true,
  // As client-go: 5 to 10 minutes, so that not all watches of a cluster restart at once.
  timeoutSeconds: Math.round(300 * (1 + Math.random())),
});

async function readWatch<T>(run: Run<T>, synced: () => void): Promise<void> {
  const { client, path } = run.options;
  let initialList = run.version === undefined ? streamedList(run.copy.list(), { path, idleMs: LIST_MS }) : undefined;
  const watching = client.watch({
    path,
    query: watchQuery(run),
    idleMs: IDLE_MS,
    onOpen: () => (initialList === undefined ? opened(run) : noteContact(run)),
    signal: initialList === undefined ? run.signal : AbortSignal.any([run.signal, initialList.signal]),
    ...accept(run.options, 'PartialObjectMetadata'),
  });
  try {
    for await (const event of watching) {
      noteContact(run);
      if (initialList === undefined) run.copy.apply(event);
      else if (initialList.take(event)) {
        complete(run, initialList.listed, event.object.metadata.resourceVersion);
        initialList.stop();
        initialList = undefined;
        opened(run);
        synced();
      }
      if (initialList === undefined) run.version = event.object.metadata.resourceVersion ?? run.version;
    }
  } finally {
    initialList?.stop();
  }
  if (initialList !== undefined) throw new KubeError('server', `list ${path}: the server ended it before its end`);
}

async function watch<T>(run: Run<T>, synced: () => void): Promise<void> {
  const began = performance.now();
  const lasted = (): boolean => performance.now() - began >= leastWatchMs(run.options);
  try {
    await readWatch(run, synced);
  } finally {
    if (lasted()) run.failures = 0;
  }
  if (!lasted()) throw new KubeError('server', `watch ${run.options.path}: the server ended it at once`);
}

/**
 * Errors after which the copy is listed again. Not found: the resource itself is gone, and its objects with it. Forbidden:
 * with the right to list but not to watch, lists alone keep the copy up to date.
 */
const NEEDS_NEW_LIST: ReadonlySet<string> = new Set(['gone', 'invalid', 'malformed', 'not-found', 'forbidden']);

async function waitAfter<T>(run: Run<T>, error: unknown): Promise<void> {
  const known = asKubeError(error, 'server');
  if (NEEDS_NEW_LIST.has(known.code)) run.version = undefined;
  const waitMs = backoffMs(run.options.backoff ?? DEFAULT_BACKOFF, run.failures);
  run.failures += 1;
  run.options.onError?.(known, waitMs);
  // Not a failure: resourceVersions expire, and the next list brings a new one.
  if (known.code !== 'gone') {
    run.lost = true;
    run.options.trouble?.lost(known);
  }
  await pause(waitMs, run.signal);
}

async function listAndWatch<T>(run: Run<T>, synced: () => void): Promise<void> {
  while (!run.signal.aborted) {
    try {
      if (run.version === undefined && run.cached) await listCached(run);
      if (run.version === undefined && !run.streamed) await list(run);
      if (run.version !== undefined) synced();
      await watch(run, synced);
    } catch (error) {
      // After any failure of a streamed list, try pages at once: they show whether more than streaming is refused.
      const isRefused = run.streamed && run.version === undefined;
      if (isRefused) run.streamed = false;
      else if (!run.signal.aborted) await waitAfter(run, error);
    }
  }
}

/** Requests all existing objects as ADDED events, then a bookmark that marks their end (KEP-3157). */
const STREAMED_LIST = {
  sendInitialEvents: true,
  resourceVersionMatch: 'NotOlderThan',
  resourceVersion: '',
} as const;

const INITIAL_EVENTS_END = 'k8s.io/initial-events-end';

/** As many as all pages of a list hold. */
const MOST_OBJECTS = 1_000_000;

/** A list that comes as the first events of a watch. */
interface StreamedList {
  readonly listed: NewList;
  /** Aborted with a {@link KubeError} (timeout) if no event came for `idleMs`. */
  readonly signal: AbortSignal;
  /** Adds an event; returns whether it ends the list. Throws {@link KubeError} (malformed) after too many events. */
  take(event: WatchEvent): boolean;
  /** Stops waiting for events. */
  stop(): void;
}

/** Collects events into `listed`. Changes may come between the events of the list (client-go: Reflector.watchList). */
export function streamedList(
  listed: NewList,
  { path, idleMs, most = MOST_OBJECTS }: { readonly path: string; readonly idleMs: number; readonly most?: number },
): StreamedList {
  const stalled = new AbortController();
  const stall = (): void => stalled.abort(new KubeError('timeout', `list ${path}: nothing came for ${idleMs} ms`));
  const timer = setTimeout(stall, idleMs).unref();
  let events = 0;
  return {
    listed,
    signal: stalled.signal,
    take({ type, object }) {
      timer.refresh();
      events += 1;
      if (events > most) throw new KubeError('malformed', `list ${path}: more than ${most} events`);
      if (type === 'BOOKMARK') return object.metadata.annotations?.[INITIAL_EVENTS_END] === 'true';
      if (type === 'DELETED') listed.remove(object);
      else listed.add(object);
      return false;
    },
    stop: () => clearTimeout(timer),
  };
}
