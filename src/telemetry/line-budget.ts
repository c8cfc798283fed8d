import type { AdjustableLog, Log } from './log.ts';

export interface LineBudget {
  /** Lines a second, for as long as one likes. */
  readonly perSecond: number;
  /** Lines at once, after a time without any. */
  readonly burst: number;
  /** Milliseconds. */
  readonly monotonic: () => number;
  /** A line was not written. */
  readonly onLeftOut: () => void;
}

const AGAIN_MS = 60_000;

/** Which lines may be written: a token bucket, and how many it kept back since that was last said. */
function createBucket({ perSecond, burst, monotonic, onLeftOut }: LineBudget) {
  let tokens = burst;
  let filledAt = monotonic();
  let saidAt = -Infinity;
  let leftOut = 0;
  return {
    take(now: number): boolean {
      tokens = Math.min(burst, tokens + ((now - filledAt) / 1000) * perSecond);
      filledAt = now;
      if (tokens >= 1) {
        tokens -= 1;
        return true;
      }
      leftOut += 1;
      onLeftOut();
      return false;
    },
    /** Lines kept back that have not been told of; 0 where that was done within the last minute. */
    untold(now: number): number {
      if (leftOut === 0 || now - saidAt < AGAIN_MS) return 0;
      saidAt = now;
      const count = leftOut;
      leftOut = 0;
      return count;
    },
  };
}

/** A log for lines that callers cause, one a request. */
export interface LineLog {
  /** Where one line of that level is written to; undefined where it is not to be written, so that its fields are not made. */
  line(level: keyof Log): Log | undefined;
}

/** Whoever floods us with requests does not flood the log. What is left out is counted, and said once a minute while it lasts. */
export function createLineLog(log: AdjustableLog, budget: LineBudget): LineLog {
  const bucket = createBucket(budget);
  return {
    line(level) {
      if (!log.isLevelEnabled(level)) return undefined;
      const now = budget.monotonic();
      const taken = bucket.take(now);
      const lines = bucket.untold(now);
      if (lines > 0)
        log.warn({ lines, perSecond: budget.perSecond }, 'too many requests to log each: lines were left out');
      return taken ? log : undefined;
    },
  };
}
