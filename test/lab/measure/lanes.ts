/**
 * Runs tasks that work briefly and then mostly wait. Few work at once, so that they do not disturb each other's timing; many wait
 * at once, so that all are done soon.
 */
export interface Lanes {
  /** Runs a task. It calls `waiting` when it needs no more processor time. */
  run<T>(task: (waiting: () => void) => Promise<T>): Promise<T>;
}

interface LaneSizes {
  /** Most tasks that work at once. */
  readonly working: number;
  /** Most tasks that run at once, working or waiting. */
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
