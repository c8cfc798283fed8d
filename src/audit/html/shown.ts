/** Longer text than this is nobody's name: the page would be slow to lay out, and nobody would read it. */
const LONGEST = 500;

/**
 * Somebody else's text for a line of the page: control, direction and line characters made visible (`\u{202e}`), so that no name
 * can turn the text around it or pass for another; at most `longest` characters, and then how many there were.
 */
export function shown(text: string, longest: number = LONGEST): string {
  const short = text.length > longest ? `${text.slice(0, longest)}… (${text.length} characters)` : text;
  return short
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}

/** The same for text of several lines. */
export function shownLines(text: string, longest: number = LONGEST): string {
  return text
    .split(/\r?\n/, 200)
    .map((line) => shown(line, longest))
    .join('\n');
}

/** Whether an instruction is to be copied (a command, a piece of YAML) rather than read. */
export const isCode = (text: string): boolean => /^(kubectl|helm|docker) |\n/.test(text);
