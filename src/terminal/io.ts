import { styleText } from 'node:util';

import type { Config } from '../config/schema.ts';
import type { Detector } from '../detection/detector.ts';

/** The outside world as commands see it, handed in by main.ts: results on stdout, everything else on stderr. */
export interface Io {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Whether nothing is piped into standard input. */
  readonly stdinIsTerminal: boolean;
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  /** Columns of the terminal. */
  readonly columns: number;
  readStdin(): Promise<string>;
  /** Rejects as node:fs does. */
  readFile(path: string): Promise<string>;
  /** Names of the entries of a folder; undefined where `path` is none. */
  listFolder(path: string): Promise<readonly string[] | undefined>;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

type Style = Parameters<typeof styleText>[0];

/** Colours text, or does not: see {@link painter}. */
export type Paint = (style: Style, text: string) => string;

/** Colours only on a terminal, and not under `NO_COLOR` or `--no-color` (https://no-color.org). */
export function painter(io: Io, color: boolean): Paint {
  const wanted = color && io.stdoutIsTerminal && !io.environment['NO_COLOR'] && io.environment['TERM'] !== 'dumb';
  return (style, text) => (wanted ? styleText(style, text, { validateStream: false }) : text);
}

/** Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 found what `--fail-on` names. */
export type ExitCode = 0 | 1 | 2 | 3;

type Code = 'failed' | 'usage' | 'found';

const EXIT_CODES: Readonly<Record<Code, ExitCode>> = { failed: 1, usage: 2, found: 3 };

/** Ends a command with a message for the person who typed it. */
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

export interface OpenDetector {
  /** Absent where look-ups are off. */
  readonly detector?: Detector;
  readonly stats?: () => { readonly underWay: number; readonly queued: number; readonly verdicts: number };
  readonly close: () => Promise<void>;
}

/** What commands that look into images are handed. */
export interface DetectingCommand {
  readonly io: Io;
  /** `images`: those a person names; without, the images are chosen by others. Rejects with `CommandError`. */
  readonly openDetector: (config: Config, options: { readonly images?: readonly string[] }) => Promise<OpenDetector>;
}
