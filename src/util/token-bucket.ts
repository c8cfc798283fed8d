import type { Clock } from './clock.ts';

/** Spaces acts out: so many a second, with so many saved up at most. */
export interface TokenBucket {
  /** Milliseconds until there is a token; 0: there is one. */
  wait(): number;
  /** Takes a token, whether or not there is one. */
  take(): void;
  /** The act cost nothing after all. */
  giveBack(): void;
}

interface TokenBucketOptions {
  readonly perSecond: number;
  /** Tokens at the beginning, and most that are saved up. */
  readonly burst: number;
  /** Milliseconds that never go back. */
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
