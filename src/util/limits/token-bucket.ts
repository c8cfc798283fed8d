import type { Clock } from '../clock.ts';

/** A rate limit: so many acts a second, and a burst after a pause. */
export interface TokenBucket {
  /** Returns the milliseconds until there is a token; 0 if there is one. */
  wait(): number;
  /** Takes a token even if there is none: the next act then waits longer. */
  take(): void;
  /** Returns a token: the act did not take place. */
  giveBack(): void;
}

interface TokenBucketOptions {
  readonly perSecond: number;
  /** Tokens at the start, and the most that are saved up. */
  readonly burst: number;
  readonly clock: Pick<Clock, 'monotonic'>;
}

export function createTokenBucket({ perSecond, burst, clock }: TokenBucketOptions): TokenBucket {
  let tokens = burst;
  let at = clock.monotonic();
  const fill = (): void => {
    const now = clock.monotonic();
    tokens = Math.min(burst, tokens + ((now - at) / 1000) * perSecond);
    at = now;
  };
  return {
    wait() {
      fill();
      return tokens >= 1 ? 0 : Math.ceil(((1 - tokens) / perSecond) * 1000);
    },
    take() {
      fill();
      tokens -= 1;
    },
    giveBack() {
      tokens = Math.min(burst, tokens + 1);
    },
  };
}
