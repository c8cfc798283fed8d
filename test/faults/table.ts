import { fillMarked, marked, tableOf, tableRow } from '../support/pages.ts';
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

const NAME = 'faults';

/** What many promises have in common, and the words for it on the page, which explains them above its table. */
export const COMMON_PROMISES: Readonly<Record<string, string>> = {
  '**neighbours served**':
    '64 new images of another namespace are known, each within the budget of 1.5 s; a known Pod is answered within 50 ms, /livez within 1 s',
  '**callers served**': '/livez answers within 1 s, others are answered within 50 ms, over new connections too',
};

/** Returns a promise as the page has it. */
export const promiseOnPage = (promise: string): string =>
  Object.entries(COMMON_PROMISES).reduce((text, [words, clause]) => text.replace(clause, words), promise);

const rowOf = ({ name, promise, outcome, seen, ms }: Result): string =>
  tableRow([name, promiseOnPage(promise), `${outcome === 'kept' ? '' : `**${MARKS[outcome]}** `}${seen}`, seconds(ms)]);

/**
 * Returns the page with the results in its table, which has a row for each of `names`, in their order: a fault that was not tried this
 * time keeps the row that it has. Throws if the page has no place for a table.
 */
export function filled(page: string, results: readonly Result[], names: readonly string[]): string {
  const before = marked(page, NAME).split('\n');
  const rows = names.flatMap((name) => {
    const result = results.find((one) => one.name === name);
    // A formatter may have padded the cell.
    return result === undefined ? before.filter((line) => line.startsWith(`| ${name} `)) : [rowOf(result)];
  });
  return fillMarked(page, NAME, tableOf(['fault', 'promise', 'seen', 'time'], rows));
}
