import type { PageCell, PageRow, PageTable } from '../page-data.ts';

/** What a reader asked of a table. */
export interface Query {
  readonly search: string;
  /** By column: the value that rows must have. */
  readonly choices: ReadonlyMap<number, string>;
  /** Absent: as the report has them. */
  readonly order?: Order;
}

export interface Order {
  readonly column: number;
  readonly descending: boolean;
}

/** A table with what searching it needs. */
interface Index {
  readonly table: PageTable;
  /** By row: all its text in lower case. Made when it is first asked for. */
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

/** The rows, by number, that hold every word of the search and every chosen value, in the order asked for. */
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

/** The values of a column with the number of rows that have each, most first. */
export function values({ rows }: PageTable, column: number): [string, number][] {
  const counts = new Map<string, number>();
  for (const { cells } of rows) {
    for (const text of new Set(cellTexts(cells[column]))) counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return [...counts].toSorted(([a, m], [b, n]) => n - m || collator.compare(a, b));
}
