import { baseName, isShell } from './invocation.ts';
import { commandWords, type ShellToken, tokenize } from './shell.ts';

/** The parts of a script that decide which program it leads to. */
export interface Script {
  /** The words of its `#!` line; empty if it has none. */
  readonly interpreter: readonly string[];
  /** The commands that a shell script runs by `exec`. */
  readonly executions: readonly (readonly ShellToken[])[];
  /** Prepended to arguments that begin with an option: `set -- NAME "$@"`, as in Docker's official images. */
  readonly defaultProgram: readonly string[];
}

/** What a script runs. */
export type ScriptTarget =
  /** Another program, which replaces the script. */
  | { readonly kind: 'program'; readonly argv: readonly string[] }
  /** Its interpreter, the first word of `argv`. `opaque`: a shell, which mostly starts other programs. */
  | { readonly kind: 'interpreter'; readonly argv: readonly string[]; readonly opaque: boolean };

// The kernel reads no more of the first line (fs/binfmt_script.c, BINPRM_BUF_SIZE).
const maxLine = 256;
const maxExecutions = 32;
const maxTokens = 128;

/** Reports whether a file is a `#!` script. */
export function isScript(prefix: Uint8Array): boolean {
  return prefix[0] === 0x23 && prefix[1] === 0x21;
}

/** Reads a script's text, or the beginning of it. */
export function parseScript(text: string): Script {
  const interpreter = shebang(text);
  if (!isShell(baseName(programBehindEnv(interpreter)))) return { interpreter, executions: [], defaultProgram: [] };
  return { interpreter, executions: execCommands(text), defaultProgram: defaultProgram(text) };
}

/**
 * Returns what running `path` with `words` leads to. A shell script that ends in `exec "$@"` runs its arguments, one
 * that ends in `exec NAME` runs NAME; all others stay with their interpreter.
 */
export function scriptTarget(
  script: Script,
  path: string,
  words: readonly string[],
  env: ReadonlyMap<string, string>,
): ScriptTarget {
  const argv = executedCommand(script, words, env);
  return argv === undefined ? scriptInterpreter(script, path, words) : { kind: 'program', argv };
}

/** Returns the interpreter that runs the script at `path`: a shell unless the `#!` line names another (execvp(3)). */
export function scriptInterpreter(
  { interpreter }: Script,
  path: string,
  words: readonly string[],
): Extract<ScriptTarget, { kind: 'interpreter' }> {
  const argv = interpreter.length === 0 ? ['/bin/sh', path, ...words] : [...interpreter, path, ...words];
  return { kind: 'interpreter', argv, opaque: isShell(baseName(programBehindEnv(argv))) };
}

function shebang(text: string): readonly string[] {
  const line = /^#![ \t]*(?<line>[^\n]*)/u.exec(text.slice(0, maxLine))?.groups?.['line']?.trim() ?? '';
  const blank = line.search(/[ \t]/u);
  if (blank === -1) return line === '' ? [] : [line];
  // The rest of the line is one argument, blanks included (execve(2)).
  return [line.slice(0, blank), line.slice(blank).trim()];
}

function programBehindEnv([program = '', argument = '']: readonly string[]): string {
  if (!/^(?:env|busybox)$/u.test(baseName(program))) return program;
  return argument.replace(/^-S\s*/u, '').split(/\s/u, 1)[0] ?? '';
}

function executedCommand(
  { executions, defaultProgram: named }: Script,
  words: readonly string[],
  env: ReadonlyMap<string, string>,
): readonly string[] | undefined {
  const last = executions.at(-1);
  if (last === undefined) return undefined;
  const [first = '-'] = words;
  const completed = first.startsWith('-') ? [...named, ...words] : words;
  const argv = commandWords(last, env, completed);
  return argv?.[0]?.startsWith('-') === true ? undefined : argv;
}

function execCommands(text: string): readonly (readonly ShellToken[])[] {
  const commands: ShellToken[][] = [];
  let open: ShellToken[] | undefined;
  let atStart = true;
  for (const token of tokenize(text)) {
    if (token.kind === 'operator') open = undefined;
    else if (open !== undefined && open.length < maxTokens) open.push(token);
    else if (atStart && token.text === 'exec') commands.push((open = []));
    atStart = token.kind === 'operator' || /^(?:then|else|do)$/u.test(token.text);
  }
  return commands.filter((command) => command.length > 0 && !runsItself(command)).slice(-maxExecutions);
}

// Scripts drop root by running themselves again: `exec su-exec app "$0" "$@"`.
function runsItself(command: readonly ShellToken[]): boolean {
  return command.some((token) => /\$0|BASH_SOURCE/u.test(token.text));
}

function defaultProgram(text: string): readonly string[] {
  const words = /\bset -- (?<words>[\w./-]{1,80}(?: [\w./-]{1,80}){0,8}) "\$@"/u.exec(text)?.groups?.['words'];
  return words === undefined ? [] : words.split(' ');
}
