import { LRUCache } from 'lru-cache';

import type { AdjustableLog, Log } from './log.ts';

/** Writes a line, unless it repeats an earlier one or exceeds the rate. */
export type LimitedLines = (message: string, fields?: object) => void;

const AGAIN_MS = 10 * 60_000;
const MOST_REMEMBERED = 1000;
const MOST_IN_A_MINUTE = 30;

/**
 * Limits lines whose text others choose, mainly authors of Pods: writes the same line at most every ten minutes, and at most 30
 * lines a minute. The first line of a later minute tells how many were left out. `monotonic` is in milliseconds.
 */
export function createLimitedLines(write: LimitedLines, monotonic: () => number): LimitedLines {
  const writtenAt = new LRUCache<string, number>({ max: MOST_REMEMBERED });
  let minute = { began: monotonic(), lines: 0, leftOut: 0 };
  return (message, fields = {}) => {
    const now = monotonic();
    if (now - (writtenAt.get(message) ?? -Infinity) < AGAIN_MS) return;
    if (now - minute.began >= 60_000) {
      if (minute.leftOut > 0) write(`${minute.leftOut} more warnings like these were left out`, {});
      minute = { began: now, lines: 0, leftOut: 0 };
    }
    if (minute.lines >= MOST_IN_A_MINUTE) {
      minute.leftOut += 1;
      return;
    }
    minute.lines += 1;
    writtenAt.set(message, now);
    write(message, fields);
  };
}

/** Like {@link createLimitedLines}, writing warnings to a log. */
export function limitedWarnings(log: Pick<Log, 'warn'>, monotonic: () => number): LimitedLines {
  return createLimitedLines((message, fields) => log.warn(fields, message), monotonic);
}

interface LineBudget {
  /** Sustained rate, lines a second. */
  readonly perSecond: number;
  /** Most lines at once after a quiet time. */
  readonly burst: number;
  /** Milliseconds. */
  readonly monotonic: () => number;
  /** Called for each line that is not written. */
  readonly onLeftOut: () => void;
}

const REPORT_MS = 60_000;

/** A token bucket that also counts the lines it refused. */
function createBucket({ perSecond, burst, monotonic, onLeftOut }: LineBudget) {
  let tokens = burst;
  let filledAt = monotonic();
  let reportedAt = -Infinity;
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
    /** Returns the number of refused lines and resets it, at most once a minute; 0 in between. */
    takeLeftOut(now: number): number {
      if (leftOut === 0 || now - reportedAt < REPORT_MS) return 0;
      reportedAt = now;
      const count = leftOut;
      leftOut = 0;
      return count;
    },
  };
}

/** A log for lines that requests cause. */
export interface LineLog {
  /** Returns the log for one line of that level; undefined if the line is left out, so that its fields need not be built. */
  line(level: keyof Log): Log | undefined;
}

/** Keeps a flood of requests from flooding the log. Logs the number of lines left out once a minute. */
export function createLineLog(log: AdjustableLog, budget: LineBudget): LineLog {
  const bucket = createBucket(budget);
  return {
    line(level) {
      if (!log.isLevelEnabled(level)) return undefined;
      const now = budget.monotonic();
      const taken = bucket.take(now);
      const lines = bucket.takeLeftOut(now);
      if (lines > 0)
        log.warn({ lines, perSecond: budget.perSecond }, 'too many requests to log each: lines were left out');
      return taken ? log : undefined;
    },
  };
}
