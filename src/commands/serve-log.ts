import type { Config } from '../config/schema.ts';
import { createLineLog, type LimitedLines, limitedWarnings, type LineLog } from '../telemetry/log-limits.ts';
import type { AdjustableLog } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { systemClock } from '../util/clock.ts';

/**
 * Limits the lines that requests cause: enough for the Pods of a large cluster, but a flood of requests cannot fill the
 * log.
 */
const LINES = { perSecond: 100, burst: 1000 } as const;

/** Logs about requests. */
export interface RequestLog {
  /** One line for each decision. */
  readonly log: LineLog;
  /** For invalid requests. */
  readonly warn: LimitedLines;
}

/** Returns logs whose volume is limited, whatever callers send. */
export function createRequestLog(log: AdjustableLog, { service }: Metrics): RequestLog {
  return {
    log: createLineLog(log, { ...LINES, clock: systemClock, onLeftOut: () => service.lineLeftOut() }),
    warn: limitedWarnings(log, systemClock),
  };
}

/** From the quietest to the loudest. */
const LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;

interface LogLevelOptions {
  readonly log: AdjustableLog;
  /** Reads the configuration again. Returns the same object if it has not changed. Rejects if it is invalid. */
  readonly read: () => Promise<Config>;
  /** The configuration that the server runs with. */
  readonly running: Config;
  /** Calls back with 1 to log more (SIGUSR1), with -1 to log less (SIGUSR2). */
  readonly onVerbosity: (change: (by: 1 | -1) => void) => void;
  /**
   * Milliseconds between reads of the configuration; a changed ConfigMap reaches the Pod within a minute or two.
   * Default 15,000.
   */
  readonly everyMs?: number;
}

/** Follows `log.level` of the configuration, and signals. Returns a function that stops it. */
export function followLogLevel(options: LogLevelOptions): () => void {
  const { log, read, running, onVerbosity, everyMs = 15_000 } = options;
  onVerbosity((by) => step(log, by));
  let known = running;
  let problem = '';
  const check = async (): Promise<void> => {
    const config = await read();
    problem = '';
    if (config === known) return;
    if (fixedSettings(config) !== fixedSettings(known)) {
      log.warn('the configuration has changed: log.level takes effect now, everything else after a restart');
    }
    const { level } = config.log;
    if (level !== known.log.level) setLevel(log, level, 'the configuration');
    known = config;
  };
  const failed = ({ message }: Error): void => {
    if (message !== problem) log.warn({ error: message }, 'the configuration has changed and cannot be used');
    problem = message;
  };
  const timer = setInterval(() => void check().catch(failed), everyMs).unref();
  return () => clearInterval(timer);
}

/** Returns the settings that take effect only at the start, as one text. */
const fixedSettings = (config: Config): string => JSON.stringify({ ...config, log: config.log.format });

function step(log: AdjustableLog, by: 1 | -1): void {
  const now = LEVELS.findIndex((level) => level === log.level);
  setLevel(log, LEVELS[Math.min(LEVELS.length - 1, Math.max(0, now + by))] ?? log.level, 'a signal');
}

function setLevel(log: AdjustableLog, level: string, why: string): void {
  const before = log.level;
  if (level === before) return;
  const announce = (): void => log.info({ from: before, to: level }, `log level changed by ${why}`);
  // At the old level if that logs it, else at the new one.
  const isLogged = log.isLevelEnabled('info');
  if (isLogged) announce();
  log.level = level;
  if (!isLogged) announce();
}
