import type { LineLog } from '../../src/telemetry/log-limits.ts';
import { createLog, type LogOptions } from '../../src/telemetry/log.ts';

/** Creates a log without a rate limit. */
export function everyLine(options: LogOptions): LineLog {
  const log = createLog(options);
  return { line: () => log };
}
