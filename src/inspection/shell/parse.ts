import type {
  Assignment,
  Command,
  Commands,
  Part,
  Redirect,
  ShellText,
  SimpleCommand,
  TestWord,
  Word,
} from './syntax.ts';
import { withoutMarks } from './run/values.ts';
import {
  bareOf,
  type Cursor,
  expectText,
  literalOf,
  nested,
  peek,
  readArithmetic,
  readHereDocuments,
  readWord,
  ShellSyntaxError,
  take,
} from './words.ts';

const maxText = 128 * 1024;

/**
 * Reads a shell text in linear time: the grammar of POSIX.1-2024 XCU 2.10, and bash's arrays, `[[ ]]`, `(( ))`,
 * here-strings, process substitutions, `select` and `function`. Never throws: of a text that cannot be read to its end, the
 * commands before that place are returned. `marked`: it was put together in a run, and marks what is unknown of it.
 */
export function parseShell(source: string, marked = false): ShellText {
  const cut = source.slice(0, maxText);
  const text = (marked ? cut : withoutMarks(cut)).replaceAll('\r\n', '\n');
  const cursor: Cursor = { text, at: 0, depth: 0, pending: [], commands: readCommands };
  const commands: Command[] = [];
  try {
    readList(cursor, [], commands);
    if (cursor.at < text.length) throw new ShellSyntaxError(`unexpected ${JSON.stringify(peek(cursor))}`);
    return { commands, broken: source.length > maxText ? 'it is too long' : undefined };
  } catch (error) {
    if (error instanceof ShellSyntaxError) return { commands, broken: error.message };
    throw error;
  }
}

/** Splits a text into words as a shell does, without expansion; for `env -S`. */
export function splitWords(text: string): readonly string[] {
  const { commands } = parseShell(text.replaceAll('\n', ' '), true);
  const [command] = commands;
  if (commands.length !== 1 || command?.kind !== 'simple') return text.split(/\s+/u).filter(Boolean);
  return [
    ...command.assignments.map(({ name, value }) => `${name}=${literalOf(value) ?? ''}`),
    ...command.words.map((word) => literalOf(word) ?? ''),
  ];
}

function readCommands(cursor: Cursor, closers: readonly string[]): Commands {
  const commands: Command[] = [];
  nested(cursor, () => {
    readList(cursor, closers, commands);
  });
  return commands;
}

function readList(cursor: Cursor, closers: readonly string[], commands: Command[]): void {
  for (;;) {
    skipNewlines(cursor);
    if (cursor.at >= cursor.text.length || isAtCloser(cursor, closers)) return;
    const command = readAndOr(cursor);
    skipBlanks(cursor);
    const isBackground = peek(cursor) === '&' && peek(cursor, 2) !== '&&';
    commands.push(isBackground ? { kind: 'background', command } : command);
    if (isBackground) cursor.at += 1;
    else if (peek(cursor) === ';' && !/^;[;&]/u.test(peek(cursor, 2))) cursor.at += 1;
    else if (peek(cursor) !== '\n' && cursor.at < cursor.text.length && !isAtCloser(cursor, closers)) {
      throw new ShellSyntaxError(`unexpected ${JSON.stringify(peek(cursor))}`);
    }
  }
}

const wordAhead = /[^\s;&|()<>"'`$\\]+(?=[\s;&|()<>]|$)/uy;

/** Reports whether one of the closing words or operators is next. */
function isAtCloser(cursor: Cursor, closers: readonly string[]): boolean {
  if (closers.length === 0) return false;
  const word = aheadWord(cursor);
  return closers.some((closer) =>
    /^\w|^\}$/u.test(closer) ? word === closer : cursor.text.startsWith(closer, cursor.at),
  );
}

function aheadWord(cursor: Cursor): string | undefined {
  wordAhead.lastIndex = cursor.at;
  return wordAhead.exec(cursor.text)?.[0];
}

const blanks = /(?:[ \t]|\\\n)+/uy;
const comment = /#[^\n]*/uy;

function skipBlanks(cursor: Cursor): void {
  take(cursor, blanks);
  if (peek(cursor) === '#') take(cursor, comment);
}

