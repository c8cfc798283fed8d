import { LRUCache } from 'lru-cache';

import type { Clock } from '../util/clock.ts';
import { createTokenBucket } from '../util/token-bucket.ts';
import type { AdjustableLog, Log } from './log.ts';

/** Writes a line, unless it repeats a recent one or there are too many. */
export type LimitedLines = (message: string, fields?: object) => void;

const REPEAT_MS = 10 * 60_000;
const MOST_REMEMBERED = 1000;
const MOST_A_MINUTE = 30;

/**
 * Limits lines whose text others choose, such as Pods: the same line at most every ten minutes, and 30 lines a minute. The
 * number of lines left out is logged in the next minute.
 */
export function createLimitedLines(write: LimitedLines, clock: Pick<Clock, 'monotonic'>): LimitedLines {
  const loggedAt = new LRUCache<string, number>({ max: MOST_REMEMBERED });
  let minute = { began: clock.monotonic(), lines: 0, leftOut: 0 };
  return (message, fields = {}) => {
    const now = clock.monotonic();
    if (now - (loggedAt.get(message) ?? -Infinity) < REPEAT_MS) return;
    if (now - minute.began >= 60_000) {
      if (minute.leftOut > 0) write(`${minute.leftOut} more warnings like these were left out`, {});
      minute = { began: now, lines: 0, leftOut: 0 };
    }
    if (minute.lines >= MOST_A_MINUTE) {
      minute.leftOut += 1;
      return;
    }
    minute.lines += 1;
    loggedAt.set(message, now);
    write(message, fields);
  };
}

/** Limits warnings of a log in the same way. */
export function limitedWarnings(log: Pick<Log, 'warn'>, clock: Pick<Clock, 'monotonic'>): LimitedLines {
  return createLimitedLines((message, fields) => log.warn(fields, message), clock);
}

interface LineBudget {
  /** Lines a second on average. */
  readonly perSecond: number;
  /** Most lines at once. */
  readonly burst: number;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Called for each line that is not written. */
  readonly onLeftOut: () => void;
}

const REPORT_MS = 60_000;

/** A log for lines that callers cause, one a request. */
export interface LineLog {
  /** Returns the log for one line of this level; undefined if it is not written: then its fields need not be made. */
  line(level: keyof Log): Log | undefined;
}

/**
 * Limits lines by a token bucket, so that a flood of requests does not become a flood of lines. Lines left out are counted,
 * and their number is logged once a minute while it goes on.
 */
export function createLineLog(log: AdjustableLog, budget: LineBudget): LineLog {
  const bucket = createTokenBucket(budget);
  let reportedAt = -Infinity;
  let leftOut = 0;
  const reportLeftOut = (now: number): void => {
    if (leftOut === 0 || now - reportedAt < REPORT_MS) return;
    log.warn({ lines: leftOut, perSecond: budget.perSecond }, 'too many requests to log each: lines were left out');
    reportedAt = now;
    leftOut = 0;
  };
  return {
    line(level) {
      if (!log.isLevelEnabled(level)) return undefined;
      const isWritten = bucket.wait() === 0;
      if (isWritten) bucket.take();
      else {
        leftOut += 1;
        budget.onLeftOut();
      }
      reportLeftOut(budget.clock.monotonic());
      return isWritten ? log : undefined;
    },
  };
}
