import type { AddHelpTextContext } from 'commander';

import { wrapped } from './layout.ts';

/**
 * Lays the text below a command's flags out for the terminal. Paragraphs are wrapped. A line that begins with two spaces is an example, and
 * is never wrapped, so that it can be copied; if it does not fit, what is said of it (behind two spaces or more) goes below.
 */
export function helpText(text: string): (context: AddHelpTextContext) => string {
  return ({ command, error }) => {
    const output = command.configureOutput();
    const width = (error ? output.getErrHelpWidth?.() : output.getOutHelpWidth?.()) ?? 80;
    // A paragraph's lines are those that neither an empty line nor an example ends.
    const lines = text
      .replaceAll(/(?<=\S)\n(?=\S)/g, (end, at: number) => (isExample(text, at) ? end : ' '))
      .split('\n');
    return lines.map((line) => laidOut(line, width)).join('\n');
  };
}

const isExample = (text: string, at: number): boolean => text.slice(text.lastIndexOf('\n', at - 1) + 1).startsWith(' ');

function laidOut(line: string, width: number): string {
  if (line.length <= width) return line;
  if (!line.startsWith(' ')) return wrapped(line, width).trimEnd();
  const start = line.search(/\S/);
  const [example = '', about = ''] = line.slice(start).split(/ {2,}/, 2);
  const command = line.slice(0, start) + example;
  return about === '' ? command : `${command}\n${wrapped(about, width, ' '.repeat(6)).trimEnd()}`;
}
