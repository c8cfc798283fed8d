import { isDeepStrictEqual } from 'node:util';

import { LRUCache } from 'lru-cache';

import type { KubeClient } from '../kubernetes/client.ts';
import { asKubeError, KubeError } from '../kubernetes/errors.ts';
import { type KubeObject, resourcePath, RESOURCES } from '../kubernetes/objects.ts';
import { createReflector } from '../kubernetes/reflector.ts';
import { namespaceLabelsRead } from '../policy/exemptions.ts';
import type { NamespaceView } from '../policy/model.ts';
import { MODE_LABEL } from '../policy/scope.ts';
import { type Reporter, silentReporter } from '../telemetry/reporter.ts';
import type { Backoff } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';
import { createCoalescer } from '../util/coalesce.ts';

export interface NamespacesOptions {
  readonly client: KubeClient;
  readonly clock: Pick<Clock, 'now'>;
  readonly reporter?: Reporter;
  /** For tests. */
  readonly reads?: Partial<Pick<NamespaceReadsOptions, 'timeoutMs' | 'ttlMs' | 'failureTtlMs' | 'entries'>>;
  /** For tests. */
  readonly backoff?: Backoff;
}

/** The labels of every namespace that decisions read. Implements `admission`'s `Namespaces`. */
export interface ClusterNamespaces {
  /** Returns a namespace from the cache, else from the API. Rejects with `KubeError` if that fails. */
  get(name: string): NamespaceView | Promise<NamespaceView>;
  /** Returns a namespace from the cache; undefined if it is not there. */
  peek(name: string): NamespaceView | undefined;
  /** Returns the names of all namespaces in the cache. */
  names(): Iterable<string>;
  /** Resolves when all namespaces have been read once. */
  readonly ready: Promise<void>;
  /** Resolves when all namespaces have been read once, or when that has failed. */
  readonly settled: Promise<void>;
  /** Calls `listener` with the name of each namespace that was created or deleted, or whose labels have changed. */
  onChange(listener: (name: string) => void): void;
  /** Whether all namespaces have been read once; until then each is read when it is asked for. */
  readonly synced: boolean;
  /** Namespaces in the cache. */
  readonly size: number;
  /** When the API server last answered, milliseconds since 1970; undefined: never. */
  readonly contactAt: number | undefined;
  close(): Promise<void>;
}

/** Limits for reads of namespaces that are not in the cache yet: the watch brings them within milliseconds. */
const READS = { timeoutMs: 5000, ttlMs: 5000, failureTtlMs: 1000, entries: 1000, concurrency: 64 };

function view(name: string, kept: KeptLabels): NamespaceView {
  if (kept === null) return { name, labels: {} };
  return { name, labels: typeof kept === 'string' ? { [MODE_LABEL]: kept } : kept };
}

/**
 * Keeps the labels that decisions read of every namespace by a watch on their metadata. The API server admits Pods to a namespace before
 * the watch has brought it here, so a namespace that is not in the cache is read by name.
 */
export function createNamespaces(options: NamespacesOptions): ClusterNamespaces {
  const { client, clock, reporter = silentReporter, reads, backoff } = options;
  const listeners: ((name: string) => void)[] = [];
  const { promise: failed, resolve: fail } = Promise.withResolvers<void>();
  const trouble = reporter.trouble('the namespaces cannot be watched; each new one is read by itself', 'namespaces');
  const countRead = (code: string): void => reporter.metrics.cluster.apiFailed('namespace', code);
  const single = createNamespaceReads({ client, clock, ...READS, ...reads, onFailed: countRead });
  const reflector = createReflector<KeptLabels>({
    client,
    clock,
    path: resourcePath(RESOURCES.namespaces),
    metadataOnly: true,
    streamed: true,
    keep: labelsOf,
    // A list reports all namespaces, changed or not.
    onChange(name, now, before) {
      if (!isDeepStrictEqual(now, before)) for (const listener of listeners) listener(name);
    },
    // Not a failure: a list whose continuation has expired starts again.
    onError: ({ code }) => void (code !== 'gone' && fail()),
    trouble: {
      lost: trouble.lost,
      recovered() {
        single.forgetFailures();
        trouble.recovered();
      },
    },
    ...(backoff && { backoff }),
  });
  reporter.metrics.cluster.informer('namespaces', () => ({
    synced: reflector.synced,
    items: reflector.items.size,
    contactAt: reflector.contactAt,
  }));
  return {
    get(name) {
      const kept = reflector.items.get(name);
      return kept === undefined ? single.get(name).then((found) => view(name, found)) : view(name, kept);
    },
    peek(name) {
      const kept = reflector.items.get(name);
      return kept === undefined ? undefined : view(name, kept);
    },
    names: () => reflector.items.keys(),
    ready: reflector.ready,
    settled: Promise.race([reflector.ready, failed]),
    onChange: (listener) => void listeners.push(listener),
    get synced() {
      return reflector.synced;
    },
    get size() {
      return reflector.items.size;
    },
    get contactAt() {
      return reflector.contactAt;
    },
    async close() {
      single.close();
      await reflector.close();
    },
  };
}

