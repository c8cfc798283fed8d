import type { Figure } from './statistics.ts';

/** One table of the report. Cells are text: what stands in them is decided where it is measured. */
export interface Table {
  readonly title: string;
  /** What has to be known to read it. */
  readonly note?: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** What one part of the benchmark found. */
export interface PartResult {
  readonly tables: readonly Table[];
  /** The same as figures, for machines. */
  readonly data: unknown;
}

/** Three digits that count: `0.834`, `12.3`, `1830`. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (value >= 100) return String(Math.round(value));
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** `12.3 (11.9 to 13.0)`: the median and its spread; `-` where nothing was measured. */
export function spread({ median, low, high }: Figure): string {
  if (!Number.isFinite(median)) return '-';
  return `${digits(median)} (${digits(low)} to ${digits(high)})`;
}

const line = (cells: readonly string[], widths: readonly number[]): string =>
  `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`;

/** A table in Markdown, with its title as a heading. */
export function markdown({ title, note, columns, rows }: Table): string {
  const widths = columns.map((column, at) => Math.max(column.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  const body = [line(columns, widths), rule, ...rows.map((row) => line(row, widths))].join('\n');
  return [`### ${title}`, ...(note === undefined ? [] : [note]), body].join('\n\n');
}

const begin = (part: string): string => `<!-- bench: ${part} -->`;
const END = '<!-- /bench -->';

/** A document with a part's tables put between its marks. Throws where the document has no such marks. */
export function withTables(document: string, part: string, tables: readonly Table[]): string {
  const from = document.indexOf(begin(part));
  const to = document.indexOf(END, from);
  if (from === -1 || to === -1) throw new Error(`no ${begin(part)} … ${END} in the document`);
  const text = tables.map(markdown).join('\n\n');
  return `${document.slice(0, from)}${begin(part)}\n\n${text}\n\n${document.slice(to)}`;
}
