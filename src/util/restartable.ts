/** Something that runs from `start` to `stop`, and may be started again. */
export interface Restartable<T> {
  /** Does nothing while it runs. */
  start(): void;
  /** Resolves when this and all earlier runs have ended. */
  stop(): Promise<void>;
  /** What runs; undefined while stopped. */
  readonly running: T | undefined;
}

/** `end` must not reject. */
export function createRestartable<T>(begin: () => T, end: (run: T) => Promise<unknown>): Restartable<T> {
  let run: T | undefined;
  let ending: Promise<void> = Promise.resolve();
  return {
    start() {
      run ??= begin();
    },
    async stop() {
      const last = run;
      run = undefined;
      if (last !== undefined) ending = Promise.all([ending, end(last)]).then(() => undefined);
      await ending;
    },
    get running() {
      return run;
    },
  };
}
