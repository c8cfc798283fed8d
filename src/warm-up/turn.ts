import type { LRUCache } from 'lru-cache';

import type { Detection, DetectionFailure, Detector } from '../detection/detector.ts';
import { type Backoff, beforeAbort } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';
import type { LimitedLines } from '../telemetry/log-limits.ts';
import type { Reporter } from '../telemetry/reporter.ts';
import type { TokenBucket } from '../util/limits/token-bucket.ts';
import type { WarmUpBacklog, WarmUpItem, WarmUpLogin } from './backlog.ts';
import type { WarmUpHosts } from './hosts.ts';

/** Passing failures after which the image is left to the look-up of its first Pod. */
const MOST_FAILURES = 5;

/** The registry is the cause, not the image; `deadline`: it hangs. */
const HOST_FAILURES: ReadonlySet<DetectionFailure> = new Set(['rate-limited', 'unavailable', 'deadline']);

/** Milliseconds for which a registry is left alone after there was no room for a look-up of it: others may have room. */
const REST_MS = 5000;

/** Another workload's logins may succeed. Some registries answer "not found" for what these logins may not see. */
const LOGIN_FAILURES: ReadonlySet<DetectionFailure> = new Set(['unauthorized', 'not-found']);

interface LoginAttempt {
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
    const tenant = item.tenant !== undefined && { tenant: item.tenant };
    const request = { ...item.request, ...tenant, credentials: credentials ?? [], ahead: true };
    const detection = await options.detector.detect(request, deadline);
    if (!closing.aborted) settle(parts, item, { scope, read }, detection);
  } catch {
    // `detect` should never reject; if it does, the queue must go on.
    items.delete(item.key);
  }
}

function settle(parts: WarmUpParts, item: WarmUpItem, attempt: LoginAttempt, detection: Detection): void {
  const { options, hosts, bucket } = parts;
  const { from, meter, failure } = detection;
  if (meter.requests === 0) {
    bucket.giveBack();
    hosts.giveBack(item.host);
  }
  options.reporter?.metrics.cluster.warmedUp(failure?.code ?? from);
  options.reporter?.log.debug({ image: item.request.reference, from, failure: failure?.code }, 'looked up ahead');
  if (failure !== undefined) {
    settleFailure(parts, item, attempt, failure.code);
    return;
  }
  hosts.answered(item.host);
  finish(parts, item, meter.requests === 0 ? 'known' : 'found', item.key);
}

function settleFailure(parts: WarmUpParts, item: WarmUpItem, attempt: LoginAttempt, code: DetectionFailure): void {
  const { options, hosts } = parts;
  if (HOST_FAILURES.has(code)) {
    const ms = hosts.failed(item.host);
    const fields = { registry: item.host, ms, code };
    if (ms > 0) options.reporter?.log.info(fields, 'a registry is left alone by warm-up for a while');
    tryAgain(parts, item, attempt);
  } else if (code === 'shed') {
    hosts.rest(item.host, REST_MS);
    restoreLogin(item, attempt);
    enqueue(parts, item);
  } else if (LOGIN_FAILURES.has(code)) tryNextLogin(parts, item, attempt);
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

/** Lets an item wait for its turn; drops and counts what there is no room for. */
export function enqueue({ backlog, items, counts, options, warn }: WarmUpParts, item: WarmUpItem): void {
  for (const dropped of backlog.add(item)) {
    items.delete(dropped.key);
    counts.dropped += 1;
    options.reporter?.metrics.cluster.warmedUp('dropped');
    warn('no room to look an image up ahead: its first Pod will', { image: dropped.request.reference });
  }
}

function restoreLogin(item: WarmUpItem, { scope, read }: LoginAttempt): void {
  item.triedScopes.pop();
  item.logins.set(scope, read);
}

function tryAgain(parts: WarmUpParts, item: WarmUpItem, attempt: LoginAttempt): void {
  item.failures += 1;
  if (item.failures >= MOST_FAILURES) {
    finish(parts, item, 'failed');
    return;
  }
  restoreLogin(item, attempt);
  enqueue(parts, item);
}

function tryNextLogin(parts: WarmUpParts, item: WarmUpItem, { scope }: LoginAttempt): void {
  const key = `${item.key} ${scope}`;
  if (item.logins.size === 0) {
    finish(parts, item, 'failed', key);
    return;
  }
  parts.done.set(key, true);
  enqueue(parts, item);
}

export interface WarmUpQueueOptions {
  readonly detector: Detector;
  /** Returns the number of look-ups that run or wait in the detector, ours included. */
  readonly lookups: () => number;
  /** Called before each look-up; false: wait. Absent: always true. */
  readonly mayAct?: () => boolean;
  readonly limits?: Partial<WarmUpLimits>;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly reporter?: Reporter;
}

export interface WarmUpLimits {
  /** Most look-ups at a time; one namespace leaves one place to others. */
  readonly concurrency: number;
  /** Look-ups a second that ask a registry, and how many may be saved up. */
  readonly perSecond: number;
  readonly burst: number;
  /** Most look-ups an hour, by registry: `{ "docker.io": 5 }`. */
  readonly hourly: Readonly<Record<string, number>>;
  /** Most images that wait, and the most bytes they may take, approximately. */
  readonly items: number;
  readonly bytes: number;
  /** Milliseconds for which a registry that fails is left alone: `first`, doubled each time up to `most`. */
  readonly pause: Backoff;
  /** Milliseconds for one look-up. */
  readonly lookupMs: number;
  /** Milliseconds between checks for Pods' look-ups, and the longest time for which ours wait for them. */
  readonly yield: { readonly every: number; readonly most: number };
}

export const WARM_UP_LIMITS: WarmUpLimits = {
  concurrency: 3,
  perSecond: 2,
  burst: 10,
  hourly: { 'docker.io': 5 },
  items: 10_000,
  bytes: 8 * 1024 * 1024,
  pause: { first: 60_000, most: 3_600_000 },
  lookupMs: 30_000,
  yield: { every: 250, most: 30_000 },
};

/** The parts of a queue that its look-ups use. */
export interface WarmUpParts {
  readonly options: WarmUpQueueOptions;
  readonly limits: WarmUpLimits;
  readonly backlog: WarmUpBacklog;
  readonly bucket: TokenBucket;
  readonly hosts: WarmUpHosts;
  readonly warn: LimitedLines;
  readonly closing: AbortSignal;
  /** Items that wait or run, by key. */
  readonly items: Map<string, WarmUpItem>;
  /** Keys of items that are done. A key followed by a scope: done with the logins of that scope. */
  readonly done: LRUCache<string, true>;
  readonly counts: Record<'found' | 'known' | 'failed' | 'dropped' | 'forgotten', number>;
}
