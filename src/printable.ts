const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

const spelledOut = (character: string): string => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;

/**
 * Somebody else's text, for a line that people read. Control, format and direction characters and line ends are spelled out
 * (`\u{202e}`), so that no name can turn the text around it or pass for another; half a surrogate pair becomes U+FFFD. What is
 * longer than `most` UTF-16 code units is cut there, and an ellipsis follows.
 */
export function printable(text: string, most: number = Number.POSITIVE_INFINITY): string {
  const plain = text.slice(0, most).toWellFormed().replaceAll(UNSEEN, spelledOut);
  if (text.length <= most && plain.length <= most) return plain;
  return `${plain.slice(0, most).toWellFormed()}…`;
}
