import { LRUCache } from 'lru-cache';

import { type Backoff, doublingMs } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';
import { createTokenBucket, type TokenBucket } from '../util/limits/token-bucket.ts';

/** Decides when each registry may be asked again. */
export interface WarmUpHosts {
  /** Returns the milliseconds until the registry may be asked; 0: now. */
  wait(host: string): number;
  /** Counts a look-up against the registry's hourly limit. */
  take(host: string): void;
  /** Takes the last `take` back: the registry was not asked after all. */
  giveBack(host: string): void;
  /** Pauses the registry, longer after each failure in a row. Returns the pause in milliseconds; 0 if it is paused already. */
  failed(host: string): number;
  answered(host: string): void;
  /** Leaves the registry alone for so many milliseconds, without a failure of its own. */
  rest(host: string, ms: number): void;
  /** Returns how many registries are paused now. */
  paused(): number;
}

interface WarmUpHostsOptions {
  /** Most look-ups an hour, by registry. Other registries have no limit of their own. */
  readonly hourly: Readonly<Record<string, number>>;
  /** The first and the longest pause, in milliseconds. */
  readonly pause: Backoff;
  readonly clock: Pick<Clock, 'monotonic'>;
}

interface HostState {
  pausedUntil: number;
  failures: number;
  readonly bucket: TokenBucket | undefined;
}

/** A bound, for workloads choose the host names. A host that is pushed out still meets the registry client's breaker. */
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
      // Look-ups that ran at the same time fail together: they count as one failure.
      if (state.pausedUntil > now) return 0;
      const ms = doublingMs(pause, state.failures);
      state.failures += 1;
      state.pausedUntil = now + ms;
      return ms;
    },
    answered(host) {
      stateOf(host).failures = 0;
    },
    rest(host, ms) {
      const state = stateOf(host);
      state.pausedUntil = Math.max(state.pausedUntil, clock.monotonic() + ms);
    },
    paused() {
      const now = clock.monotonic();
      return [...states.values()].filter(({ pausedUntil }) => pausedUntil > now).length;
    },
  };
}
