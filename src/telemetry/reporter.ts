import type { Clock } from '../util/clock.ts';
import { type LimitedLines, limitedWarnings } from './log-limits.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Tracer } from './tracing.ts';

/** Logs and counts what a feature does and what goes wrong. Features receive one like a clock. */
export interface Reporter {
  readonly log: Log;
  readonly metrics: Metrics;
  /** Absent: nobody asks for traces. */
  readonly tracer?: Tracer;
  /** Returns a function that logs warnings whose text others choose, mainly authors of Pods. Each has its own `createLimitedLines`. */
  readonly warnings: () => LimitedLines;
  /**
   * Tracks one failure that may last. `what` is its clause in the log ("the namespaces cannot be watched"), from a closed set. `use`
   * is its label in `libc_dns_api_failures_total`; undefined if it is not counted there.
   */
  readonly trouble: (what: string, use?: string) => Trouble;
}

/** A failure that may last and end. Call one of the two after each attempt: only changes are logged. */
export interface Trouble {
  /** Counts the failure. Logs each of its codes when it comes, and every ten minutes while it lasts. */
  readonly lost: (error: { readonly code: string; readonly message: string }, fields?: object) => void;
  /** Logs the end of the failure, if there was one. */
  readonly recovered: () => void;
}

/** Milliseconds after which a failure that lasts is logged again. */
const AGAIN_MS = 10 * 60_000;

interface ReporterOptions {
  readonly log: Log;
  /** Default: counts nothing. */
  readonly metrics?: Metrics;
  readonly clock: Pick<Clock, 'monotonic'>;
}

/** Counts nothing: every member is the proxy itself, and calling it returns the proxy itself. */
const nothing: unknown = new Proxy(() => nothing, { get: () => nothing });

export function createReporter({ log, metrics = nothing as Metrics, clock }: ReporterOptions): Reporter {
  return {
    log,
    metrics,
    warnings: () => limitedWarnings(log, clock),
    trouble(what, use) {
      /** When each code was logged; empty while nothing fails. */
      const loggedAt = new Map<string, number>();
      return {
        lost({ code, message }, fields = {}) {
          if (use !== undefined) metrics.cluster.apiFailed(use, code);
          const now = clock.monotonic();
          if (now - (loggedAt.get(code) ?? -Infinity) < AGAIN_MS) return;
          loggedAt.set(code, now);
          log.warn({ code, error: message, ...fields }, what);
        },
        recovered() {
          if (loggedAt.size === 0) return;
          loggedAt.clear();
          log.info(`over: ${what}`);
        },
      };
    },
  };
}

const quiet = (): void => {};

const silent: Log = { trace: quiet, debug: quiet, info: quiet, warn: quiet, error: quiet };

/** Logs and counts nothing. */
export const silentReporter: Reporter = createReporter({ log: silent, clock: { monotonic: () => 0 } });
