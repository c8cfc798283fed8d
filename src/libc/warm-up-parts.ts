import type { LRUCache } from 'lru-cache';

import type { Detection, DetectionFailure, Detector } from '../detection/detector.ts';
import type { TokenBucket } from '../util/token-bucket.ts';
import type { WarmUpBacklog, WarmUpItem } from './warm-up-backlog.ts';
import type { WarmUpHosts } from './warm-up-hosts.ts';

export interface WarmUpQueueOptions {
  readonly detector: Detector;
  /** Look-ups that are under way or wait in the detector, ours among them. */
  readonly lookups: () => number;
  /** Asked before each look-up; false: wait. Absent: always. */
  readonly mayAct?: () => boolean;
  readonly limits?: Partial<WarmUpLimits>;
  readonly clock: { monotonic(): number };
  readonly hooks?: WarmUpHooks;
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
  readonly pause: { readonly first: number; readonly most: number };
  /** Milliseconds a look-up is waited for. */
  readonly lookupMs: number;
  /** Milliseconds between looks whether the way is free, and most of them for which Pods' look-ups are let go first. */
  readonly yield: { readonly every: number; readonly most: number };
}

export interface WarmUpHooks {
  /** A look-up ended. */
  readonly onLookup?: (event: WarmUpLookup) => void;
  /** There was no room for an image: its first Pod will look it up. */
  readonly onDropped?: (reference: string) => void;
  /** A registry is left alone for a while. */
  readonly onPaused?: (host: string, ms: number, code: DetectionFailure) => void;
}

export interface WarmUpLookup {
  readonly reference: string;
  readonly from: Detection['from'];
  readonly failure?: DetectionFailure;
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
