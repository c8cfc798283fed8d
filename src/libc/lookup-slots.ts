/** Gives a slot back; later calls do nothing. */
export type Release = () => void;

/**
 * A bound on what is under way at once, with a bounded stack of those who wait before it. The newest enters first: its
 * Pod has the most time left, while those of the oldest have mostly been answered already.
 */
export interface Slots {
  /** Resolves when a slot is free, rejects with the signal's reason. Undefined where too many wait already. */
  enter(signal: AbortSignal): Promise<Release> | undefined;
  /** How many could enter without waiting. */
  free(): number;
  waiting(): number;
  /** No slot is free and no one more may wait. */
  isFull(): boolean;
}

export function createSlots(concurrency: number, mostWaiting: number): Slots {
  const stack: (() => void)[] = [];
  let taken = 0;
  const take = (): Release => {
    let held = true;
    taken += 1;
    return () => {
      if (!held) return;
      held = false;
      taken -= 1;
      stack.pop()?.();
    };
  };
  const wait = (signal: AbortSignal): Promise<Release> =>
    new Promise((resolve, reject) => {
      const enter = (): void => {
        signal.removeEventListener('abort', abandon);
        resolve(take());
      };
      const abandon = (): void => {
        stack.splice(stack.indexOf(enter), 1);
        reject(signal.reason as Error);
      };
      stack.push(enter);
      signal.addEventListener('abort', abandon, { once: true });
    });
  const free = (): number => concurrency - taken;
  const isFull = (): boolean => free() === 0 && stack.length >= mostWaiting;
  return {
    enter(signal) {
      if (free() > 0) return Promise.resolve(take());
      return isFull() ? undefined : wait(signal);
    },
    free,
    isFull,
    waiting: () => stack.length,
  };
}
