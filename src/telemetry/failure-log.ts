import type { Log } from './log.ts';

/** Milliseconds after which a lasting failure is logged again. */
const AGAIN_MS = 10 * 60_000;

const MOST_REMEMBERED = 256;

interface Failure {
  readonly code: string;
  readonly loggedAt: number;
}

/** Logs a repeated failure when it begins, when its code changes, every ten minutes while it lasts, and when it ends. */
export interface FailureLog {
  /** Reports a failure. `what` is a clause from a closed set, such as "the namespaces cannot be watched". */
  failed(what: string, error: { readonly code: string; readonly message: string }, fields?: object): void;
  /** Reports success: ends the failure of this name, if there is one. */
  worked(what: string): void;
}

export function createFailureLog(log: Log, now: () => number): FailureLog {
  const failing = new Map<string, Failure>();
  return {
    failed(what, { code, message }, fields = {}) {
      const before = failing.get(what);
      if (before?.code === code && now() - before.loggedAt < AGAIN_MS) return;
      if (failing.size >= MOST_REMEMBERED) failing.clear();
      failing.set(what, { code, loggedAt: now() });
      log.warn({ code, error: message, ...fields }, what);
    },
    worked(what) {
      if (failing.delete(what)) log.info(`over: ${what}`);
    },
  };
}
