import type { Log } from './log.ts';

/** Milliseconds after which a failure that lasts is said again. */
const AGAIN_MS = 10 * 60_000;

const MOST_REMEMBERED = 256;

interface Failing {
  readonly code: string;
  readonly saidAt: number;
}

/** Failures that repeat: said when they begin, when they change, every ten minutes while they last, and when they are over. */
export interface FailureLog {
  /** `what`: what could not be done, as a clause: "the namespaces cannot be watched". From a closed set. */
  failed(what: string, error: { readonly code: string; readonly message: string }, fields?: object): void;
  /** It works (again). */
  worked(what: string): void;
}

export function createFailureLog(log: Log, now: () => number): FailureLog {
  const failing = new Map<string, Failing>();
  return {
    failed(what, { code, message }, fields = {}) {
      const before = failing.get(what);
      if (before?.code === code && now() - before.saidAt < AGAIN_MS) return;
      if (failing.size >= MOST_REMEMBERED) failing.clear();
      failing.set(what, { code, saidAt: now() });
      log.warn({ code, error: message, ...fields }, what);
    },
    worked(what) {
      if (failing.delete(what)) log.info(`over: ${what}`);
    },
  };
}
