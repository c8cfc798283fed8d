import type { Commands, Parameter, Part, Word } from './syntax.ts';

/** Where a reader is in a shell text. */
export interface Cursor {
  readonly text: string;
  at: number;
  /** How deep quotes, substitutions and compound commands are nested. */
  depth: number;
  /** Here-documents whose bodies follow the next newline. */
  readonly pending: Pending[];
  /** Reads commands up to the closing word or operator, which stays unread. */
  readonly commands: (cursor: Cursor, closers: readonly string[]) => Commands;
}

interface Pending {
  readonly delimiter: string;
  /** `<<-`: tabs before its lines do not count. */
  readonly stripsTabs: boolean;
  readonly literal: boolean;
  /** Its text is put here once it is read. */
  readonly target: Part[];
}

/** The text is no shell text, or is nested too deeply. */
export class ShellSyntaxError extends Error {
  override readonly name = 'ShellSyntaxError';
}

const maxDepth = 100;

/** Runs `read` one level deeper. */
export function nested<T>(cursor: Cursor, read: () => T): T {
  if (cursor.depth >= maxDepth) throw new ShellSyntaxError('nested too deeply');
  cursor.depth += 1;
  try {
    return read();
  } finally {
    cursor.depth -= 1;
  }
}

export const peek = (cursor: Cursor, length = 1): string => cursor.text.slice(cursor.at, cursor.at + length);

export function expectText(cursor: Cursor, text: string): void {
  if (!cursor.text.startsWith(text, cursor.at)) throw new ShellSyntaxError(`${text} expected`);
  cursor.at += text.length;
}

/** Matches a sticky pattern at the cursor and moves behind it; undefined if it does not match. */
export function take(cursor: Cursor, pattern: RegExp): string | undefined {
  pattern.lastIndex = cursor.at;
  const [found] = pattern.exec(cursor.text) ?? [];
  if (found !== undefined) cursor.at += found.length;
  return found;
}

