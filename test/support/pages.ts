/** What commands of the tests write into pages of docs. */

const marker = (name: string, place: 'begin' | 'end'): string => `<!-- ${name}: ${place} -->`;

/** Returns the bounds of what stands between the markers `<!-- NAME: begin -->` and `<!-- NAME: end -->`. */
function boundsOf(page: string, name: string): readonly [from: number, to: number] {
  const [begin, end] = [marker(name, 'begin'), marker(name, 'end')];
  const [before, after] = [page.indexOf(begin), page.indexOf(end)];
  if (before < 0 || after < before) throw new Error(`the page has no ${begin} and ${end}`);
  return [before + begin.length, after];
}

/** Returns what stands between a page's markers of this name. Throws if it has no markers. */
export const marked = (page: string, name: string): string => page.slice(...boundsOf(page, name));

/** Returns the page with `text` between its markers of this name. Throws if it has no markers. */
export function fillMarked(page: string, name: string, text: string): string {
  const [from, to] = boundsOf(page, name);
  return `${page.slice(0, from)}\n\n${text}\n\n${page.slice(to)}`;
}

/** Returns the cells of a row of a Markdown table. */
export const tableRow = (cells: readonly string[]): string =>
  `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;

/** Returns a Markdown table of rows that are Markdown already. */
export const tableOf = (head: readonly string[], rows: readonly string[]): string =>
  [tableRow(head), tableRow(head.map(() => '---')), ...rows].join('\n');
