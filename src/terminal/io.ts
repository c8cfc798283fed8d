import { styleText } from 'node:util';

import type { Config } from '../config/schema.ts';
import type { OpenDetector } from '../detection/detector.ts';
import { printable, printableLines } from '../util/text.ts';
import { wrappedLines } from './layout.ts';

/** Everything outside that commands use; main.ts hands it in. */
export interface Streams {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Nothing is piped into standard input. */
  readonly stdinIsTerminal: boolean;
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  /** Columns of the terminal. */
  readonly columns: number;
  /** Rejects with an error whose message says what is wrong with it: `is not UTF-8 (byte 12)`. */
  readStdin(): Promise<string>;
  /** Rejects like {@link readStdin}, or like node:fs. `regular`: only a regular file is read. */
  readFile(path: string, only?: 'regular'): Promise<string>;
  /** Returns the names in a folder; undefined if `path` is no folder. */
  listFolder(path: string): Promise<readonly string[] | undefined>;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** How commands read and write. Results go to stdout, everything else to stderr. */
export interface Io extends Omit<Streams, 'out' | 'err'> {
  /**
   * Writes text for people, or JSON by `jsonText`: spells out what a terminal would act on. `styled`: keeps the styles
   * of a painter. `exact`: writes the bytes as they are, for the next program, but not to a terminal.
   */
  readonly out: (text: string, form?: 'styled' | 'exact') => void;
  /** Writes messages, spelled out like `out`, and wrapped on a terminal. `laid-out`: they are wrapped already. */
  readonly err: (text: string, form?: 'laid-out') => void;
  /** Draws one line over the last one, if standard error is a terminal; an empty one removes it. */
  readonly progress: (line: string) => void;
}

/** Opens the one way to the streams: nothing that others wrote reaches a terminal as a command. */
export function openIo({ out, err, ...streams }: Streams): Io {
  const { stderrIsTerminal, columns } = streams;
  let isDrawn = false;
  return {
    ...streams,
    out(text, form) {
      const isExact = form === 'exact' && !streams.stdoutIsTerminal;
      out(isExact ? text : printableLines(text, form === 'styled'));
    },
    err(text, form) {
      const shown = printableLines(text);
      if (isDrawn) err(ERASED);
      isDrawn = false;
      err(stderrIsTerminal && form !== 'laid-out' ? wrappedLines(shown, columns) : shown);
    },
    progress(line) {
      if (!stderrIsTerminal || (line === '' && !isDrawn)) return;
      isDrawn = line !== '';
      err(`${ERASED}${printable(line).slice(0, Math.max(20, columns - 1))}`);
    },
  };
}

/** Goes to the start of the line, and erases it. */
const ERASED = '\r\u001B[K';

type Style = Parameters<typeof styleText>[0];

/** Colours text, or returns it unchanged: see {@link painter}. */
export type Paint = (style: Style, text: string) => string;

/**
 * Returns a function that colours text on a terminal, unless `NO_COLOR` or `--no-color` is set (https://no-color.org).
 */
export function painter(io: Io, color: boolean): Paint {
  const wanted = color && io.stdoutIsTerminal && !io.environment['NO_COLOR'] && io.environment['TERM'] !== 'dumb';
  return (style, text) => (wanted ? styleText(style, text, { validateStream: false }) : text);
}

/** The fewest columns that text is laid out for. */
const LEAST_COLUMNS = 40;

/** Returns the characters of a line on standard output; infinite if it is no terminal: what is read by programs is not wrapped. */
export const textWidth = ({ stdoutIsTerminal, columns }: Io): number =>
  stdoutIsTerminal ? Math.max(columns, LEAST_COLUMNS) : Number.POSITIVE_INFINITY;

/** 0 done, 1 failed, 2 wrong usage or configuration, 3 found what `--fail-on` names. */
export type ExitCode = 0 | 1 | 2 | 3;

type Code = 'failed' | 'usage' | 'found';

const EXIT_CODES: Readonly<Record<Code, ExitCode>> = { failed: 1, usage: 2, found: 3 };

/** Thrown to end a command with a message for the user. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  get exitCode(): ExitCode {
    return EXIT_CODES[this.code];
  }
}

/** The dependencies of commands that inspect images. */
export interface DetectingCommand {
  readonly io: Io;
  /** `images`: the images that the user named; absent if requests name them. Rejects with `CommandError`. */
  readonly openDetector: (config: Config, options: { readonly images?: readonly string[] }) => Promise<OpenDetector>;
}
