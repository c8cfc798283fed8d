import { LRUCache } from 'lru-cache';

import { createRecentUse, MOST_TENANTS, type Tenant } from './recent-use.ts';

/** A piece of work on the thread, which counts what it uses and lets others have their turn. */
export interface ThreadWork {
  /** Milliseconds of the thread that it has used. */
  readonly usedMs: number;
  /**
   * Counts what the thread has done since the last call of any work. Returns a promise to wait for if the tenant has used its
   * slice up, else undefined: call it often. The promise rejects with the signal's reason.
   */
  due(): Promise<void> | undefined;
}

/** Who goes first: `prompt` before `background`, whatever they have used. */
type Urgency = 'prompt' | 'background';

/**
 * Shares the thread among tenants, in slices. Of the tenants that have used their slice up, one goes on in each round of the
 * event loop: the one that used the thread least lately. What has work to do and used less than a slice does not wait at all.
 */
export interface FairThread {
  work(tenant: Tenant, urgency: Urgency, signal: AbortSignal): ThreadWork;
}

interface FairThreadOptions {
  readonly sliceMs: number;
  /** Returns the milliseconds that this thread has been running so far, without those that it waited. */
  readonly threadMs?: () => number;
}

/** Milliseconds between two looks at what the thread has used: a look takes a microsecond. */
const LOOK_MS = 1;

/** What waits for its turn. */
interface Waiter {
  readonly tenant: Tenant;
  readonly urgency: Urgency;
  readonly go: () => void;
}

function usedByThread(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

export function createFairThread({ sliceMs, threadMs = usedByThread }: FairThreadOptions): FairThread {
  const recent = createRecentUse();
  /** What each tenant has used since its last turn, in milliseconds. */
  const slices = new LRUCache<string, number>({ maxSize: MOST_TENANTS, sizeCalculation: () => 1 });
  const waiting = new Set<Waiter>();
  let mark = threadMs();
  let lookedAt = -Infinity;
  let isRunning = false;
  const turn = (): void => {
    const next = firstOf(waiting, (tenant) => recent.of(tenant));
    isRunning = next !== undefined;
    if (next === undefined) return;
    waiting.delete(next);
    slices.delete(next.tenant ?? '');
    mark = threadMs();
    next.go();
    setImmediate(turn);
  };
  const wait = (tenant: Tenant, urgency: Urgency, signal: AbortSignal): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { tenant, urgency, go: resolve };
    const abandon = (): void => {
      waiting.delete(waiter);
      reject(signal.reason as Error);
    };
    if (signal.aborted) abandon();
    else waiting.add(waiter);
    signal.addEventListener('abort', abandon, { once: true });
    if (!isRunning) setImmediate(turn);
    isRunning = true;
    return promise.finally(() => signal.removeEventListener('abort', abandon));
  };
  const look = (tenant: Tenant): number => {
    const now = performance.now();
    if (now - lookedAt < LOOK_MS) return 0;
    lookedAt = now;
    const upTo = threadMs();
    const used = upTo - mark;
    mark = upTo;
    recent.add(tenant, used);
    slices.set(tenant ?? '', (slices.get(tenant ?? '') ?? 0) + used);
    return used;
  };
  return {
    work(tenant, urgency, signal) {
      let usedMs = 0;
      // What the thread did meanwhile, while nothing looked, is not its doing.
      mark = threadMs();
      return {
        get usedMs() {
          return usedMs;
        },
        due() {
          usedMs += look(tenant);
          return (slices.get(tenant ?? '') ?? 0) < sliceMs ? undefined : wait(tenant, urgency, signal);
        },
      };
    },
  };
}

/** Returns whose turn it is; undefined if nothing waits. */
function firstOf(waiting: ReadonlySet<Waiter>, used: (tenant: Tenant) => number): Waiter | undefined {
  let first: Waiter | undefined;
  for (const one of waiting) {
    const isPrompt = one.urgency === 'prompt';
    const isSame = first?.urgency === one.urgency;
    if (first === undefined || (isSame ? used(one.tenant) < used(first.tenant) : isPrompt)) first = one;
  }
  return first;
}
