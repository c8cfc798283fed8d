import type { PageCell, PageRow, PageTable } from '../page-data.ts';

/** The search, filters and order that the reader has chosen. */
export interface Query {
  readonly search: string;
  /** The value that rows must have, by column. */
  readonly choices: ReadonlyMap<number, string>;
  /** undefined for the report's own order. */
  readonly order?: Order;
}

export interface Order {
  readonly column: number;
  readonly descending: boolean;
}

/** A table with its search texts. */
interface Index {
  readonly table: PageTable;
  /** All text of each row in lower case. Computed at the first call. */
  readonly texts: () => readonly string[];
}

const cellTexts = (cell: PageCell | undefined): string[] => {
  if (cell === undefined) return [];
  return typeof cell === 'object' ? cell.map(({ text }) => text) : [String(cell)];
};

const rowText = ({ cells, details }: PageRow): string =>
  [...cells.flatMap(cellTexts), ...details.map(({ text }) => text)].join('\n').toLowerCase();

export function indexed(table: PageTable): Index {
  let texts: readonly string[] | undefined;
  return { table, texts: () => (texts ??= table.rows.map(rowText)) };
}

const collator = new Intl.Collator('en', { numeric: true });

function compareCells(a: PageCell | undefined, b: PageCell | undefined): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return collator.compare(cellTexts(a).join(' '), cellTexts(b).join(' '));
}

/** Returns the numbers of the rows that contain every word of the search and every chosen value, in the chosen order. */
export function select({ table, texts }: Index, { search, choices, order }: Query): number[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = [...choices];
  const holds = (row: number): boolean => words.every((word) => texts()[row]?.includes(word));
  const has = ({ cells }: PageRow): boolean =>
    chosen.every(([column, value]) => cellTexts(cells[column]).includes(value));
  const found = [...table.rows.entries()]
    .filter(([number, row]) => holds(number) && has(row))
    .map(([number]) => number);
  if (order === undefined) return found;
  const cell = (number: number): PageCell | undefined => table.rows[number]?.cells[order.column];
  const direction = order.descending ? -1 : 1;
  return found.toSorted((a, b) => direction * compareCells(cell(a), cell(b)) || a - b);
}

/** Returns the values of a column with the number of rows for each, the most frequent first. */
export function values({ rows }: PageTable, column: number): [string, number][] {
  const counts = new Map<string, number>();
  for (const { cells } of rows) {
    for (const text of new Set(cellTexts(cells[column]))) counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return [...counts].toSorted(([a, m], [b, n]) => n - m || collator.compare(a, b));
}
