import { LRUCache } from 'lru-cache';

import type { Clock } from '../util/clock.ts';
import { createTokenBucket } from '../util/token-bucket.ts';
import type { AdjustableLog, Log } from './log.ts';

/** Says something. Where it is not said for its repetition, nobody misses it. */
export type LimitedLines = (message: string, fields?: object) => void;

const AGAIN_MS = 10 * 60_000;
const MOST_REMEMBERED = 1000;
const MOST_IN_A_MINUTE = 30;

/**
 * Lines whose text others choose, Pods above all: the same one every ten minutes at most, and 30 of all kinds in a minute; how
 * many were left out is said in the next minute.
 */
export function createLimitedLines(write: LimitedLines, clock: Pick<Clock, 'monotonic'>): LimitedLines {
  const said = new LRUCache<string, number>({ max: MOST_REMEMBERED });
  let minute = { began: clock.monotonic(), lines: 0, leftOut: 0 };
  return (message, fields = {}) => {
    const now = clock.monotonic();
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
export function limitedWarnings(log: Pick<Log, 'warn'>, clock: Pick<Clock, 'monotonic'>): LimitedLines {
  return createLimitedLines((message, fields) => log.warn(fields, message), clock);
}

interface LineBudget {
  /** Lines a second, for as long as one likes. */
  readonly perSecond: number;
  /** Lines at once, after a time without any. */
  readonly burst: number;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** A line was not written. */
  readonly onLeftOut: () => void;
}

const SAID_EACH_MS = 60_000;

/** A log for lines that callers cause, one a request. */
export interface LineLog {
  /** Where one line of that level is written to; undefined where it is not to be written, so that its fields are not made. */
  line(level: keyof Log): Log | undefined;
}

/**
 * A flood of requests does not become a flood of lines: a token bucket decides which are written. What is left out is counted,
 * and said once a minute while it lasts.
 */
export function createLineLog(log: AdjustableLog, budget: LineBudget): LineLog {
  const bucket = createTokenBucket(budget);
  let saidAt = -Infinity;
  let leftOut = 0;
  const sayLeftOut = (now: number): void => {
    if (leftOut === 0 || now - saidAt < SAID_EACH_MS) return;
    log.warn({ lines: leftOut, perSecond: budget.perSecond }, 'too many requests to log each: lines were left out');
    saidAt = now;
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
      sayLeftOut(budget.clock.monotonic());
      return isWritten ? log : undefined;
    },
  };
}
