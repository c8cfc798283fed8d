import { LRUCache } from 'lru-cache';

import type { AdjustableLog, Log } from './log.ts';

/** Says something. Where it is not said for its repetition, nobody misses it. */
export type LimitedLines = (message: string, fields?: object) => void;

const AGAIN_MS = 10 * 60_000;
const MOST_REMEMBERED = 1000;
const MOST_IN_A_MINUTE = 30;

/**
 * Lines whose text others choose, Pods above all: the same one every ten minutes at most, and 30 of all kinds in a minute; how
 * many were left out is said in the next minute. `monotonic` in milliseconds.
 */
export function createLimitedLines(write: LimitedLines, monotonic: () => number): LimitedLines {
  const said = new LRUCache<string, number>({ max: MOST_REMEMBERED });
  let minute = { began: monotonic(), lines: 0, leftOut: 0 };
  return (message, fields = {}) => {
    const now = monotonic();
    if (now - (said.get(message) ?? -Infinity) < AGAIN_MS) return;
    if (now - minute.began >= 60_000) {
      if (minute.leftOut > 0) write(`${minute.leftOut} more warnings like these were left out`, {});
      minute = { began: now, lines: 0, leftOut: 0 };
    }
    if (minute.lines >= MOST_IN_A_MINUTE) {
      minute.leftOut += 1;
      return;
    }
    minute.lines += 1;
    said.set(message, now);
    write(message, fields);
  };
}

/** The same as warnings of a log. */
export function limitedWarnings(log: Pick<Log, 'warn'>, monotonic: () => number): LimitedLines {
  return createLimitedLines((message, fields) => log.warn(fields, message), monotonic);
}

interface LineBudget {
  /** Lines a second, for as long as one likes. */
  readonly perSecond: number;
  /** Lines at once, after a time without any. */
  readonly burst: number;
  /** Milliseconds. */
  readonly monotonic: () => number;
  /** A line was not written. */
  readonly onLeftOut: () => void;
}

const SAID_EACH_MS = 60_000;

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
      if (leftOut === 0 || now - saidAt < SAID_EACH_MS) return 0;
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
