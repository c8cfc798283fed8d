import { baseName, isShell } from './command-line.ts';
import { commandWords } from './shell-command.ts';
import { tokenize, type ShellToken } from './shell-words.ts';

/** What a script runs. */
export type ScriptTarget =
  /** Another program, which takes the script's place. */
  | { readonly kind: 'program'; readonly argv: readonly string[] }
  /** Its interpreter: `argv` begins with it. `opaque`: a shell or the like that mostly starts other programs. */
  | { readonly kind: 'interpreter'; readonly argv: readonly string[]; readonly opaque: boolean };

// The kernel reads no more of the first line (fs/binfmt_script.c, BINPRM_BUF_SIZE).
const maxLine = 256;
const maxScanned = 64 * 1024;

/** Whether a file is a `#!` script. */
export function isScript(prefix: Uint8Array): boolean {
  return prefix[0] === 0x23 && prefix[1] === 0x21;
}

/**
 * What running `path` with `words` leads to, by the script's text. A shell script that ends in `exec "$@"` runs its
 * arguments, one that ends in `exec NAME` that; all others stay with their interpreter.
 */
export function scriptTarget(
  text: string,
  path: string,
  words: readonly string[],
  env: ReadonlyMap<string, string>,
): ScriptTarget {
  const interpreter = shebang(text);
  if (interpreter === undefined) return { kind: 'interpreter', argv: ['/bin/sh', path], opaque: true };
  const name = baseName(interpreter[0] === undefined ? '' : (programBehindEnv(interpreter) ?? ''));
  const argv = [...interpreter, path, ...words];
  if (!isShell(name)) return { kind: 'interpreter', argv, opaque: /^(?:execlineb|with-contenv)$/u.test(name) };
  const executed = executedCommand(text.slice(0, maxScanned), words, env);
  return executed === undefined ? { kind: 'interpreter', argv, opaque: true } : { kind: 'program', argv: executed };
}

function shebang(text: string): readonly string[] | undefined {
  const line = /^#![ \t]*(?<line>[^\n]*)/u.exec(text.slice(0, maxLine))?.groups?.['line']?.trim();
  if (line === undefined || line === '') return undefined;
  // One optional argument, blanks and all (execve(2)).
  const [, program = '', argument] = /^(\S+)(?:[ \t]+(.*))?$/u.exec(line) ?? [];
  return argument === undefined ? [program] : [program, argument];
}

function programBehindEnv([program = '', argument = '']: readonly string[]): string | undefined {
  if (baseName(program) !== 'env') return program;
  return argument.replace(/^-S\s*/u, '').split(/\s/u, 1)[0];
}

function executedCommand(
  text: string,
  words: readonly string[],
  env: ReadonlyMap<string, string>,
): readonly string[] | undefined {
  const executions = execCommands(text);
  // Scripts drop root by running themselves again: `exec su-exec app "$0" "$@"`.
  const others = executions.filter((command) => !command.some((token) => /\$0|BASH_SOURCE/u.test(token.text)));
  const last = others.at(-1);
  if (last === undefined) return undefined;
  if (!last.some(({ allArguments }) => allArguments)) return commandWords(last, env, words);
  const [first = '-'] = words;
  const completed = first.startsWith('-') ? [...defaultProgram(text), ...words] : words;
  const argv = commandWords(last, env, completed);
  return argv?.[0]?.startsWith('-') === true ? undefined : argv;
}

function execCommands(text: string): readonly (readonly ShellToken[])[] {
  const commands: ShellToken[][] = [];
  let open: ShellToken[] | undefined;
  let atStart = true;
  for (const token of tokenize(text)) {
    if (token.kind === 'operator') open = undefined;
    else if (open !== undefined) open.push(token);
    else if (atStart && token.text === 'exec') commands.push((open = []));
    atStart = token.kind === 'operator' || /^(?:then|else|do)$/u.test(token.text);
  }
  // A bare `exec` only redirects.
  return commands.filter((command) => command.length > 0);
}

// Docker's official images run `set -- NAME "$@"` where the arguments begin with an option.
function defaultProgram(text: string): readonly string[] {
  const words = /\bset -- (?<words>[\w./-]+(?: [\w./-]+)*) "\$@"/u.exec(text)?.groups?.['words'];
  return words === undefined ? [] : words.split(' ');
}
