import pino from 'pino';

/** What parts of the program may log with: fields first, then a sentence. */
export type Log = Pick<pino.Logger, 'trace' | 'debug' | 'info' | 'warn' | 'error'>;

/** A log whose level can be changed while it is in use. */
export type AdjustableLog = Log & Pick<pino.Logger, 'isLevelEnabled'> & { level: string };

export interface LogOptions {
  readonly level: string;
  /** `json` for machines; `text` for a terminal. */
  readonly format: 'json' | 'text';
  /** Where lines go; standard error unless given. */
  readonly destination?: { write(line: string): void };
}

interface Line {
  readonly time: string;
  readonly level: string;
  readonly msg?: string;
  readonly [field: string]: unknown;
}

function textLine(json: string): string {
  const { time, level, msg, ...fields } = JSON.parse(json) as Line;
  const rest = Object.entries(fields).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return `${time.slice(11, 23)} ${level.toUpperCase().padEnd(5)} ${msg ?? ''}${rest.length > 0 ? `  ${rest.join(' ')}` : ''}\n`;
}

/** Lines waiting for a reader that is slower than we are: more are dropped, for a Pod must not wait for them. */
const MOST_WAITING_BYTES = 4 * 1024 * 1024;

/** A logger that writes one line an event to standard error, without waiting for it; all is written before the process ends. */
export function createLog({ level, format, destination }: LogOptions): AdjustableLog {
  const out = destination ?? pino.destination({ dest: 2, sync: false, maxLength: MOST_WAITING_BYTES });
  const stream = format === 'json' ? out : { write: (line: string) => out.write(textLine(line)) };
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
}
