import type { LineLog } from '../../src/telemetry/log-limits.ts';
import { createLog, type LogOptions } from '../../src/telemetry/log.ts';

/** A log of requests that leaves no line out. */
export function everyLine(options: LogOptions): LineLog {
  const log = createLog(options);
  return { line: () => log };
}
