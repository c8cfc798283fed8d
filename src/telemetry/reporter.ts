import type { Clock } from '../util/clock.ts';
import { type LimitedLines, limitedWarnings } from './log-limits.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/** Says what a feature does and what goes wrong. A feature is handed one, as it is handed a clock. */
export interface Reporter {
  readonly log: Log;
  readonly metrics: Metrics;
  /** Returns a voice for warnings in words that others choose, Pods above all. Each voice has limits of its own (`createLimitedLines`). */
  readonly warnings: () => LimitedLines;
  /**
   * Returns the voice of one failure that may last. `what` is the clause that the log has ("the namespaces cannot be watched"),
   * from a closed set. `use` is the label of `libc_dns_api_failures_total`; undefined: the failure is not counted there.
   */
  readonly trouble: (what: string, use?: string) => Trouble;
}

/** A failure that may last and end. Both may be called at each attempt: the log says what is new. */
export interface Trouble {
  /** Counts the failure. Logs it when it begins, when its code changes, and every ten minutes while it lasts. */
  readonly lost: (error: { readonly code: string; readonly message: string }, fields?: object) => void;
  /** Logs the end of the failure, if there was one. */
  readonly recovered: () => void;
}

/** Milliseconds after which a failure that lasts is logged again. */
const AGAIN_MS = 10 * 60_000;

const MOST_REMEMBERED = 256;

interface Failing {
  readonly code: string;
  readonly saidAt: number;
}

/** What a reporter writes to. */
export interface ReporterOptions {
  readonly log: Log;
  /** Default: nothing is counted. */
  readonly metrics?: Metrics;
  readonly clock: Pick<Clock, 'monotonic'>;
}

/** Counts nothing: every member is a function that returns the same again. */
const nothing: unknown = new Proxy(() => nothing, { get: () => nothing });

export function createReporter({ log, metrics = nothing as Metrics, clock }: ReporterOptions): Reporter {
  const failing = new Map<string, Failing>();
  return {
    log,
    metrics,
    warnings: () => limitedWarnings(log, clock),
    trouble: (what, use) => ({
      lost({ code, message }, fields = {}) {
        if (use !== undefined) metrics.cluster.apiFailed(use, code);
        const before = failing.get(what);
        if (before?.code === code && clock.monotonic() - before.saidAt < AGAIN_MS) return;
        if (failing.size >= MOST_REMEMBERED) failing.clear();
        failing.set(what, { code, saidAt: clock.monotonic() });
        log.warn({ code, error: message, ...fields }, what);
      },
      recovered() {
        if (failing.delete(what)) log.info(`over: ${what}`);
      },
    }),
  };
}

const quiet = (): void => {};

const silent: Log = { trace: quiet, debug: quiet, info: quiet, warn: quiet, error: quiet };

/** Says and counts nothing. */
export const silentReporter: Reporter = createReporter({ log: silent, clock: { monotonic: () => 0 } });
