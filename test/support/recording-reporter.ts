import type { Log } from '../../src/telemetry/log.ts';
import type { Metrics } from '../../src/telemetry/metrics.ts';
import { createReporter, type Reporter } from '../../src/telemetry/reporter.ts';

/** A line that was logged. */
export interface RecordedLine {
  readonly level: keyof Log;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** The log lines and metrics that a feature wrote through a reporter. */
export interface Recording {
  readonly reporter: Reporter;
  readonly lines: RecordedLine[];
  /** Returns the messages of one level, or of all. */
  readonly messages: (level?: keyof Log) => string[];
  /** Calls of metrics in order, such as `['cluster.apiFailed', 'namespaces', 'forbidden']`. */
  readonly counted: (readonly unknown[])[];
  /** Returns the arguments of one metric's calls: `of('cluster.apiFailed')` is `[['namespaces', 'forbidden']]`. */
  readonly of: (metric: string) => (readonly unknown[])[];
}

/** Returns metrics that record each call by its path. */
function recordingMetrics(record: (call: readonly unknown[]) => void, path = ''): unknown {
  return new Proxy(() => undefined, {
    get: (_, key) => recordingMetrics(record, path === '' ? String(key) : `${path}.${String(key)}`),
    apply: (_, _this, values: unknown[]) => record([path, ...values]),
  });
}

export function recordingReporter(monotonic: () => number = () => performance.now()): Recording {
  const lines: RecordedLine[] = [];
  const counted: (readonly unknown[])[] = [];
  const at =
    (level: keyof Log) =>
    (fields: unknown, message?: string): void =>
      void lines.push(
        typeof fields === 'string'
          ? { level, message: fields, fields: {} }
          : { level, message: message ?? '', fields: fields as RecordedLine['fields'] },
      );
  const log: Log = { trace: at('trace'), debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  const metrics = recordingMetrics((call) => void counted.push(call)) as Metrics;
  return {
    reporter: createReporter({ log, metrics, clock: { monotonic } }),
    lines,
    messages: (level) =>
      lines.filter((line) => level === undefined || line.level === level).map(({ message }) => message),
    counted,
    of: (metric) => counted.filter(([name]) => name === metric).map(([, ...values]) => values),
  };
}
