import type { LRUCache } from 'lru-cache';

import type { Detection, DetectionFailure, Detector } from '../detection/detector.ts';
import { type Backoff, beforeAbort } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';
import type { Reporter } from '../telemetry/reporter.ts';
import type { TokenBucket } from '../util/token-bucket.ts';
import type { WarmUpBacklog, WarmUpItem, WarmUpLogin } from './backlog.ts';
import type { WarmUpHosts } from './hosts.ts';

/** Passing failures after which the first Pod is left to find out. */
const MOST_FAILURES = 5;

/** The host's state is in the way, not the image. Deadline: it hangs. */
const HOST_FAILURES: ReadonlySet<DetectionFailure> = new Set(['rate-limited', 'unavailable', 'deadline']);

/** How long nothing is looked up where the detector has no room for it. */
const REST_MS = 5000;

/** Another workload's logins may fare better: some registries say of what they may not see that it is not there. */
const LOGIN_FAILURES: ReadonlySet<DetectionFailure> = new Set(['unauthorized', 'not-found']);

interface Tried {
  readonly scope: string;
  readonly read: WarmUpLogin['read'];
}

/** Looks an item up with the first of its logins that was not tried yet. Never rejects. */
export async function lookUpItem(parts: WarmUpParts, item: WarmUpItem): Promise<void> {
  const { options, closing, items, limits } = parts;
  const [login] = item.logins;
  if (login === undefined) return;
  const [scope, read] = login;
  item.logins.delete(scope);
  item.triedScopes.push(scope);
  const deadline = AbortSignal.any([closing, AbortSignal.timeout(limits.lookupMs)]);
  const credentials = await beforeAbort(read(), deadline).catch(() => undefined);
  if (closing.aborted) return;
  try {
    const request = { ...item.request, credentials: credentials ?? [], ahead: true };
    const detection = await options.detector.detect(request, deadline);
    if (!closing.aborted) settle(parts, item, { scope, read }, detection);
  } catch {
    // A detector never rejects; one that does must not stop the queue.
    items.delete(item.key);
  }
}

function settle(parts: WarmUpParts, item: WarmUpItem, tried: Tried, detection: Detection): void {
  const { options, hosts, bucket } = parts;
  const { from, meter, failure } = detection;
  if (meter.requests === 0) {
    bucket.giveBack();
    hosts.giveBack(item.host);
  }
  options.reporter?.metrics.cluster.warmedUp(failure?.code ?? from);
  options.reporter?.log.debug({ image: item.request.reference, from, failure: failure?.code }, 'looked up ahead');
  if (failure !== undefined) {
    settleFailure(parts, item, tried, failure.code);
    return;
  }
  hosts.answered(item.host);
  finish(parts, item, meter.requests === 0 ? 'known' : 'found', item.key);
}

function settleFailure(parts: WarmUpParts, item: WarmUpItem, tried: Tried, code: DetectionFailure): void {
  const { options, hosts } = parts;
  if (HOST_FAILURES.has(code)) {
    const ms = hosts.failed(item.host);
    const fields = { registry: item.host, ms, code };
    if (ms > 0) options.reporter?.log.info(fields, 'a registry is left alone by warm-up for a while');
    tryAgain(parts, item, tried);
  } else if (code === 'shed') {
    parts.restUntil = options.clock.monotonic() + REST_MS;
    untry(item, tried);
    waitAgain(parts, item);
  } else if (LOGIN_FAILURES.has(code)) tryNextLogin(parts, item, tried);
  else finish(parts, item, 'failed', item.key);
}

function finish(
  { items, done, counts }: WarmUpParts,
  item: WarmUpItem,
  as: 'found' | 'known' | 'failed',
  key?: string,
) {
  items.delete(item.key);
  counts[as] += 1;
  if (key !== undefined) done.set(key, true);
}

function waitAgain({ backlog, items, counts }: WarmUpParts, item: WarmUpItem): void {
  if (backlog.add(item)) return;
  items.delete(item.key);
  counts.dropped += 1;
}

function untry(item: WarmUpItem, { scope, read }: Tried): void {
  item.triedScopes.pop();
  item.logins.set(scope, read);
}

function tryAgain(parts: WarmUpParts, item: WarmUpItem, tried: Tried): void {
  item.failures += 1;
  if (item.failures >= MOST_FAILURES) {
    finish(parts, item, 'failed');
    return;
  }
  untry(item, tried);
  waitAgain(parts, item);
}

function tryNextLogin(parts: WarmUpParts, item: WarmUpItem, { scope }: Tried): void {
  const key = `${item.key} ${scope}`;
  if (item.logins.size === 0) {
    finish(parts, item, 'failed', key);
    return;
  }
  parts.done.set(key, true);
  waitAgain(parts, item);
}

export interface WarmUpQueueOptions {
  readonly detector: Detector;
  /** Look-ups that are under way or wait in the detector, ours among them. */
  readonly lookups: () => number;
  /** Asked before each look-up; false: wait. Absent: always. */
  readonly mayAct?: () => boolean;
  readonly limits?: Partial<WarmUpLimits>;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly reporter?: Reporter;
}

export interface WarmUpLimits {
  /** Look-ups that ask a registry, at once, a second, and saved up at most. */
  readonly concurrency: number;
  readonly perSecond: number;
  readonly burst: number;
  /** Most look-ups an hour, by registry: `{ "docker.io": 5 }`. */
  readonly hourly: Readonly<Record<string, number>>;
  /** Most images that wait, and bytes of what is kept of them, approximately. */
  readonly items: number;
  readonly bytes: number;
  /** Milliseconds a registry that fails is left alone: first, doubled each time up to `most`. */
  readonly pause: Backoff;
  /** Milliseconds a look-up is waited for. */
  readonly lookupMs: number;
  /** Milliseconds between looks whether the way is free, and most of them for which Pods' look-ups are let go first. */
  readonly yield: { readonly every: number; readonly most: number };
}

export const WARM_UP_LIMITS: WarmUpLimits = {
  concurrency: 2,
  perSecond: 2,
  burst: 10,
  hourly: { 'docker.io': 5 },
  items: 10_000,
  bytes: 8 * 1024 * 1024,
  pause: { first: 60_000, most: 3_600_000 },
  lookupMs: 30_000,
  yield: { every: 250, most: 30_000 },
};

/** What a queue consists of: for its turns. */
export interface WarmUpParts {
  readonly options: WarmUpQueueOptions;
  readonly limits: WarmUpLimits;
  readonly backlog: WarmUpBacklog;
  readonly bucket: TokenBucket;
  readonly hosts: WarmUpHosts;
  readonly closing: AbortSignal;
  /** Waiting or under way, by key. */
  readonly items: Map<string, WarmUpItem>;
  /** Keys that are found; keys with a scope behind them that those logins did not find. */
  readonly done: LRUCache<string, true>;
  readonly counts: Record<'found' | 'known' | 'failed' | 'dropped' | 'forgotten', number>;
  /** Nothing is looked up until then, by the monotonic clock. */
  restUntil: number;
}
