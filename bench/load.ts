import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';

export interface OpenLoop {
  /** Milliseconds of each call from when it was due to its answer. */
  readonly latencies: readonly number[];
  readonly failed: number;
}

/** A timer may be late by so many milliseconds: the rest is waited for awake. */
const TIMER_MS = 3;

async function until(due: number): Promise<void> {
  const left = due - performance.now();
  if (left > TIMER_MS) await sleep(left - TIMER_MS);
  while (performance.now() < due) await turn();
}

/**
 * Calls in an open loop: each is begun when it is due and timed from then, however long those before it take. A server that
 * stands still for a second is seen by a second's worth of calls.
 */
export async function openLoop(
  perSecond: number,
  seconds: number,
  call: (index: number) => Promise<unknown>,
): Promise<OpenLoop> {
  const started = performance.now();
  const latencies: number[] = [];
  let failed = 0;
  const timed = async (index: number, due: number): Promise<void> => {
    try {
      await call(index);
      latencies.push(performance.now() - due);
    } catch {
      failed += 1;
    }
  };
  const calls: Promise<void>[] = [];
  for (let index = 0; index < perSecond * seconds; index += 1) {
    const due = started + (index * 1000) / perSecond;
    await until(due);
    calls.push(timed(index, due));
  }
  await Promise.all(calls);
  return { latencies, failed };
}

/** Calls in a closed loop, `lanes` at once, each begun when the one before it has ended. Resolves to their number. */
export async function closedLoop(
  lanes: number,
  seconds: number,
  call: (index: number) => Promise<unknown>,
): Promise<number> {
  const end = performance.now() + seconds * 1000;
  let done = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() < end) {
      await call(done);
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return done;
}
