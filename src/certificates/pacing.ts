import { backoffMs } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';

interface Turns {
  /** Has a turn begin soon; calls during a turn lead to one more after it. */
  readonly now: () => void;
  /** Resolves when the turn under way is over. */
  close(): Promise<void>;
}

/** Does `turn` at once, whenever asked to, and after `waitMs` without being asked. Never two at a time. */
export function repeatedly(turn: () => Promise<void>, waitMs: () => number): Turns {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let again = false;
  let closed = false;

  const begin = (): void => {
    again = false;
    running = turn().finally(() => {
      running = undefined;
      if (!closed) timer = setTimeout(begin, again ? 0 : waitMs()).unref();
    });
  };
  const now = (): void => {
    again = true;
    if (closed || running !== undefined) return;
    clearTimeout(timer);
    begin();
  };
  now();

  return {
    now,
    async close() {
      closed = true;
      clearTimeout(timer);
      await running;
    },
  };
}

export interface WritePace {
  /** Milliseconds to hold back; 0: none. */
  waitMs(): number;
  /** A write got through, or somebody else's did. */
  wrote(): void;
  /** It failed. Returns the wait. */
  failed(): number;
  /** Writes and failures without a break of four times the longest wait. */
  readonly inRow: number;
}

interface WritePaceOptions {
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly random: () => number;
  /** Milliseconds: the longest wait after a write that got through. */
  readonly most: number;
}

const FIRST_MS = 100;
const MOST_AFTER_FAILURE_MS = 30_000;

/**
 * Waits between writes that grow while they follow each other closely: a replica whose clock is wrong, or another
 * program, may undo each of them.
 */
export function writePace({ clock, random, most }: WritePaceOptions): WritePace {
  let notBefore = -Infinity;
  let inRow = 0;

  function wait(longest: number): number {
    const now = clock.monotonic();
    // Four times the longest wait without any write: peace.
    if (now > notBefore + 4 * longest) inRow = 0;
    const ms = backoffMs({ first: FIRST_MS, most: longest }, inRow, random);
    inRow += 1;
    notBefore = now + ms;
    return ms;
  }

  return {
    waitMs: () => Math.max(0, notBefore - clock.monotonic()),
    wrote: () => void wait(most),
    failed: () => wait(MOST_AFTER_FAILURE_MS),
    get inRow() {
      return inRow;
    },
  };
}
