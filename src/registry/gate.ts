/** Lets a bounded number of owners at a time through to one host. */
export interface Gate {
  /**
   * Waits for a place and returns what gives it back. An owner that holds a place gets another at once: a look-up that
   * reads one layer while it asks for the next must not wait for itself. Undefined when too many wait already; rejects
   * with the signal's reason.
   */
  enter(owner: object, signal: AbortSignal): Promise<(() => void) | undefined>;
}

interface Waiter {
  readonly owner: object;
  readonly admit: () => void;
}

/** A gate for `places` owners with at most `queue` waiting, first come first served. */
export function createGate(places: number, queue: number): Gate {
  const held = new Map<object, number>();
  const waiting = new Set<Waiter>();
  const take = (owner: object): (() => void) => {
    held.set(owner, (held.get(owner) ?? 0) + 1);
    let given = false;
    return () => {
      if (given) return;
      given = true;
      const left = (held.get(owner) ?? 1) - 1;
      if (left > 0) held.set(owner, left);
      else held.delete(owner);
      admitNext();
    };
  };
  const admitNext = (): void => {
    for (const waiter of waiting) {
      if (held.size >= places && !held.has(waiter.owner)) return;
      waiting.delete(waiter);
      waiter.admit();
    }
  };
  return {
    enter(owner, signal) {
      if (signal.aborted) return Promise.reject(signal.reason as Error);
      if (held.has(owner) || held.size < places) return Promise.resolve(take(owner));
      if (waiting.size >= queue) return Promise.resolve(undefined);
      return new Promise((resolve, reject) => {
        const onAbort = (): void => {
          waiting.delete(waiter);
          reject(signal.reason as Error);
        };
        const waiter: Waiter = {
          owner,
          admit() {
            signal.removeEventListener('abort', onAbort);
            resolve(take(owner));
          },
        };
        waiting.add(waiter);
        signal.addEventListener('abort', onAbort, { once: true });
      });
    },
  };
}