function skipNewlines(cursor: Cursor): void {
  for (;;) {
    skipBlanks(cursor);
    if (peek(cursor) !== '\n') return;
    cursor.at += 1;
    readHereDocuments(cursor);
  }
}

function readAndOr(cursor: Cursor): Command {
  let left = readPipeline(cursor);
  for (;;) {
    skipBlanks(cursor);
    const operator = peek(cursor, 2);
    if (operator !== '&&' && operator !== '||') return left;
    cursor.at += 2;
    skipNewlines(cursor);
    left = { kind: 'and-or', left, operator, right: readPipeline(cursor) };
  }
}

function readPipeline(cursor: Cursor): Command {
  let negated = false;
  for (let word = aheadWord(cursor); word === '!' || word === 'time'; word = aheadWord(cursor)) {
    cursor.at += word.length;
    if (word === '!') negated = !negated;
    skipBlanks(cursor);
    if (word === 'time') take(cursor, /-p[ \t]+/uy);
  }
  const commands = [readCommand(cursor)];
  for (;;) {
    skipBlanks(cursor);
    if (peek(cursor) !== '|' || peek(cursor, 2) === '||') break;
    cursor.at += peek(cursor, 2) === '|&' ? 2 : 1;
    skipNewlines(cursor);
    commands.push(readCommand(cursor));
  }
  const [only] = commands;
  return commands.length === 1 && !negated && only !== undefined ? only : { kind: 'pipeline', negated, commands };
}

const compounds: Readonly<Record<string, (cursor: Cursor) => Command>> = {
  if: readIf,
  while: (cursor) => readLoop(cursor, false),
  until: (cursor) => readLoop(cursor, true),
  for: readFor,
  select: readFor,
  case: readCase,
  function: readFunctionWord,
  '{': readGroup,
  '[[': readTest,
};

function readCommand(cursor: Cursor): Command {
  return nested(cursor, () => {
    const word = aheadWord(cursor) ?? '';
    const compound = Object.hasOwn(compounds, word) ? compounds[word] : undefined;
    if (compound !== undefined) {
      cursor.at += word.length;
      return withRedirects(cursor, compound(cursor));
    }
    if (peek(cursor, 2) === '((') {
      const text = readArithmetic(cursor, 2);
      if (text !== undefined) return withRedirects(cursor, { kind: 'arithmetic', text });
    }
    if (peek(cursor) === '(') {
      cursor.at += 1;
      const body = closed(cursor, ')');
      return withRedirects(cursor, { kind: 'subshell', body, redirects: [] });
    }
    return readFunction(cursor) ?? readSimple(cursor);
  });
}

/** Reads commands up to a closing word or operator, and that. */
function closed(cursor: Cursor, closer: string): Commands {
  const body = readCommands(cursor, [closer]);
  expectText(cursor, closer);
  return body;
}

function readGroup(cursor: Cursor): Command {
  return { kind: 'group', body: closed(cursor, '}'), redirects: [] };
}

/** Reads as many as there are, each behind what `skip` skips. */
function readAll<T>(cursor: Cursor, skip: (cursor: Cursor) => void, read: (cursor: Cursor) => T | undefined): T[] {
  const found: T[] = [];
  for (;;) {
    skip(cursor);
    const one = read(cursor);
    if (one === undefined) return found;
    found.push(one);
  }
}

function withRedirects(cursor: Cursor, command: Command): Command {
  const redirects = readAll(cursor, skipBlanks, readRedirect);
  if (redirects.length === 0) return command;
  return command.kind === 'group' || command.kind === 'subshell'
    ? { ...command, redirects }
    : { kind: 'group', body: [command], redirects };
}

function readIf(cursor: Cursor): Command {
  const branches: { condition: Commands; body: Commands }[] = [];
  for (;;) {
    const condition = closed(cursor, 'then');
    const body = readCommands(cursor, ['elif', 'else', 'fi']);
    branches.push({ condition, body });
    const word = aheadWord(cursor) ?? '';
    expectText(cursor, word === 'elif' || word === 'else' ? word : 'fi');
    if (word === 'elif') continue;
    return { kind: 'if', branches, otherwise: word === 'else' ? closed(cursor, 'fi') : [] };
  }
}

function readLoop(cursor: Cursor, until: boolean): Command {
  const condition = closed(cursor, 'do');
  return { kind: 'loop', until, condition, body: closed(cursor, 'done') };
}

