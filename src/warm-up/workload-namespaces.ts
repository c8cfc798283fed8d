import { pause } from '../util/abort.ts';

/** Namespaces whose workloads are to be looked at once more, because their label has changed. */
export interface WorkloadNamespaces {
  /** Some of its workloads were passed over: they count from a later change on. */
  passedOver(namespace: string): void;
  /** Its label has changed. Nothing happens where nothing was passed over. */
  changed(namespace: string): void;
  /** How many are to be looked at. */
  readonly waiting: number;
  close(): Promise<void>;
}

export interface WorkloadNamespacesOptions {
  /** Of a plain Pod in it, now. */
  readonly scopeOf: (namespace: string) => 'in' | 'out' | 'gone';
  /** Looks at all its workloads. A rejection is taken for "later". */
  readonly again: (namespace: string, signal: AbortSignal) => Promise<void>;
  /** Milliseconds between two namespaces, and after a failure. */
  readonly pauseMs?: number;
  readonly retryMs?: number;
}

/** One at a time: each costs a list of every kind. */
export function createWorkloadNamespaces(options: WorkloadNamespacesOptions): WorkloadNamespaces {
  const { scopeOf, again, pauseMs = 200, retryMs = 30_000 } = options;
  const passed = new Set<string>();
  const waiting = new Set<string>();
  const closing = new AbortController();
  let running: Promise<void> | undefined;

  const look = async (namespace: string): Promise<number> => {
    const scope = scopeOf(namespace);
    if (scope !== 'out') passed.delete(namespace);
    if (scope !== 'in') return 0;
    try {
      await again(namespace, closing.signal);
      return pauseMs;
    } catch {
      // What could not be listed was passed over again.
      passed.add(namespace);
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
    passedOver: (namespace) => void passed.add(namespace),
    changed(namespace) {
      if (closing.signal.aborted || !passed.has(namespace)) return;
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