const plainText = /[^\s;&|()<>"'`$\\]+/uy;
const braceText = /[^"'`$\\}]+/uy;
const quotedText = /[^"`$\\]+/uy;
const arithmeticText = /[^"'`$\\()]+/uy;

/** Reads a word; undefined if none begins here. */
export function readWord(cursor: Cursor): Word | undefined {
  const parts: Part[] = [];
  for (;;) {
    const before = cursor.at;
    if (!readPlain(cursor, parts) && !readSpecial(cursor, parts, false)) break;
    if (cursor.at === before) break;
  }
  return parts.length === 0 ? undefined : parts;
}

function readPlain(cursor: Cursor, parts: Part[]): boolean {
  const text = take(cursor, plainText);
  if (text !== undefined) {
    parts.push({ kind: 'text', text, quoted: false });
    // `@(a|b)`: the operator before the bracket has just been read.
    if (peek(cursor) === '(' && /[?*+@!]$/u.test(text)) readExtended(cursor, parts);
    return true;
  }
  const process = peek(cursor, 2);
  if (process === '<(' || process === '>(') {
    parts.push({ kind: 'process', body: readSubstitution(cursor) });
    return true;
  }
  return false;
}

/** Reads the commands of `$( … )`, `<( … )` and `>( … )`. */
function readSubstitution(cursor: Cursor): Commands {
  cursor.at += 2;
  const body = nested(cursor, () => cursor.commands(cursor, [')']));
  expectText(cursor, ')');
  return body;
}

// An extended pattern is kept as text: what it matches is not worked out.
function readExtended(cursor: Cursor, parts: Part[]): void {
  const start = cursor.at;
  let depth = 0;
  for (; cursor.at < cursor.text.length; cursor.at += 1) {
    const character = peek(cursor);
    if (character === '\n') break;
    if (character === '(') depth += 1;
    if (character === ')') {
      depth -= 1;
      if (depth === 0) break;
    }
  }
  if (depth !== 0) throw new ShellSyntaxError(') expected');
  cursor.at += 1;
  parts.push({ kind: 'text', text: cursor.text.slice(start, cursor.at), quoted: false });
}

/** Reads a quote, an expansion or an escaped character. `inQuotes`: between double quotes. */
function readSpecial(cursor: Cursor, parts: Part[], inQuotes: boolean): boolean {
  switch (peek(cursor)) {
    case '\\':
      parts.push(...readEscape(cursor, inQuotes));
      return true;
    case '$':
      parts.push(readDollar(cursor, inQuotes));
      return true;
    case '`':
      parts.push(readBackquotes(cursor, inQuotes));
      return true;
    case "'":
      if (inQuotes) return false;
      parts.push(readSingle(cursor));
      return true;
    case '"':
      if (inQuotes) return false;
      parts.push(...readDouble(cursor));
      return true;
    default:
      return false;
  }
}

function readEscape(cursor: Cursor, inQuotes: boolean): readonly Part[] {
  const next = cursor.text[cursor.at + 1];
  cursor.at += 2;
  if (next === '\n') return [{ kind: 'text', text: '', quoted: inQuotes }];
  if (next === undefined) return [{ kind: 'text', text: '\\', quoted: true }];
  const keeps = inQuotes && !/["\\$`]/u.test(next);
  return [{ kind: 'text', text: keeps ? `\\${next}` : next, quoted: true }];
}

function readSingle(cursor: Cursor): Part {
  const end = cursor.text.indexOf("'", cursor.at + 1);
  if (end === -1) throw new ShellSyntaxError("' expected");
  const text = cursor.text.slice(cursor.at + 1, end);
  cursor.at = end + 1;
  return { kind: 'text', text, quoted: true };
}

function readDouble(cursor: Cursor): readonly Part[] {
  expectText(cursor, '"');
  const parts: Part[] = [{ kind: 'text', text: '', quoted: true }];
  nested(cursor, () => {
    while (peek(cursor) !== '"') {
      if (cursor.at >= cursor.text.length) throw new ShellSyntaxError('" expected');
      const text = take(cursor, quotedText);
      if (text !== undefined) parts.push({ kind: 'text', text, quoted: true });
      else if (!readSpecial(cursor, parts, true)) break;
    }
  });
  expectText(cursor, '"');
  return parts;
}

/** Reads up to the closing quote, past escaped ones; returns the text between, escapes unchanged. */
function readEscaped(cursor: Cursor, quote: string): string {
  let end = cursor.at + 1;
  while (end < cursor.text.length && cursor.text[end] !== quote) end += cursor.text[end] === '\\' ? 2 : 1;
  if (end >= cursor.text.length) throw new ShellSyntaxError(`${quote} expected`);
  const text = cursor.text.slice(cursor.at + 1, end);
  cursor.at = end + 1;
  return text;
}

// Backquotes nest by backslashes, which are removed before the text is read.
function readBackquotes(cursor: Cursor, quoted: boolean): Part {
  const text = readEscaped(cursor, '`').replaceAll(quoted ? /\\(["\\`$])/gu : /\\([\\`$])/gu, '$1');
  const inner: Cursor = { ...cursor, text, at: 0, pending: [] };
  const body = nested(inner, () => inner.commands(inner, []));
  return { kind: 'command', body, quoted };
}

const name = /[A-Za-z_]\w*/uy;
const special = /[0-9@*#?$!-]/uy;
const specialInBraces = /[0-9]+|[@*#?$!-]/uy;

function readDollar(cursor: Cursor, quoted: boolean): Part {
  const next = cursor.text[cursor.at + 1] ?? '';
  if (next === "'" && !quoted) {
    cursor.at += 1;
    return readAnsi(cursor);
  }
  if (next === '"' && !quoted) {
    cursor.at += 1;
    return { kind: 'text', text: '', quoted: true };
  }
  if (cursor.text.startsWith('$((', cursor.at)) {
    const arithmetic = readArithmetic(cursor, 3);
    if (arithmetic !== undefined) return { kind: 'arithmetic', text: arithmetic, quoted };
  }
  if (next === '(') return { kind: 'command', body: readSubstitution(cursor), quoted };
  if (next === '{') return nested(cursor, () => readBraces(cursor, quoted));
  cursor.at += 1;
  const named = take(cursor, name) ?? take(cursor, special);
  return named === undefined ? { kind: 'text', text: '$', quoted } : plainParameter(named, quoted);
}

const plainParameter = (named: string, quoted: boolean): Parameter => ({
  kind: 'parameter',
  name: named,
  prefix: '',
  index: undefined,
  operator: '',
  argument: [],
  quoted,
});

const ansiEscapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', e: '\u001B', a: '\u0007' };

function readAnsi(cursor: Cursor): Part {
  const text = readEscaped(cursor, "'").replaceAll(/\\([\s\S])/gu, (_, one: string) => ansiEscapes[one] ?? one);
  return { kind: 'text', text, quoted: true };
}

/** Reads `… ))` behind an opening of `opening` characters; undefined, with the cursor unmoved, if it is no arithmetic. */
export function readArithmetic(cursor: Cursor, opening: number): Word | undefined {
  const start = cursor.at;
  cursor.at += opening;
  const parts: Part[] = [];
  const closed = nested(cursor, () => readUntilDoubleBracket(cursor, parts));
  if (closed) return parts;
  cursor.at = start;
  return undefined;
}

// What is no arithmetic is read again as commands: a bound keeps that linear.
const longestArithmetic = 4096;

function readUntilDoubleBracket(cursor: Cursor, parts: Part[]): boolean {
  let depth = 0;
  const most = Math.min(cursor.text.length, cursor.at + longestArithmetic);
  while (cursor.at < most) {
    const text = take(cursor, arithmeticText);
    if (text !== undefined) {
      parts.push({ kind: 'text', text, quoted: true });
      continue;
    }
    const character = peek(cursor);
    if (character === '(' || character === ')') {
      if (character === ')' && depth === 0) {
        if (peek(cursor, 2) !== '))') return false;
        cursor.at += 2;
        return true;
      }
      depth += character === '(' ? 1 : -1;
      cursor.at += 1;
      parts.push({ kind: 'text', text: character, quoted: true });
    } else if (!readSpecial(cursor, parts, false)) {
      return false;
    }
  }
  return false;
}

const operators = /:[-=?+]|[-=?+]|##?|%%?|\/[/#%]?|\^\^?|,,?|@|:/uy;

function readBraces(cursor: Cursor, quoted: boolean): Part {
  cursor.at += 2;
  const isLength = peek(cursor) === '#' && !/^#[}:=?+%#/-]/u.test(peek(cursor, 2));
  const prefix = isLength ? '#' : peek(cursor) === '!' && !/^![}:]/u.test(peek(cursor, 2)) ? '!' : '';
  if (prefix !== '') cursor.at += 1;
  const named = take(cursor, name) ?? take(cursor, specialInBraces);
  if (named === undefined) throw new ShellSyntaxError('parameter expected');
  const index = readIndex(cursor);
  const operator = take(cursor, operators) ?? '';
  // In a pattern, quotes count as they do outside of double quotes (POSIX.1-2024 XCU 2.6.2).
  const argument = readBraceArgument(cursor, quoted && !/^[#%]/u.test(operator));
  expectText(cursor, '}');
  return { kind: 'parameter', name: named, prefix, index, operator, argument, quoted };
}

function readIndex(cursor: Cursor): Word | undefined {
  if (peek(cursor) !== '[') return undefined;
  cursor.at += 1;
  const parts: Part[] = [];
  while (cursor.at < cursor.text.length && peek(cursor) !== ']') {
    const text = take(cursor, /[^"'`$\\\]]+/uy);
    if (text !== undefined) parts.push({ kind: 'text', text, quoted: false });
    else if (!readSpecial(cursor, parts, false)) break;
  }
  expectText(cursor, ']');
  return parts;
}

function readBraceArgument(cursor: Cursor, quoted: boolean): Word {
  const parts: Part[] = [];
  while (cursor.at < cursor.text.length && peek(cursor) !== '}') {
    const text = take(cursor, braceText);
    if (text !== undefined) parts.push({ kind: 'text', text, quoted });
    else if (quoted && peek(cursor) === "'") {
      cursor.at += 1;
      parts.push({ kind: 'text', text: "'", quoted });
    } else if (quoted && peek(cursor) === '"') parts.push(...readDouble(cursor));
    else if (!readSpecial(cursor, parts, quoted)) break;
  }
  return parts;
}

/** Reads the bodies of the here-documents that were announced on the line that has just ended. */
export function readHereDocuments(cursor: Cursor): void {
  for (const document of cursor.pending.splice(0)) {
    const lines: string[] = [];
    for (;;) {
      if (cursor.at >= cursor.text.length) break;
      const end = cursor.text.indexOf('\n', cursor.at);
      const raw = cursor.text.slice(cursor.at, end === -1 ? undefined : end);
      cursor.at = end === -1 ? cursor.text.length : end + 1;
      const line = document.stripsTabs ? raw.replace(/^\t+/u, '') : raw;
      if (line === document.delimiter) break;
      lines.push(line, '\n');
    }
    document.target.push(...hereText(cursor, lines.join(''), document.literal));
  }
}

function hereText(cursor: Cursor, text: string, literal: boolean): readonly Part[] {
  if (literal) return [{ kind: 'text', text, quoted: true }];
  const parts: Part[] = [];
  const inner: Cursor = { ...cursor, text, at: 0, pending: [] };
  const plain = /[^`$\\]+/uy;
  while (inner.at < text.length) {
    const run = take(inner, plain);
    if (run !== undefined) parts.push({ kind: 'text', text: run, quoted: true });
    else if (!readSpecial(inner, parts, true)) break;
  }
  return parts;
}

/** Returns a word's text without quotes if nothing in it is expanded; else undefined. */
export function literalOf(word: Word | undefined): string | undefined {
  let text = '';
  for (const part of word ?? []) {
    if (part.kind !== 'text') return undefined;
    text += part.text;
  }
  return text;
}

/** Returns a word's text if it is not quoted and nothing in it is expanded; else undefined. */
export function bareOf(word: Word | undefined): string | undefined {
  return word?.some((part) => part.kind === 'text' && part.quoted) === true ? undefined : literalOf(word);
}
