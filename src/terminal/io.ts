import { styleText } from 'node:util';

import type { Config } from '../config/schema.ts';
import type { OpenDetector } from '../detection/detector.ts';

/** Everything outside that commands use; main.ts hands it in. Results go to stdout, everything else to stderr. */
export interface Io {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Nothing is piped into standard input. */
  readonly stdinIsTerminal: boolean;
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  /** Columns of the terminal. */
  readonly columns: number;
  readStdin(): Promise<string>;
  /** Rejects like node:fs. */
  readFile(path: string): Promise<string>;
  /** Returns the names in a folder; undefined if `path` is no folder. */
  listFolder(path: string): Promise<readonly string[] | undefined>;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

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