/** Kept small, for there may be 10,000 namespaces. null: no label; a string: the mode label alone. */
type KeptLabels = string | Readonly<Record<string, string>> | null;

function labelsOf({ metadata }: KubeObject): KeptLabels {
  const labels = namespaceLabelsRead(metadata.labels ?? {});
  const isModeAlone = Object.keys(labels).every((name) => name === MODE_LABEL);
  return isModeAlone ? (labels[MODE_LABEL] ?? null) : labels;
}

interface NamespaceReadsOptions {
  readonly client: KubeClient;
  readonly clock: Pick<Clock, 'now'>;
  /** Milliseconds for one read. Waiting Pods have deadlines of their own; a late answer serves the next Pod. */
  readonly timeoutMs: number;
  /** Milliseconds for which an answer is remembered: by then the watch has it, or the label may have changed. */
  readonly ttlMs: number;
  /** Milliseconds for which a failure is remembered, so that a burst of Pods does not become a burst of requests. */
  readonly failureTtlMs: number;
  /** Most answers remembered. */
  readonly entries: number;
  /** Most reads at a time; further ones fail with `throttled`. */
  readonly concurrency: number;
  /** Called with the code of each read that failed. */
  readonly onFailed: (code: KubeError['code']) => void;
}

/** Reads namespaces by name. */
interface NamespaceReads {
  /** Rejects with {@link KubeError}; `not-found` if there is no such namespace. */
  get(name: string): Promise<KeptLabels>;
  /** Forgets remembered failures: the API server answers again. */
  forgetFailures(): void;
  close(): void;
}

interface Remembered {
  readonly answer: KeptLabels | KubeError;
  readonly until: number;
}

/** RFC 1123 label: the API server's rule for names of namespaces. */
const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

const ACCEPT = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json';

/**
 * Reads each name once at a time. A GET without a resourceVersion is answered from etcd, even by an API server whose own
 * cache is behind: waiting would not change a `not-found`.
 */
function createNamespaceReads(options: NamespaceReadsOptions): NamespaceReads {
  const { client, clock } = options;
  const closing = new AbortController();
  const reads = createCoalescer<KeptLabels>();
  const memory = new LRUCache<string, Remembered>({ max: options.entries });

  function remember(name: string, answer: KeptLabels | KubeError): void {
    const life = answer instanceof KubeError ? options.failureTtlMs : options.ttlMs;
    memory.set(name, { answer, until: clock.now() + life });
    if (answer instanceof KubeError) options.onFailed(answer.code);
  }

  async function read(name: string): Promise<KeptLabels> {
    const path = resourcePath(RESOURCES.namespaces, name);
    try {
      const request = { path, accept: ACCEPT, timeoutMs: options.timeoutMs, signal: closing.signal };
      const labels = labelsOf(await client.request(request));
      remember(name, labels);
      return labels;
    } catch (error) {
      const failure = asKubeError(error, 'malformed');
      if (!closing.signal.aborted) remember(name, failure);
      throw failure;
    }
  }

  return {
    async get(name) {
      if (!NAME.test(name)) throw new KubeError('invalid', `${JSON.stringify(name.slice(0, 100))} names no namespace`);
      const known = memory.get(name);
      if (known !== undefined && known.until > clock.now()) {
        if (known.answer instanceof KubeError) throw known.answer;
        return known.answer;
      }
      if (reads.get(name) === undefined && reads.size >= options.concurrency) {
        throw new KubeError('throttled', `namespace ${name}: ${reads.size} others are being read already`);
      }
      return await reads.run(name, async () => await read(name));
    },
    forgetFailures() {
      const names = [...memory.keys()];
      for (const name of names) if (memory.peek(name)?.answer instanceof KubeError) memory.delete(name);
    },
    close: () => closing.abort(),
  };
}
