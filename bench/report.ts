import type { Figure } from './statistics.ts';

/** A table of the report. Cells are already formatted. */
export interface Table {
  readonly title: string;
  /** What readers need to know to understand it. */
  readonly note?: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** The result of one part of the benchmark. */
export interface PartResult {
  readonly tables: readonly Table[];
  /** The same as figures, for machines. */
  readonly data: unknown;
}

/** Formats with about three significant digits: `0.83`, `12.3`, `1830`. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (value >= 100) return String(Math.round(value));
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** Formats the median and its spread: `12.3 (11.9 to 13.0)`; `-` if nothing was measured. */
export function spread({ median, low, high }: Figure): string {
  if (!Number.isFinite(median)) return '-';
  return `${digits(median)} (${digits(low)} to ${digits(high)})`;
}

const line = (cells: readonly string[], widths: readonly number[]): string =>
  `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`;

/** Renders a table in Markdown with its title as a heading. */
export function markdown({ title, note, columns, rows }: Table): string {
  const widths = columns.map((column, at) => Math.max(column.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  const body = [line(columns, widths), rule, ...rows.map((row) => line(row, widths))].join('\n');
  return [`### ${title}`, ...(note === undefined ? [] : [note]), body].join('\n\n');
}

const begin = (part: string): string => `<!-- bench: ${part} -->`;
const END = '<!-- /bench -->';

/** Returns the document with a part's tables between its markers. Throws if the document does not have these markers. */
export function withTables(document: string, part: string, tables: readonly Table[]): string {
  const from = document.indexOf(begin(part));
  const to = document.indexOf(END, from);
  if (from === -1 || to === -1) throw new Error(`no ${begin(part)} … ${END} in the document`);
  const text = tables.map(markdown).join('\n\n');
  return `${document.slice(0, from)}${begin(part)}\n\n${text}\n\n${document.slice(to)}`;
}
