import type { Trouble } from '../telemetry/reporter.ts';
import { type Backoff, backoffMs, pause } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';
import type { KubeClient, WatchEvent, WatchRequest } from './client.ts';
import { type CollectionCopy, type CopyOptions, createCollectionCopy, type NewList } from './collection.ts';
import { asKubeError, KubeError } from './errors.ts';
import type { KubeObject } from './objects.ts';

export interface ReflectorOptions<T> extends CopyOptions<T> {
  readonly client: KubeClient;
  /** Of the collection, as `resourcePath` makes it. */
  readonly path: string;
  /** `labelSelector`, `fieldSelector`. */
  readonly query?: Readonly<Record<string, string>>;
  /** Ask for metadata alone: specs and statuses are then neither sent nor parsed. */
  readonly metadataOnly?: boolean;
  /** Reported where a list or watch fails, and once a watch is open again. */
  readonly trouble?: Trouble;
  /** Called when a list is complete; `items` are remembered. */
  readonly onSynced?: (items: number) => void;
  /** Called at each list or watch that failed; the next one begins in `waitMs`. */
  readonly onError?: (error: KubeError, waitMs: number) => void;
  readonly clock: Pick<Clock, 'now'>;
  /** Milliseconds: first wait after a failure, doubled at each further one up to `most`, with jitter. */
  readonly backoff?: Backoff;
  readonly pageSize?: number;
  /**
   * Ask for the list as the first events of the watch: the API server has them in memory, where pages are read from etcd. Pages
   * where it refuses (Kubernetes before 1.32).
   */
  readonly streamed?: boolean;
}

