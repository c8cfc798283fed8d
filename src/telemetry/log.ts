import pino from 'pino';

/** What parts of the program may log with: fields first, then a sentence. */
export type Log = Pick<pino.Logger, 'trace' | 'debug' | 'info' | 'warn' | 'error'>;

/** Where lines go. */
interface LogDestination {
  write(line: string): void;
}

/** A log whose level can be changed while it is in use. */
export type AdjustableLog = Log & Pick<pino.Logger, 'isLevelEnabled'> & { level: string };

export interface LogOptions {
  readonly level: string;
  /** `json` for machines; `text` for a terminal. */
  readonly format: 'json' | 'text';
  /** Standard error unless given. */
  readonly destination?: LogDestination;
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

/** Milliseconds that a line waits for others: handing one over costs ten times what making it does. */
const TOGETHER_MS = 20;

/** Characters that do not wait for others: what is too much for the 4 MiB is dropped whole. */
const TOGETHER_LENGTH = 16 * 1024;

/** Standard error. Lines are written some at once. */
function standardError(): LogDestination {
  const out = pino.destination({ dest: 2, sync: false, maxLength: MOST_WAITING_BYTES });
  let waiting = '';
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    out.write(waiting);
    waiting = '';
  };
  process.on('exit', () => {
    if (waiting === '') return;
    flush();
    out.flushSync();
  });
  return {
    write(line) {
      waiting += line;
      if (waiting.length >= TOGETHER_LENGTH) flush();
      // Not `unref`: the last lines are written before the process ends.
      else timer ??= setTimeout(flush, TOGETHER_MS);
    },
  };
}

/** ISO 8601 to the millisecond, as pino writes it. Most of it changes once a second and is made then. */
function createTimestamp(): () => string {
  let second = -1;
  let text = '';
  return () => {
    const now = Date.now();
    const thisSecond = Math.floor(now / 1000);
    if (thisSecond !== second) {
      second = thisSecond;
      text = new Date(now).toISOString().slice(0, -'000Z'.length);
    }
    return `,"time":"${text}${String(now % 1000).padStart(3, '0')}Z"`;
  };
}

/** A logger that writes one line an event to standard error, without waiting for it; all is written before the process ends. */
export function createLog({ level, format, destination }: LogOptions): AdjustableLog {
  const out = destination ?? standardError();
  const stream = format === 'json' ? out : { write: (line: string) => out.write(textLine(line)) };
  return pino(
    {
      level,
      base: null,
      timestamp: createTimestamp(),
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
}