function readFor(cursor: Cursor): Command {
  skipBlanks(cursor);
  if (peek(cursor, 2) === '((') {
    if (readArithmetic(cursor, 2) === undefined) throw new ShellSyntaxError('(( )) expected');
    skipBlanks(cursor);
    if (peek(cursor) === ';') cursor.at += 1;
    return { kind: 'counting', body: readDo(cursor) };
  }
  const name = bareOf(readWord(cursor)) ?? '';
  if (!/^[A-Za-z_]\w*$/u.test(name)) throw new ShellSyntaxError('a name is expected after for');
  skipNewlines(cursor);
  if (aheadWord(cursor) !== 'in') {
    if (peek(cursor) === ';') cursor.at += 1;
    return { kind: 'for', name, words: undefined, body: readDo(cursor) };
  }
  cursor.at += 2;
  const words = readAll(cursor, skipBlanks, readWord);
  if (peek(cursor) === ';') cursor.at += 1;
  return { kind: 'for', name, words, body: readDo(cursor) };
}

function readDo(cursor: Cursor): Commands {
  skipNewlines(cursor);
  if (aheadWord(cursor) === '{') {
    cursor.at += 1;
    return closed(cursor, '}');
  }
  expectText(cursor, 'do');
  return closed(cursor, 'done');
}

function readCase(cursor: Cursor): Command {
  skipBlanks(cursor);
  const subject = readWord(cursor) ?? [];
  skipNewlines(cursor);
  expectText(cursor, 'in');
  const arms: { patterns: Word[]; body: Commands; end: ';;' | ';&' | ';;&' }[] = [];
  for (;;) {
    skipNewlines(cursor);
    if (aheadWord(cursor) === 'esac') break;
    const patterns = readPatterns(cursor);
    const body = readCommands(cursor, [';;', ';&', 'esac']);
    const end = (take(cursor, /;;&|;;|;&/uy) ?? ';;') as ';;' | ';&' | ';;&';
    arms.push({ patterns, body, end });
  }
  expectText(cursor, 'esac');
  return { kind: 'case', subject, arms };
}

function readPatterns(cursor: Cursor): Word[] {
  if (peek(cursor) === '(') cursor.at += 1;
  const patterns: Word[] = [];
  for (;;) {
    skipBlanks(cursor);
    const pattern = readWord(cursor);
    if (pattern === undefined) throw new ShellSyntaxError('a pattern is expected');
    patterns.push(pattern);
    skipBlanks(cursor);
    if (peek(cursor) !== '|') break;
    cursor.at += 1;
  }
  expectText(cursor, ')');
  return patterns;
}

