import { LRUCache } from 'lru-cache';

import type { Log } from './log.ts';

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
