import { backoffMs } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';

interface Repeater {
  /** Starts a run at once; during a run, one more after it. */
  readonly trigger: () => void;
  /** Starts no more runs. Resolves when the current run is over. */
  close(): Promise<void>;
}

/** Calls `run` at once, when triggered, and `waitMs` after the last run. Never two at a time. */
export function repeatedly(run: () => Promise<void>, waitMs: () => number): Repeater {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let again = false;
  let closed = false;

  const begin = (): void => {
    again = false;
    running = run().finally(() => {
      running = undefined;
      if (!closed) timer = setTimeout(begin, again ? 0 : waitMs()).unref();
    });
  };
  const trigger = (): void => {
    again = true;
    if (closed || running !== undefined) return;
    clearTimeout(timer);
    begin();
  };
  trigger();

  return {
    trigger,
    async close() {
      closed = true;
      clearTimeout(timer);
      await running;
    },
  };
}

export interface WritePace {
  /** Returns the milliseconds until the next write may be sent. */
  waitMs(): number;
  /** Notes a write that succeeded, or met a conflict. */
  wrote(): void;
  /** Notes a write that failed. Returns the wait in milliseconds. */
  failed(): number;
  /** Writes and failures since the last break of four times the longest wait. */
  readonly inRow: number;
}

interface WritePaceOptions {
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly random: () => number;
  /** Milliseconds: the longest wait after a successful write. */
  readonly most: number;
}

const FIRST_MS = 100;
const MOST_AFTER_FAILURE_MS = 30_000;

/**
 * Paces writes: the waits between them grow while they follow each other closely, for a replica whose clock is wrong, or
 * another program, may undo each of them.
 */
export function writePace({ clock, random, most }: WritePaceOptions): WritePace {
  let notBefore = -Infinity;
  let inRow = 0;

  function wait(longest: number): number {
    const now = clock.monotonic();
    // After a break of four times the longest wait, starts again with short waits.
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