/** A copy of a collection of the API, kept up to date. Reads are of memory alone. */
export interface Reflector<T> {
  /** By name, or `namespace/name`. */
  readonly items: ReadonlyMap<string, T>;
  /** Whether the first list is complete. It stays true when the API server goes away: old knowledge beats none. */
  readonly synced: boolean;
  /** When the API server was last heard of, milliseconds since 1970; undefined: never. */
  readonly contactAt: number | undefined;
  /** Resolves at the end of the first list, or when closed. Never rejects. */
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

/** The API server sends a bookmark about once a minute: half-open connections are found out after this. */
const IDLE_MS = 150_000;

const LIST_MS = 30_000;

/** A million objects: a server whose pages never end is not followed for ever. */
const MOST_PAGES = 2000;

const DEFAULT_BACKOFF: Backoff = { first: 500, most: 30_000 };

interface Run<T> {
  readonly options: ReflectorOptions<T>;
  readonly copy: CollectionCopy<T>;
  readonly signal: AbortSignal;
  /** Where to watch from; undefined: list first. */
  version: string | undefined;
  /** Whether lists are asked for as events; no longer once that has failed. */
  streamed: boolean;
  synced: boolean;
  contactAt: number | undefined;
  /** Since the last watch that lasted. */
  failures: number;
  lost: boolean;
}

function heard<T>(run: Run<T>): void {
  run.contactAt = run.options.clock.now();
}

/** A watch is open. A successful list alone is not recovery: without a watch the copy goes stale. */
function opened<T>(run: Run<T>): void {
  heard(run);
  if (run.lost) run.options.trouble?.recovered();
  run.lost = false;
}

function accept({ metadataOnly }: { readonly metadataOnly?: boolean }, kind: string): { accept?: string } {
  return metadataOnly ? { accept: `application/json;as=${kind};g=meta.k8s.io;v=v1,application/json` } : {};
}

interface Page {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly KubeObject[];
}

async function list<T>(run: Run<T>): Promise<void> {
  const { client, path, query, pageSize = 500 } = run.options;
  const listed = run.copy.list();
  let next = '';
  let version: string | undefined;
  let pages = 0;
  do {
    pages += 1;
    if (pages > MOST_PAGES) throw new KubeError('malformed', `list ${path}: more than ${MOST_PAGES} pages`);
    const page: Page = await client.request({
      path,
      query: { ...query, limit: pageSize, ...(next !== '' && { continue: next }) },
      timeoutMs: LIST_MS,
      signal: run.signal,
      ...accept(run.options, 'PartialObjectMetadataList'),
    });
    for (const object of page.items ?? []) listed.add(object);
    version = page.metadata?.resourceVersion;
    next = page.metadata?.continue ?? '';
    heard(run);
  } while (next !== '');
  complete(run, listed, version);
}

function complete<T>(run: Run<T>, listed: NewList, version: string | undefined): void {
  listed.done();
  run.version = version;
  run.synced = true;
  run.options.onSynced?.(run.copy.items.size);
}

/** A watch that ends sooner counts as a failure, whatever it said: no loop may run hot. */
const leastWatchMs = <T>({ backoff = DEFAULT_BACKOFF }: ReflectorOptions<T>): number => 2 * backoff.first;

const watchQuery = <T>({ options: { query }, version }: Run<T>): NonNullable<WatchRequest['query']> => ({
  ...query,
  ...(version === undefined ? STREAMED_LIST : { resourceVersion: version }),
  allowWatchBookmarks: true,
  // client-go: 5 to 10 minutes, so that not all watches of a cluster begin anew at once.
  timeoutSeconds: Math.round(300 * (1 + Math.random())),
});

async function follow<T>(run: Run<T>, synced: () => void): Promise<void> {
  const { client, path } = run.options;
  let begun = run.version === undefined ? streamedList(run.copy.list(), { path, idleMs: LIST_MS }) : undefined;
  const watching = client.watch({
    path,
    query: watchQuery(run),
    idleMs: IDLE_MS,
    onOpen: () => (begun === undefined ? opened(run) : heard(run)),
    signal: begun === undefined ? run.signal : AbortSignal.any([run.signal, begun.signal]),
    ...accept(run.options, 'PartialObjectMetadata'),
  });
  try {
    for await (const event of watching) {
      heard(run);
      if (begun === undefined) run.copy.apply(event);
      else if (begun.take(event)) {
        complete(run, begun.listed, event.object.metadata.resourceVersion);
        begun.stop();
        begun = undefined;
        opened(run);
        synced();
      }
      if (begun === undefined) run.version = event.object.metadata.resourceVersion ?? run.version;
    }
  } finally {
    begun?.stop();
  }
  if (begun !== undefined) throw new KubeError('server', `list ${path}: the server ended it before its end`);
}

async function watch<T>(run: Run<T>, synced: () => void): Promise<void> {
  const began = performance.now();
  const lasted = (): boolean => performance.now() - began >= leastWatchMs(run.options);
  try {
    await follow(run, synced);
  } finally {
    if (lasted()) run.failures = 0;
  }
  if (!lasted()) throw new KubeError('server', `watch ${run.options.path}: the server ended it at once`);
}

/**
 * Not found: the resource itself is gone, and its objects with it. Forbidden: who may list and not watch is as up to date as
 * the waits between attempts allow.
 */
const NEEDS_LIST: ReadonlySet<string> = new Set(['gone', 'invalid', 'malformed', 'not-found', 'forbidden']);

async function waitAfter<T>(run: Run<T>, error: unknown): Promise<void> {
  const known = asKubeError(error, 'server');
  if (NEEDS_LIST.has(known.code)) run.version = undefined;
  const waitMs = backoffMs(run.options.backoff ?? DEFAULT_BACKOFF, run.failures);
  run.failures += 1;
  run.options.onError?.(known, waitMs);
  // A resourceVersion that is too old is ordinary: the next list brings a new one.
  if (known.code !== 'gone') {
    run.lost = true;
    run.options.trouble?.lost(known);
  }
  await pause(waitMs, run.signal);
}

async function keepUp<T>(run: Run<T>, synced: () => void): Promise<void> {
  while (!run.signal.aborted) {
    try {
      if (run.version === undefined && !run.streamed) await list(run);
      if (run.version !== undefined) synced();
      await watch(run, synced);
    } catch (error) {
      // Whatever went wrong: the pages tell whether it is more than that this server or this account cannot have it so.
      const isRefused = run.streamed && run.version === undefined;
      if (isRefused) run.streamed = false;
      else if (!run.signal.aborted) await waitAfter(run, error);
    }
  }
}

/**
 * Lists a collection page by page, then watches it (client-go: tools/cache/reflector.go). Any failure leads to a new
 * attempt after a growing, jittered wait; a resourceVersion that is too old, to a new list.
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
    synced: false,
    contactAt: undefined,
    failures: 0,
    lost: false,
  };
  const running = keepUp(run, synced).finally(synced);
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

/** What a watch is asked with: all that is there as ADDED, then a bookmark that says so (KEP-3157). */
const STREAMED_LIST = {
  sendInitialEvents: true,
  resourceVersionMatch: 'NotOlderThan',
  resourceVersion: '',
} as const;

const ENDS = 'k8s.io/initial-events-end';

/** As many as all pages of a list hold. */
const MOST_EVENTS = 1_000_000;

/** A list that comes as the first events of a watch. */
interface StreamedList {
  readonly listed: NewList;
  /** Aborted with a {@link KubeError} (timeout) where nothing came for `idleMs`. */
  readonly signal: AbortSignal;
  /** Whether the event was the end of the list. Throws {@link KubeError} (malformed) where the list does not end. */
  take(event: WatchEvent): boolean;
  /** Nothing is waited for any more. */
  stop(): void;
}

/** Collects events into `listed`; changes may come between those of the list (client-go: Reflector.watchList). */
export function streamedList(
  listed: NewList,
  { path, idleMs, most = MOST_EVENTS }: { readonly path: string; readonly idleMs: number; readonly most?: number },
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
      if (type === 'BOOKMARK') return object.metadata.annotations?.[ENDS] === 'true';
      if (type === 'DELETED') listed.remove(object);
      else listed.add(object);
      return false;
    },
    stop: () => clearTimeout(timer),
  };
}
