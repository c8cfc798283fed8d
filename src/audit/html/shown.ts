import { printable } from '../../util/text.ts';

/** Longer text than this is nobody's name: the page would be slow to lay out, and nobody would read it. */
const LONGEST = 500;

/** Somebody else's text for a line of the page: where it is longer than `longest` characters, how many there were. */
export function shown(text: string, longest: number = LONGEST): string {
  const short = printable(text, longest);
  return text.length > longest ? `${short} (${text.length} characters)` : short;
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
