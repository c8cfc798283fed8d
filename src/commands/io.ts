import { styleText } from 'node:util';

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
