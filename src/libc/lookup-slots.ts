/** Gives a slot back; later calls do nothing. */
export type Release = () => void;

/** A bound on what is under way at once, with a bounded queue before it: first come, first served. */
export interface Slots {
  /** Resolves when a slot is free, rejects with the signal's reason. Undefined where the queue is full, too. */
  enter(signal: AbortSignal): Promise<Release> | undefined;
  /** How many could enter without waiting. */
  free(): number;
  queued(): number;
}

export function createSlots(concurrency: number, mostQueued: number): Slots {
  const queue = new Set<() => void>();
  let taken = 0;
  const take = (): Release => {
    let held = true;
    taken += 1;
    return () => {
      if (!held) return;
      held = false;
      taken -= 1;
      const [next] = queue;
      next?.();
    };
  };
  const wait = (signal: AbortSignal): Promise<Release> =>
    new Promise((resolve, reject) => {
      const leave = (): void => {
        queue.delete(enter);
        signal.removeEventListener('abort', abandon);
      };
      const enter = (): void => {
        leave();
        resolve(take());
      };
      const abandon = (): void => {
        leave();
        reject(signal.reason as Error);
      };
      queue.add(enter);
      signal.addEventListener('abort', abandon);
    });
  return {
    enter(signal) {
      if (taken < concurrency) return Promise.resolve(take());
      return queue.size < mostQueued ? wait(signal) : undefined;
    },
    free: () => Math.max(0, concurrency - taken),
    queued: () => queue.size,
  };
}
