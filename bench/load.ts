import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';

interface OpenLoop {
  /** Milliseconds of each call, from its due time to its response. */
  readonly latencies: readonly number[];
  readonly failed: number;
}

/** Milliseconds that a timer may be late; the last ones are spent spinning. */
const TIMER_MS = 3;

async function until(due: number): Promise<void> {
  const left = due - performance.now();
  if (left > TIMER_MS) await sleep(left - TIMER_MS);
  while (performance.now() < due) await turn();
}

/**
 * Calls in an open loop: starts each call at its due time and times it from then, however long earlier calls take. A server that
 * stalls for a second shows in a second's worth of calls.
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

/**
 * Calls in a closed loop with `lanes` concurrent lanes. A lane starts its next call when the last one has ended. Resolves to the
 * number of calls.
 */
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
