const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

const spelledOut = (character: string): string => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;

/**
 * Makes untrusted text safe to show on one line. Spells out control, format and direction characters and line ends
 * (`\u{202e}`), so that no name can turn the text around it or pass for another; half a surrogate pair becomes U+FFFD. Cuts
 * text longer than `most` UTF-16 code units there, and adds an ellipsis.
 */
export function printable(text: string, most: number = Number.POSITIVE_INFINITY): string {
  const plain = text.slice(0, most).toWellFormed().replaceAll(UNSEEN, spelledOut);
  if (text.length <= most && plain.length <= most) return plain;
  return `${plain.slice(0, most).toWellFormed()}…`;
}

/** Compares by code units: the same on every machine, whatever its language. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Compares lists by their texts in order: the first that differs decides. */
export function compareTexts(a: readonly string[], b: readonly string[]): number {
  for (let index = 0; index < Math.min(a.length, b.length); index += 1) {
    const order = compareText(a[index] ?? '', b[index] ?? '');
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** Returns a copy with its keys sorted. */
export function sortedByKey<T>(object: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(object).toSorted(([a], [b]) => compareText(a, b)));
}

/** Returns `1 Pod`, `2 Pods`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** Quotes a name as one word of a POSIX shell: people copy commands, and names in manifests may hold anything. */
export function shellWord(text: string): string {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Returns the message of a thrown error; the thrown value as text if it has no message. */
export function messageOf(thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : '';
  return message === '' ? String(thrown) : message;
}