const functionHead = /(?<name>[^\s;&|()<>"'`$\\=]+)[ \t]*\([ \t]*\)/uy;

function readFunction(cursor: Cursor): Command | undefined {
  functionHead.lastIndex = cursor.at;
  const match = functionHead.exec(cursor.text);
  if (match === null) return undefined;
  cursor.at += match[0].length;
  return { kind: 'function', name: match.groups?.['name'] ?? '', body: readBody(cursor) };
}

function readFunctionWord(cursor: Cursor): Command {
  skipBlanks(cursor);
  const name = take(cursor, /[^\s;&|()<>"'`$\\]+/uy);
  if (name === undefined) throw new ShellSyntaxError('a name is expected after function');
  skipBlanks(cursor);
  take(cursor, /\([ \t]*\)/uy);
  return { kind: 'function', name, body: readBody(cursor) };
}

function readBody(cursor: Cursor): Command {
  skipNewlines(cursor);
  return readCommand(cursor);
}

function readTest(cursor: Cursor): Command {
  const words: TestWord[] = [];
  for (;;) {
    skipNewlines(cursor);
    if (aheadWord(cursor) === ']]') break;
    const operator = take(cursor, /&&|\|\||[()<>]/uy);
    if (operator !== undefined) {
      words.push({ operator });
      continue;
    }
    const word = readWord(cursor);
    if (word === undefined) throw new ShellSyntaxError(']] expected');
    words.push({ word });
    if (bareOf(word) === '=~') {
      skipBlanks(cursor);
      words.push({ word: readRegex(cursor) });
    }
  }
  expectText(cursor, ']]');
  return { kind: 'test', words };
}

// What a regular expression matches is not worked out; only its end matters.
function readRegex(cursor: Cursor): Word {
  const parts: Part[] = [];
  let depth = 0;
  while (cursor.at < cursor.text.length) {
    const character = peek(cursor);
    if (/\s/u.test(character) && depth <= 0) break;
    if (character === '(' || character === ')') depth += character === '(' ? 1 : -1;
    if (/[|()<>;&\s]/u.test(character)) {
      cursor.at += 1;
      parts.push({ kind: 'text', text: character, quoted: false });
    } else {
      const word = readWord(cursor);
      if (word === undefined) break;
      parts.push(...word);
    }
  }
  return parts;
}

const assignmentHead = /(?<name>[A-Za-z_]\w*)(?<index>\[[^\]\n]*\])?(?<append>\+)?=/uy;

function readSimple(cursor: Cursor): SimpleCommand {
  const assignments: Assignment[] = [];
  const words: Word[] = [];
  const redirects: Redirect[] = [];
  for (;;) {
    skipBlanks(cursor);
    const redirect = readRedirect(cursor);
    if (redirect !== undefined) {
      redirects.push(redirect);
      continue;
    }
    const assignment = words.length === 0 ? readAssignment(cursor) : undefined;
    if (assignment !== undefined) {
      assignments.push(assignment);
      continue;
    }
    const word = readArgument(cursor);
    if (word === undefined) break;
    words.push(word);
  }
  if (words.length + assignments.length + redirects.length === 0) throw new ShellSyntaxError('a command is expected');
  return { kind: 'simple', assignments, words, redirects };
}

function readAssignment(cursor: Cursor): Assignment | undefined {
  assignmentHead.lastIndex = cursor.at;
  const match = assignmentHead.exec(cursor.text);
  if (match === null) return undefined;
  cursor.at += match[0].length;
  const { name = '', index, append } = match.groups ?? {};
  const value = peek(cursor) === '(' ? readArray(cursor) : (readWord(cursor) ?? []);
  return {
    name,
    append: append !== undefined,
    index: index === undefined ? undefined : readSubscript(cursor, index.slice(1, -1)),
    value,
  };
}

/** Reads what stands between the brackets of `NAME[…]=`; more than one word is arithmetic, which is not worked out. */
function readSubscript(cursor: Cursor, text: string): Word {
  const inner: Cursor = { ...cursor, text, at: 0, pending: [] };
  const word = readWord(inner) ?? [];
  return inner.at === text.length ? word : [{ kind: 'process', body: [] }];
}

/** Reads an argument; that of `declare` may be an array: `declare -a NAME=( … )`. */
function readArgument(cursor: Cursor): Word | undefined {
  const word = readWord(cursor);
  if (word === undefined || peek(cursor) !== '(') return word;
  return /^[A-Za-z_]\w*\+?=$/u.test(bareOf(word) ?? '') ? [...word, ...readArray(cursor)] : word;
}

function readArray(cursor: Cursor): Word {
  expectText(cursor, '(');
  const words = readAll(cursor, skipNewlines, readWord);
  expectText(cursor, ')');
  return [{ kind: 'array', words }];
}

const redirectHead = /(?:\d+|\{\w+\})?(?:<<<|<<-|<<|<>|<&|<(?!\()|>>|>\||>&|>(?!\()|&>>|&>)/uy;

function readRedirect(cursor: Cursor): Redirect | undefined {
  const head = take(cursor, redirectHead);
  if (head === undefined) return undefined;
  const [, descriptor = '', operator = ''] = /^(\d*|\{\w+\})(\D+)$/u.exec(head) ?? [];
  take(cursor, blanks);
  const word = readWord(cursor);
  if (word === undefined) throw new ShellSyntaxError('a file is expected');
  if (operator !== '<<' && operator !== '<<-') return { descriptor, operator, target: word };
  const target: Part[] = [];
  const literal = word.some((part) => part.kind === 'text' && part.quoted);
  cursor.pending.push({ delimiter: literalOf(word) ?? '', stripsTabs: operator === '<<-', literal, target });
  return { descriptor, operator, target };
}
