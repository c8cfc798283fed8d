import { setTimeout as wait } from 'node:timers/promises';

/**
 * Settles as `promise` does, or resolves with undefined if `signal` aborts first. The work behind `promise` goes on then, and
 * a later rejection of it is ignored. Leaves no listener behind.
 */
export function beforeAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = (): void => resolve(undefined);
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
    if (signal.aborted) stop();
  });
}

/** A signal with a time limit. */
interface Deadline {
  readonly signal: AbortSignal;
  /** Ends the time limit, and stops following the other signal. */
  readonly stop: () => void;
}

/**
 * Returns a signal that aborts after so many milliseconds, or when `signal` does, with its reason. Leaves no listener behind once it is
 * stopped, unlike `AbortSignal.any`. Does not keep the process alive.
 */
export function deadlineAfter(milliseconds: number, signal: AbortSignal): Deadline {
  const controller = new AbortController();
  const follow = (): void => controller.abort(signal.reason);
  const timer = setTimeout(() => controller.abort(), milliseconds).unref();
  signal.addEventListener('abort', follow, { once: true });
  if (signal.aborted) follow();
  const stop = (): void => {
    clearTimeout(timer);
    signal.removeEventListener('abort', follow);
  };
  return { signal: controller.signal, stop };
}

/** Resolves after so many milliseconds, or when `signal` aborts: check it afterwards. Does not keep the process alive. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await wait(milliseconds, undefined, { signal, ref: false }).catch(() => {});
}

/** Resolves after so many milliseconds, or rejects with the signal's reason. Keeps the process alive. */
export async function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  await wait(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted());
}

/** The wait between attempts, in milliseconds: after the first failure, and the longest. */
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

/** Returns two thirds to four thirds of a regular wait in milliseconds, so that replicas do not all ask at once. */
export const jittered = (milliseconds: number): number => milliseconds * (2 / 3 + (Math.random() * 2) / 3);
