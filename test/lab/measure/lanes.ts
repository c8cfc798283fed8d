/**
 * Runs tasks that work for a moment and then mostly wait: few work at once, so that they do not disturb each other's
 * clocks, and many wait at once, so that all is done soon.
 */
export interface Lanes {
  /** Runs a task, which calls `waiting` when from now on it only waits. */
  run<T>(task: (waiting: () => void) => Promise<T>): Promise<T>;
}

export interface LaneSizes {
  /** Tasks that work at once. */
  readonly working: number;
  /** Tasks under way at once. */
  readonly underWay: number;
}

interface Semaphore {
  enter(): Promise<void>;
  leave(): void;
}

function semaphore(places: number): Semaphore {
  const queue: (() => void)[] = [];
  let free = places;
  return {
    enter: () => {
      if (free === 0) return new Promise((resolve) => void queue.push(resolve));
      free -= 1;
      return Promise.resolve();
    },
    leave: () => {
      const next = queue.shift();
      if (next === undefined) free += 1;
      else next();
    },
  };
}

export function createLanes({ working, underWay }: LaneSizes): Lanes {
  const hall = semaphore(underWay);
  const desk = semaphore(working);
  return {
    run: async (task) => {
      await hall.enter();
      await desk.enter();
      let atDesk = true;
      const waiting = (): void => {
        if (atDesk) desk.leave();
        atDesk = false;
      };
      try {
        return await task(waiting);
      } finally {
        waiting();
        hall.leave();
      }
    },
  };
}
