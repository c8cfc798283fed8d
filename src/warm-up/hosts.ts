import { LRUCache } from 'lru-cache';

import { type Backoff, doublingMs } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';
import { createTokenBucket, type TokenBucket } from '../util/token-bucket.ts';

/** When each registry may be asked again. */
export interface WarmUpHosts {
  /** Milliseconds until it may be; 0: now. */
  wait(host: string): number;
  take(host: string): void;
  /** It was not asked after all. */
  giveBack(host: string): void;
  /** Leaves it alone for a while, longer each time in a row. Returns milliseconds; 0 where it is left alone already. */
  failed(host: string): number;
  answered(host: string): void;
  /** How many are left alone now. */
  paused(): number;
}

interface WarmUpHostsOptions {
  /** Most look-ups an hour, by registry. A registry that is not named has no limit of its own. */
  readonly hourly: Readonly<Record<string, number>>;
  /** Milliseconds, the first time and at most. */
  readonly pause: Backoff;
  readonly clock: Pick<Clock, 'monotonic'>;
}

interface HostState {
  pausedUntil: number;
  failures: number;
  readonly bucket: TokenBucket | undefined;
}

/** Whoever creates workloads chooses the names. The registry client has a breaker of its own behind this. */
const MOST_HOSTS = 1000;

const HOUR_SECONDS = 3600;

export function createWarmUpHosts({ hourly, pause, clock }: WarmUpHostsOptions): WarmUpHosts {
  const states = new LRUCache<string, HostState>({ max: MOST_HOSTS });
  const stateOf = (host: string): HostState => {
    const known = states.get(host);
    if (known !== undefined) return known;
    const limit = Object.hasOwn(hourly, host) ? hourly[host] : undefined;
    const rate = limit === undefined ? undefined : { perSecond: limit / HOUR_SECONDS, burst: limit, clock };
    const state = { pausedUntil: 0, failures: 0, bucket: rate && createTokenBucket(rate) };
    states.set(host, state);
    return state;
  };
  return {
    wait(host) {
      const { pausedUntil, bucket } = stateOf(host);
      return Math.max(0, pausedUntil - clock.monotonic(), bucket?.wait() ?? 0);
    },
    take: (host) => stateOf(host).bucket?.take(),
    giveBack: (host) => stateOf(host).bucket?.giveBack(),
    failed(host) {
      const state = stateOf(host);
      const now = clock.monotonic();
      // What was under way together fails together, and counts once.
      if (state.pausedUntil > now) return 0;
      const ms = doublingMs(pause, state.failures);
      state.failures += 1;
      state.pausedUntil = now + ms;
      return ms;
    },
    answered(host) {
      stateOf(host).failures = 0;
    },
    paused() {
      const now = clock.monotonic();
      return [...states.values()].filter(({ pausedUntil }) => pausedUntil > now).length;
    },
  };
}
