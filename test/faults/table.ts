import { seconds } from './support/measure.ts';

/** The result of one fault. */
export interface Result {
  readonly id: string;
  readonly name: string;
  readonly promise: string;
  readonly outcome: 'kept' | 'broken' | 'not tried';
  readonly seen: string;
  readonly ms: number;
}

const MARKS = { kept: 'ok', broken: 'NOT KEPT', 'not tried': 'NOT TRIED' } as const;

/** Formats the result of one fault for a terminal. */
export function resultText({ id, name, promise, outcome, seen, ms }: Result): string {
  const lines = [
    `${MARKS[outcome].padEnd(10)}${name}  [${id}, ${seconds(ms)}]`,
    `promise  ${promise}`,
    `seen     ${seen}`,
  ];
  return lines.join('\n          ');
}

const [BEGIN, END] = ['<!-- faults: begin -->', '<!-- faults: end -->'];

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

function markdown(results: readonly Result[]): string {
  const rows = results.map(({ name, promise, outcome, seen, ms }) => {
    const mark = outcome === 'kept' ? '' : `**${MARKS[outcome]}** `;
    return `| ${[name, promise, `${mark}${seen}`, seconds(ms)].map(cell).join(' | ')} |`;
  });
  return ['| fault | promise | seen | time |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

/** Returns the page with the table between its markers. Throws if it has no markers. */
export function filled(page: string, results: readonly Result[]): string {
  const [before, after] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (before < 0 || after < before) throw new Error(`the page has no ${BEGIN} and ${END}`);
  return `${page.slice(0, before + BEGIN.length)}\n\n${markdown(results)}\n\n${page.slice(after)}`;
}
