import type { Config } from '../config/schema.ts';
import { createLineLog, type LimitedLines, limitedWarnings, type LineLog } from '../telemetry/log-limits.ts';
import type { AdjustableLog } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { systemClock } from '../util/clock.ts';

/** Of lines that requests cause: what a large cluster creates in Pods, and what somebody who floods us is held to. */
const LINES = { perSecond: 100, burst: 1000 } as const;

/** What requests are logged with. */
export interface RequestLog {
  /** A line a decision. */
  readonly log: LineLog;
  /** For requests that are none. */
  readonly warn: LimitedLines;
}

/** Logs whose volume no caller decides. */
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
  /** Reads the configuration again. Rejects where it is not valid. */
  readonly read: () => Promise<Config>;
  /** The configuration that the server runs with. */
  readonly running: Config;
  /** Calls back with 1 where more is to be logged (SIGUSR1), with -1 where less is (SIGUSR2). */
  readonly onVerbosity: (change: (by: 1 | -1) => void) => void;
  /** Milliseconds between looks at the configuration: a changed ConfigMap is in the Pod within a minute or two. Default 15,000. */
  readonly everyMs?: number;
}

function setLevel(log: AdjustableLog, level: string, why: string): void {
  const before = log.level;
  if (level === before) return;
  const say = (): void => log.info({ from: before, to: level }, `log level changed by ${why}`);
  const heard = log.isLevelEnabled('info');
  if (heard) say();
  log.level = level;
  if (!heard) say();
}

function step(log: AdjustableLog, by: 1 | -1): void {
  const now = LEVELS.findIndex((level) => level === log.level);
  setLevel(log, LEVELS[Math.min(LEVELS.length - 1, Math.max(0, now + by))] ?? log.level, 'a signal');
}

/** All of a configuration that is read once, at the start. */
const fixed = (config: Config): string => JSON.stringify({ ...config, log: config.log.format });

/** Follows `log.level` of the configuration, and signals. Returns the end of it. */
export function followLogLevel(options: LogLevelOptions): () => void {
  const { log, read, running, onVerbosity, everyMs = 15_000 } = options;
  onVerbosity((by) => step(log, by));
  let known = running;
  let problem = '';
  const look = async (): Promise<void> => {
    const config = await read();
    problem = '';
    if (fixed(config) !== fixed(known)) {
      log.warn('the configuration has changed: log.level takes effect now, all else when the server is started again');
    }
    const { level } = config.log;
    if (level !== known.log.level) setLevel(log, level, 'the configuration');
    known = config;
  };
  const failed = ({ message }: Error): void => {
    if (message !== problem) log.warn({ error: message }, 'the configuration has changed and cannot be used');
    problem = message;
  };
  const timer = setInterval(() => void look().catch(failed), everyMs).unref();
  return () => clearInterval(timer);
}
