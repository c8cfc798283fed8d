import pino from 'pino';

import { printable, printableJson } from '../util/text.ts';

/** The log that features get: fields first, then a sentence. */
export type Log = Pick<pino.Logger, 'trace' | 'debug' | 'info' | 'warn' | 'error'>;

interface LogDestination {
  /** `isUrgent`: a warning or an error. */
  write(line: string, isUrgent?: boolean): void;
}

/** A log that also takes lines whose fields are text already. */
export interface TextLog extends Log {
  /** Writes a line, whatever the level of the log. `fields`: JSON without its braces, `"pod":"web","ms":1`. Costs a third of making it of values. */
  text(level: keyof Log, fields: string, message: string): void;
}

/** A log whose level can change at run time. */
export type AdjustableLog = TextLog & Pick<pino.Logger, 'isLevelEnabled'> & { level: string };

export interface LogOptions {
  readonly level: string;
  /** `json` for machines; `text` for a terminal. */
  readonly format: 'json' | 'text';
  /** Default: standard error. */
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
  const rest = Object.entries(fields).map(
    ([key, value]) => `${printable(key)}=${printableJson(JSON.stringify(value))}`,
  );
  return `${time.slice(11, 23)} ${level.toUpperCase().padEnd(5)} ${printable(msg ?? '')}${rest.length > 0 ? `  ${rest.join(' ')}` : ''}\n`;
}

/** Bytes buffered for a slow reader. Further lines are dropped, because a Pod must not wait for the log. */
const MOST_WAITING_BYTES = 4 * 1024 * 1024;

/** Milliseconds that a line waits for others: a write costs several times as much as making the line. Warnings and errors do not wait. */
const BATCH_MS = 1000;

/** The first batches, which tell of the start, wait for less. */
const EARLY = { batches: 20, ms: 20 } as const;

/** Characters from which a batch is written at once. Small against 4 MiB: a batch that does not fit is dropped as a whole. */
const BATCH_LENGTH = 16 * 1024;

/** Writes lines to standard error in batches. */
function standardError(): LogDestination {
  const out = pino.destination({ dest: 2, sync: false, maxLength: MOST_WAITING_BYTES });
  let waiting = '';
  let timer: NodeJS.Timeout | undefined;
  let batches = 0;
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    batches += 1;
    out.write(waiting);
    waiting = '';
  };
  process.on('exit', () => {
    if (waiting === '') return;
    flush();
    out.flushSync();
  });
  return {
    write(line, isUrgent) {
      waiting += line;
      if (isUrgent || waiting.length >= BATCH_LENGTH) flush();
      // No `unref`: the process must not end before the last lines are written.
      else timer ??= setTimeout(flush, batches < EARLY.batches ? EARLY.ms : BATCH_MS);
    },
  };
}

const { values: LEVELS } = pino.levels;

const isUrgent = (level: number): boolean => level >= (LEVELS['warn'] ?? 0);

/** Formats ISO 8601 timestamps like pino. Caches the text up to the second. */
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

/** Creates a logger that writes one line per event without blocking. All lines are written before the process ends. */
export function createLog({ level, format, destination }: LogOptions): AdjustableLog {
  const out = destination ?? standardError();
  // Pods and registries choose much of what is logged, and people read logs in terminals.
  const shown = format === 'json' ? printableJson : textLine;
  const stream = {
    // Has pino set `lastLevel` before each write.
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 0,
    write(line: string): void {
      out.write(shown(line), isUrgent(this.lastLevel));
    },
  };
  const timestamp = createTimestamp();
  const log = pino({ level, base: null, timestamp, formatters: { level: (label) => ({ level: label }) } }, stream);
  const text: TextLog['text'] = (label, fields, message) => {
    const line = `{"level":"${label}"${timestamp()},${fields},"msg":${JSON.stringify(message)}}\n`;
    out.write(shown(line), isUrgent(LEVELS[label] ?? 0));
  };
  return Object.assign(log, { text });
}
