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
    take(): boolean {
      const now = monotonic();
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
    untold(): number {
      const now = monotonic();
      if (leftOut === 0 || now - saidAt < AGAIN_MS) return 0;
      saidAt = now;
      const count = leftOut;
      leftOut = 0;
      return count;
    },
  };
}

/**
 * A log for lines that callers cause, one a request: whoever floods us with requests does not flood the log. What is left
 * out is counted, and said once a minute while it lasts.
 */
export function createBudgetedLog(log: AdjustableLog, budget: LineBudget): Log {
  const bucket = createBucket(budget);
  const limited =
    (level: keyof Log) =>
    (...line: Parameters<Log[typeof level]>): void => {
      if (!log.isLevelEnabled(level)) return;
      if (bucket.take()) log[level](...line);
      const lines = bucket.untold();
      if (lines > 0)
        log.warn({ lines, perSecond: budget.perSecond }, 'too many requests to log each: lines were left out');
    };
  const levels = ['trace', 'debug', 'info', 'warn', 'error'] as const;
  return Object.fromEntries(levels.map((level) => [level, limited(level)])) as unknown as Log;
}
