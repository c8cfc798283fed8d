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

/** Quotes text as one word of a POSIX shell: readers copy our commands, and names in manifests may contain anything. */
export function shellWord(text: string): string {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
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
