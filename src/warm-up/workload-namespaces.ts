import { pause } from '../util/abort.ts';

/** Lists the workloads of a namespace again when its label has changed. */
export interface WorkloadNamespaces {
  /** Notes that a workload of the namespace was skipped because of its label. */
  skipped(namespace: string): void;
  /** Tells that the label has changed. Does nothing unless a workload of the namespace was skipped, or the namespace was out of scope. */
  changed(namespace: string): void;
  /** Namespaces that wait to be listed. */
  readonly waiting: number;
  close(): Promise<void>;
}

export interface WorkloadNamespacesOptions {
  /** Returns whether a plain Pod of the namespace is in scope now. */
  readonly scopeOf: (namespace: string) => 'in' | 'out' | 'gone';
  /** Lists all its workloads again. If it rejects, it is called again later. */
  readonly relist: (namespace: string, signal: AbortSignal) => Promise<void>;
  /** Milliseconds between two namespaces, 200 by default, and after a failure, 30,000 by default. */
  readonly pauseMs?: number;
  readonly retryMs?: number;
}

/** Lists one namespace at a time: each costs a list of every kind. */
export function createWorkloadNamespaces(options: WorkloadNamespacesOptions): WorkloadNamespaces {
  const { scopeOf, relist, pauseMs = 200, retryMs = 30_000 } = options;
  const withSkipped = new Set<string>();
  const waiting = new Set<string>();
  const closing = new AbortController();
  let running: Promise<void> | undefined;

  const look = async (namespace: string): Promise<number> => {
    const scope = scopeOf(namespace);
    if (scope !== 'out') withSkipped.delete(namespace);
    if (scope !== 'in') return 0;
    try {
      await relist(namespace, closing.signal);
      return pauseMs;
    } catch {
      withSkipped.add(namespace);
      waiting.add(namespace);
      return retryMs;
    }
  };
  const work = async (): Promise<void> => {
    for (const namespace of waiting) {
      waiting.delete(namespace);
      const waitMs = await look(namespace);
      await pause(waitMs, closing.signal);
      if (closing.signal.aborted) return;
    }
  };
  const start = (): void => {
    running ??= work().finally(() => {
      running = undefined;
      if (waiting.size > 0 && !closing.signal.aborted) start();
    });
  };
  return {
    skipped: (namespace) => void withSkipped.add(namespace),
    changed(namespace) {
      if (closing.signal.aborted) return;
      // What was known of its workloads is forgotten meanwhile (pod-resolvers).
      if (scopeOf(namespace) === 'out') withSkipped.add(namespace);
      if (!withSkipped.has(namespace)) return;
      waiting.add(namespace);
      start();
    },
    get waiting() {
      return waiting.size;
    },
    async close() {
      closing.abort();
      await running;
    },
  };
}
