import { LRUCache } from 'lru-cache';

import type { Clock } from '../util/clock.ts';
import { createTokenBucket } from '../util/limits/token-bucket.ts';
import type { AdjustableLog, Log, TextLog } from './log.ts';

/** Writes a line, unless it repeats an earlier one or exceeds the rate. */
export type LimitedLines = (message: string, fields?: object) => void;

const AGAIN_MS = 10 * 60_000;
const MOST_REMEMBERED = 1000;
const MOST_IN_A_MINUTE = 30;

/**
 * Limits lines whose text others choose, mainly authors of Pods: writes the same line at most every ten minutes, and at most 30
 * lines a minute. The first line of a later minute tells how many were left out.
 */
export function createLimitedLines(write: LimitedLines, clock: Pick<Clock, 'monotonic'>): LimitedLines {
  const writtenAt = new LRUCache<string, number>({ max: MOST_REMEMBERED });
  let minute = { began: clock.monotonic(), lines: 0, leftOut: 0 };
  return (message, fields = {}) => {
    const now = clock.monotonic();
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
export function limitedWarnings(log: Pick<Log, 'warn'>, clock: Pick<Clock, 'monotonic'>): LimitedLines {
  return createLimitedLines((message, fields) => log.warn(fields, message), clock);
}

interface LineBudget {
  /** Sustained rate, lines a second. */
  readonly perSecond: number;
  /** Most lines at once after a quiet time. */
  readonly burst: number;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Called for each line that is not written. */
  readonly onLeftOut: () => void;
}

const REPORT_MS = 60_000;

/** A log for lines that requests cause. */
export interface LineLog {
  /** Returns the log for one line of that level; undefined if the line is left out, so that its fields need not be built. */
  line(level: keyof Log): TextLog | undefined;
}

/**
 * Keeps a flood of requests from flooding the log: a token bucket decides which lines are written. Logs the number of lines left
 * out once a minute.
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
