/** A part of an instruction: words, or a command that can be copied. */
export interface InstructionPart {
  readonly text: string;
  readonly isCommand: boolean;
}

const COMMAND = '(?:kubectl|helm|docker|libc-dns) ';

/** A command alone, one behind a colon up to the end of its line, and one in parentheses. */
const COMMANDS = new RegExp(String.raw`^${COMMAND}.*$|(?<=: )${COMMAND}.*$|(?<=\()${COMMAND}[^()]*(?=\))`, 'gm');

/** Splits an instruction into words and the commands in it. */
export function instructionParts(text: string): InstructionPart[] {
  const parts: InstructionPart[] = [];
  let end = 0;
  for (const { 0: command, index } of text.matchAll(COMMANDS)) {
    if (index > end) parts.push({ text: text.slice(end, index), isCommand: false });
    parts.push({ text: command, isCommand: true });
    end = index + command.length;
  }
  if (end < text.length) parts.push({ text: text.slice(end), isCommand: false });
  return parts;
}
