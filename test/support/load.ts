import { setTimeout as sleep } from 'node:timers/promises';

/** An open loop of calls: each starts at its due time, however long earlier calls take. */
export interface Load<T> {
  /** Ends the loop and waits for running calls. Rejects with the error of the first call that failed. */
  stop(): Promise<readonly T[]>;
  readonly begun: number;
}

/** Starts `perSecond` calls a second until stopped, at most `most`. */
export function startLoad<T>(perSecond: number, most: number, call: (index: number) => Promise<T>): Load<T> {
  const started = performance.now();
  const calls: Promise<T>[] = [];
  const stopping = new AbortController();
  const loop = (async () => {
    while (!stopping.signal.aborted && calls.length < most) {
      const due = Math.min(most, Math.ceil(((performance.now() - started) / 1000) * perSecond));
      for (let index = calls.length; index < due; index += 1) {
        const made = call(index);
        // `stop` reports it.
        made.catch(() => {});
        calls.push(made);
      }
      await sleep(5);
    }
  })();
  return {
    get begun() {
      return calls.length;
    },
    stop: async () => {
      stopping.abort();
      await loop;
      return await Promise.all(calls);
    },
  };
}
