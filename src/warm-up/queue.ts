import { LRUCache } from 'lru-cache';

import { silentReporter } from '../telemetry/reporter.ts';
import type { Tenant } from '../util/limits/recent-use.ts';
import { createTokenBucket } from '../util/limits/token-bucket.ts';
import {
  createWarmUpBacklog,
  isStillWanted,
  joinItem,
  scopeOf,
  warmUpItem,
  type WarmUpItem,
  type WarmUpOffer,
} from './backlog.ts';
import { createWarmUpHosts } from './hosts.ts';
import { enqueue, lookUpItem, WARM_UP_LIMITS, type WarmUpParts, type WarmUpQueueOptions } from './turn.ts';

export interface WarmUpQueueStats {
  // As they are now.
  readonly waiting: number;
  readonly bytes: number;
  readonly running: number;
  readonly pausedHosts: number;
  // Counted since the start.
  /** Found by asking a registry. */
  readonly found: number;
  /** Known already: no registry was asked. */
  readonly known: number;
  readonly failed: number;
  readonly dropped: number;
  /** No longer wanted when their turn came. */
  readonly forgotten: number;
}

/** Looks images up before their first Pod needs them, while no Pod's look-up is waiting. */
export interface WarmUpQueue {
  offer(offer: WarmUpOffer): void;
  stats(): WarmUpQueueStats;
  /** Starts no more look-ups, and stops waiting for the running ones: the detector ends them in its own time. */
  close(): Promise<void>;
}

/** Most images remembered as looked up: they are not looked up a second time. */
const MOST_REMEMBERED = 20_000;

/** Milliseconds between two calls of `mayAct` while it returns false. */
const STANDBY_MS = 1000;

/** A bound, for setTimeout fires at once when given more than 24 days. */
const LONGEST_TIMER_MS = 3_600_000;

/** Milliseconds between an offer and its look-up: offers come in bursts, and are then handled together. */
const GATHER_MS = 50;

/**
 * Creates a queue of low priority: it looks each image up once, few at a time, paced by a token bucket, after Pods' own
 * look-ups. A registry that fails is left alone for a while.
 */
export function createWarmUpQueue(options: WarmUpQueueOptions): WarmUpQueue {
  const limits = { ...WARM_UP_LIMITS, ...options.limits };
  const closing = new AbortController();
  const queue: Queue = {
    options,
    limits,
    backlog: createWarmUpBacklog(limits),
    bucket: createTokenBucket({ ...limits, clock: options.clock }),
    hosts: createWarmUpHosts({ ...limits, clock: options.clock }),
    closing: closing.signal,
    items: new Map(),
    done: new LRUCache({ max: MOST_REMEMBERED }),
    running: new Map(),
    counts: { found: 0, known: 0, failed: 0, dropped: 0, forgotten: 0 },
    timer: undefined,
    yieldsSince: undefined,
    warn: (options.reporter ?? silentReporter).warnings(),
  };
  return {
    offer(offer) {
      if (closing.signal.aborted) return;
      admit(queue, offer);
      schedule(queue, GATHER_MS);
    },
    stats() {
      const { backlog, running, hosts, counts } = queue;
      return {
        waiting: backlog.size,
        bytes: backlog.bytes,
        running: running.size,
        pausedHosts: hosts.paused(),
        ...counts,
      };
    },
    async close() {
      closing.abort();
      clearTimeout(queue.timer?.handle);
      await Promise.all(queue.running.keys());
    },
  };
}

interface Queue extends WarmUpParts {
  readonly running: Map<Promise<void>, WarmUpItem>;
  timer: { readonly at: number; readonly handle: NodeJS.Timeout } | undefined;
  yieldsSince: number | undefined;
}

function admit(queue: Queue, offer: WarmUpOffer): void {
  const { items, done, backlog } = queue;
  const item = warmUpItem(offer);
  const known = items.get(item.key);
  if (known !== undefined) {
    joinItem(known, offer);
    backlog.share(known, item.tenant);
    return;
  }
  if (done.has(item.key) || done.has(`${item.key} ${scopeOf(offer)}`)) return;
  joinItem(item, offer);
  items.set(item.key, item);
  enqueue(queue, item);
}

/** Pods' look-ups go first, for nobody waits for ours; but only for a bounded time, so that a registry that hangs cannot stop us. */
function mustYield(queue: Queue): boolean {
  const { options, limits, running } = queue;
  const now = options.clock.monotonic();
  if (options.lookups() <= running.size) {
    queue.yieldsSince = undefined;
    return false;
  }
  queue.yieldsSince ??= now;
  if (now - queue.yieldsSince < limits.yield.most) return true;
  queue.yieldsSince = undefined;
  return false;
}

/** Reports whether the look-ups of a namespace take all but one of the places: that one is for others. Its next comes when one of these ends. */
function hasShare({ running, limits }: Queue, tenant: Tenant): boolean {
  const own = running.values().filter((item) => item.tenant === tenant);
  return own.toArray().length >= Math.max(1, limits.concurrency - 1);
}

/** Returns the item to look up now, else the milliseconds to wait; Infinity if the backlog is empty. */
function choose(queue: Queue): WarmUpItem | number {
  const { backlog, hosts, items, bucket, counts, options, limits } = queue;
  while (backlog.size > 0) {
    if (options.mayAct?.() === false) return STANDBY_MS;
    const item = backlog.next((host, tenant) =>
      hasShare(queue, tenant) ? Number.POSITIVE_INFINITY : hosts.wait(host),
    );
    if (typeof item === 'number') return item;
    if (isStillWanted(item)) {
      return bucket.wait() || (mustYield(queue) ? limits.yield.every : item);
    }
    backlog.remove(item);
    items.delete(item.key);
    counts.forgotten += 1;
  }
  return Number.POSITIVE_INFINITY;
}

function begin(queue: Queue, item: WarmUpItem): void {
  queue.backlog.remove(item);
  queue.bucket.take();
  queue.hosts.take(item.host);
  const running = lookUpItem(queue, item).finally(() => {
    queue.running.delete(running);
    schedule(queue, 0);
  });
  queue.running.set(running, item);
}

function advance(queue: Queue): void {
  queue.timer = undefined;
  while (!queue.closing.aborted && queue.running.size < queue.limits.concurrency) {
    const next = choose(queue);
    if (typeof next === 'number') {
      schedule(queue, next);
      return;
    }
    begin(queue, next);
  }
}

/** Advances the queue in `ms` milliseconds, or sooner if that is scheduled already. */
function schedule(queue: Queue, ms: number): void {
  if (queue.closing.aborted || !Number.isFinite(ms)) return;
  const at = queue.options.clock.monotonic() + ms;
  if (queue.timer !== undefined && queue.timer.at <= at) return;
  clearTimeout(queue.timer?.handle);
  const handle = setTimeout(() => advance(queue), Math.min(ms, LONGEST_TIMER_MS)).unref();
  queue.timer = { at, handle };
}
