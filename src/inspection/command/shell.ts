import { replaceWithin } from '../../util/text.ts';

/** The simple command that a shell ends up in. */
interface ShellCommand {
  readonly argv: readonly string[];
  /** Set by a `cd` before it. */
  readonly directory?: string;
  /** Other commands run before it, and it does not replace the shell. */
  readonly oneOfSeveral: boolean;
}

const compound = new Set(['if', 'for', 'while', 'until', 'case', 'function', '{', '}', '(', ')', '!', '[[']);
const separators = new Set(['&&', ';', '\n']);
// Preparations that resolve no names: a command after them is not one of several.
const preparations = new Set([
  'cd',
  'set',
  'export',
  'umask',
  'ulimit',
  'mkdir',
  'chown',
  'chmod',
  'echo',
  ':',
  'true',
]);

/**
 * Returns what `sh WORDS` runs if WORDS hold `-c TEXT`: TEXT's last `exec`, else its last command; undefined without
 * `-c`, or if TEXT is more than a row of simple commands.
 */
export function shellCommand(words: readonly string[], env: ReadonlyMap<string, string>): ShellCommand | undefined {
  const flag = words.findIndex((word) => !/^[-+]/u.test(word) || (/^-[a-z]+$/u.test(word) && word.includes('c')));
  const text = words[flag + 1];
  if (flag === -1 || text === undefined || !words[flag]?.startsWith('-')) return undefined;
  // The word after the text is $0.
  const positional = words.slice(flag + 3);
  return lastCommand(tokenize(text), env, positional);
}

function lastCommand(
  tokens: readonly ShellToken[],
  env: ReadonlyMap<string, string>,
  positional: readonly string[],
): ShellCommand | undefined {
  const commands = simpleCommands(tokens) ?? [];
  const last = commands.findLast((command) => nameOf(command) === 'exec') ?? commands.at(-1);
  if (last === undefined) return undefined;
  const isExec = nameOf(last) === 'exec';
  const argv = commandWords(isExec ? last.slice(1) : last, env, positional);
  if (argv === undefined) return undefined;
  const before = commands.slice(0, commands.indexOf(last));
  const oneOfSeveral = !isExec && before.some((command) => !preparations.has(nameOf(command)));
  const move = before.findLast((command) => nameOf(command) === 'cd')?.[1]?.text;
  if (move === undefined) return { argv, oneOfSeveral };
  const directory = expandWord(move, env);
  return directory === undefined ? undefined : { argv, directory, oneOfSeveral };
}

/** Returns a row of simple commands; undefined if the text holds anything else, such as a pipe or a loop. */
function simpleCommands(tokens: readonly ShellToken[]): readonly (readonly ShellToken[])[] | undefined {
  const commands: ShellToken[][] = [[]];
  for (const token of tokens) {
    if (token.kind === 'word') commands.at(-1)?.push(token);
    else if (separators.has(token.text)) commands.push([]);
    else return undefined;
  }
  const filled = commands.filter((command) => command.length > 0);
  return filled.some((command) => compound.has(nameOf(command))) ? undefined : filled;
}

function nameOf(command: readonly ShellToken[]): string {
  return command[0]?.text ?? '';
}

/** Expands a command's words and drops leading assignments; undefined if the program's name cannot be known. */
export function commandWords(
  tokens: readonly ShellToken[],
  env: ReadonlyMap<string, string>,
  positional: readonly string[],
): readonly string[] | undefined {
  const start = tokens.findIndex(({ text }) => !/^[A-Za-z_]\w*=/u.test(text));
  if (start === -1) return undefined;
  const argv: string[] = [];
  let left = maxExpanded;
  for (const token of tokens.slice(start)) {
    if (token.allArguments) argv.push(...positional);
    else {
      const word = token.computed ? undefined : expandWord(token.text, env, left);
      left -= word?.length ?? 0;
      // An unknown argument matters only if a wrapper takes it for a program; the empty name then finds nothing.
      if (word === undefined && argv.length === 0) return undefined;
      argv.push(word ?? '');
    }
  }
  return argv.length > 0 && argv[0] !== '' ? argv : undefined;
}

// Characters of one word (Linux include/uapi/linux/binfmts.h, MAX_ARG_STRLEN), and of all words of a command.
const maxWord = 128 * 1024;
const maxExpanded = 512 * 1024;
const maxText = 64 * 1024;
const maxTokens = 8192;

export interface ShellToken {
  readonly kind: 'word' | 'operator';
  /** Quotes removed, `$` expressions kept. */
  readonly text: string;
  /** The whole word stands for all arguments: `"$@"`, `$@`, `"${@}"` or `$*`. */
  readonly allArguments: boolean;
  /** The word holds a `$(...)` or a backtick, whose value only the shell knows. */
  readonly computed: boolean;
}

/**
 * Splits a shell text into words and operators (POSIX.1-2024 XCU 2.3, as far as simple commands need), in linear time.
 * Does not understand here-documents, functions and nested substitutions: returns their words like all others.
 */
export function tokenize(source: string): readonly ShellToken[] {
  const text = source.slice(0, maxText);
  const tokens: ShellToken[] = [];
  // Comment, operator, or a word made of quoted and plain pieces.
  const pattern =
    /[ \t]+|\\\n|#[^\n]*|(?<operator>&&|\|\||;;|[;&|\n()])|\d?(?:>>|<<|[<>])&?[ \t]*[^\s;&|]*|(?<word>(?:\\[\s\S]|'[^']*'|"(?:\\[\s\S]|[^"\\])*"|\$\{[^}\n]{0,256}\}|[^\s;&|()<>"'\\])+)|(?<stray>[\s\S])/gu;
  for (const match of text.matchAll(pattern)) {
    if (tokens.length >= maxTokens) break;
    const { operator, word, stray } = match.groups ?? {};
    if (word !== undefined) tokens.push(wordToken(word));
    else if (operator !== undefined || stray !== undefined) {
      tokens.push({ kind: 'operator', text: operator ?? stray ?? '', allArguments: false, computed: false });
    }
  }
  return tokens;
}

/** Splits a text into words as a shell does, without expansion; for `env -S`. */
export function splitWords(text: string): readonly string[] {
  return tokenize(text)
    .filter(({ kind }) => kind === 'word')
    .map(({ text: word }) => word);
}

/**
 * Replaces `$NAME`, `${NAME}` and `${NAME:-default}`; undefined if a name is not known, or the result is longer than `most`
 * characters.
 */
function expandWord(word: string, env: ReadonlyMap<string, string>, most = maxExpanded): string | undefined {
  let known = true;
  const expanded = replaceWithin(
    word,
    /\$(?:(?<plain>\w+)|\{(?<name>\w+)(?::?-(?<fallback>[^{}]*))?\})/gu,
    Math.min(most, maxWord),
    ({ groups: { plain, name, fallback } = {} }) => {
      const value = env.get(plain ?? name ?? '');
      if (value !== undefined && value !== '') return value;
      if (fallback === undefined) known = false;
      return fallback ?? '';
    },
  );
  return known && expanded?.includes('$') === false ? expanded : undefined;
}

function wordToken(raw: string): ShellToken {
  const text = raw.replaceAll(
    /'(?<literal>[^']*)'|\\(?<escaped>[\s\S])|"/gu,
    (_whole, literal?: string, escaped?: string) => (escaped === '\n' ? '' : (literal ?? escaped ?? '')),
  );
  return {
    kind: 'word',
    text,
    allArguments: raw === '"$@"' || raw === '$@' || raw === '"${@}"' || raw === '$*',
    computed: /\$\(|`/u.test(raw),
  };
}
