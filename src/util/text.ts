import { bigIntegers } from './json.ts';

const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

const spelledOut = (character: string): string => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;

/**
 * Makes untrusted text printable on one line. Spells out control, format and direction characters and line ends (`\u{202e}`), so
 * that a name cannot reorder the text around it or look like another name. Replaces half a surrogate pair by U+FFFD. Cuts text
 * longer than `most` UTF-16 code units and appends an ellipsis.
 */
export function printable(text: string, most: number = Number.POSITIVE_INFINITY): string {
  const plain = text.slice(0, most).toWellFormed().replaceAll(INVISIBLE, spelledOut);
  if (text.length <= most && plain.length <= most) return plain;
  return `${plain.slice(0, most).toWellFormed()}…`;
}

/** Styles that `styleText` of node:util writes: bold, dim, colours, and their ends. */
const STYLE = String.raw`\u001B\[(?:1|2|22|3[1-9]|90)m`;

const INVISIBLE_IN_LINES = /\r\n|(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const INVISIBLE_IN_STYLED_LINES = new RegExp(`${STYLE}|${INVISIBLE_IN_LINES.source}`, 'gu');

/** Makes text of several lines printable like {@link printable}. Keeps line ends and tabs; the styles of a terminal too if `styled`. */
export function printableLines(text: string, styled = false): string {
  const hidden = styled ? INVISIBLE_IN_STYLED_LINES : INVISIBLE_IN_LINES;
  return text.replaceAll(hidden, (found) => (found.length > 2 || found === '\r\n' ? found : spelledOut(found)));
}

const unicodeEscapes = (character: string): string =>
  Array.from(
    { length: character.length },
    (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`,
  ).join('');

/** Escapes in a JSON text all that {@link printable} spells out: what is parsed from it stays the same. */
export const printableJson = (json: string): string =>
  ONLY_ASCII.test(json) ? json : json.replaceAll(INVISIBLE_IN_LINES, unicodeEscapes);

/** A quick test: nearly all text is like this. */
const ONLY_ASCII = /^[\t\n\u0020-\u007E]*$/;

/** Formats a value as JSON with two spaces of indentation and a line end, without characters that a terminal would act on. */
export const jsonText = (value: unknown): string => `${printableJson(JSON.stringify(value, bigIntegers, 2))}\n`;

/** Compares by UTF-16 code units: the order does not depend on the locale. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Compares lists of texts: the first texts that differ decide. */
export function compareTexts(a: readonly string[], b: readonly string[]): number {
  for (let index = 0; index < Math.min(a.length, b.length); index += 1) {
    const order = compareText(a[index] ?? '', b[index] ?? '');
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** Returns a copy of the object with its keys sorted. */
export function sortedByKey<T>(object: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(object).toSorted(([a], [b]) => compareText(a, b)));
}

/** Formats a count: `1 Pod`, `2 Pods`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** Formats a time, in milliseconds since 1970, as ISO 8601 in UTC, to the second: `2026-01-31T23:59:59Z`. */
export const isoTime = (milliseconds: number): string => `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;

/** Quotes text as one word of a POSIX shell: readers copy our commands, and names in manifests may contain anything. */
export function shellWord(text: string): string {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Returns the text without the copies of one character at its end. A pattern would take quadratic time. */
export function withoutTrailing(text: string, character: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === character) end -= 1;
  return text.slice(0, end);
}

/** Returns the message of a thrown error; the thrown value as text if it has no message. */
export function messageOf(thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : '';
  return message === '' ? String(thrown) : message;
}

/**
 * Replaces each match of a global pattern. Returns undefined, without building more of it, if the result is longer than `most`
 * UTF-16 code units.
 */
export function replaceWithin(
  text: string,
  pattern: RegExp,
  most: number,
  replace: (match: RegExpExecArray) => string,
): string | undefined {
  let result = '';
  let at = 0;
  for (const match of text.matchAll(pattern)) {
    result += text.slice(at, match.index) + replace(match);
    if (result.length > most) return undefined;
    at = match.index + match[0].length;
  }
  return result.length + text.length - at > most ? undefined : result + text.slice(at);
}

/** Returns the first names, and the number of the rest. */
export function listed(names: readonly string[], most = 5): string {
  const shown = names.slice(0, most).join(', ');
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}
