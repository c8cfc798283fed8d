import { setTimeout } from 'node:timers/promises';

/**
 * What `promise` settles with, or undefined when `signal` aborts first. The promise goes on then, and what it rejects
 * with later is nobody's concern. Leaves no listener behind.
 */
export function beforeAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = (): void => resolve(undefined);
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
    if (signal.aborted) stop();
  });
}

/** Resolves after so many milliseconds, or when `signal` aborts: who pauses looks at it. Holds no process open. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await setTimeout(milliseconds, undefined, { signal, ref: false }).catch(() => {});
}

/** Resolves after so many milliseconds, or rejects with the signal's reason. Holds the process open. */
export async function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  await setTimeout(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted());
}

/** Milliseconds between attempts: after the first failure, and at most. */
export interface Backoff {
  readonly first: number;
  readonly most: number;
}

/** Returns the milliseconds to wait after `failures` earlier ones: `first` for 0, twice as much for each more, at most `most`. */
export function doublingMs({ first, most }: Backoff, failures: number): number {
  return Math.min(most, first * 2 ** Math.min(failures, 20));
}

/** Returns half to all of `doublingMs`, so that replicas do not come at once. `random`: 0 to 1. */
export function backoffMs(backoff: Backoff, failures: number, random: () => number = Math.random): number {
  return Math.round(doublingMs(backoff, failures) * (0.5 + random() / 2));
}
