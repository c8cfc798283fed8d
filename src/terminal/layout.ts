import type { Evidence } from '../policy/verdict.ts';
import { printable, withoutTrailing } from '../util/text.ts';

/** Cuts a text to a width; ends a cut text with an ellipsis. */
export function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

/**
 * Wraps words into lines of at most `width` characters; a longer word gets its own line. Lines begin with `indent`, the
 * first with `first`.
 */
export function wrapped(text: string, width: number, first = '', indent = first): string {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of text.split(' ')) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return `${[...lines, line].join('\n')}\n`;
}

/** Wraps each line that is longer than `width`; what continues a line is indented by two more than the line. */
export function wrappedLines(text: string, width: number): string {
  return text
    .split('\n')
    .map((line) => {
      if (line.length <= width) return line;
      const indent = /^ */.exec(line)?.[0] ?? '';
      return wrapped(line.slice(indent.length), width, indent, `${indent}  `).slice(0, -1);
    })
    .join('\n');
}

/** The fewest columns in which text is readable. */
const LEAST_TEXT = 24;

/** Styles a cell once it is cut and padded: escape codes for colours must not count as characters. */
type CellStyle = (text: string, row: number, column: number) => string;

/**
 * Formats rows as aligned columns of at most `width` characters, with the last column wrapped. If there is no room for that beside the
 * others, formats each row as a paragraph with a line for each column, named by the first row.
 */
export function wrappedTable(
  rows: readonly (readonly string[])[],
  width: number,
  { indent = '  ', style = (text: string) => text }: { readonly indent?: string; readonly style?: CellStyle } = {},
): string {
  const [heads = []] = rows;
  const widths = heads.slice(0, -1).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const left = indent.length + widths.reduce((sum, each) => sum + each + GAP, 0);
  if (left + LEAST_TEXT > width) return paragraphs(rows, width, indent, style);
  const lines = rows.map((row, index) => {
    const cells = widths.map((each, column) => (row[column] ?? '').padEnd(each));
    const text = wrapped(row.at(-1) ?? '', width, ' '.repeat(left))
      .slice(left)
      .trimEnd();
    const styled = cells.map((cell, column) => `${style(cell, index, column)}${' '.repeat(GAP)}`).join('');
    return `${withoutTrailing(`${indent}${styled}${style(text, index, widths.length)}`, ' ')}\n`;
  });
  return lines.join('');
}

function paragraphs(rows: readonly (readonly string[])[], width: number, indent: string, style: CellStyle): string {
  const [heads = []] = rows;
  const widest = Math.max(...heads.map(({ length }) => length));
  const left = indent.length + widest + GAP;
  const line = (cell: string, row: number, column: number): string => {
    const text = wrapped(cell, width, ' '.repeat(left)).slice(left, -1);
    return `${indent}${(heads[column] ?? '').padEnd(widest)}${' '.repeat(GAP)}${style(text, row, column)}\n`;
  };
  const one = (row: readonly string[], index: number): string =>
    row.map((cell, column) => (cell === '' ? '' : line(cell, index, column))).join('');
  return rows
    .map((row, index) => (index === 0 ? '' : one(row, index)))
    .slice(1)
    .join('\n');
}

const MINIMUM = 8;
/** Characters of a name of which less would tell nothing. */
const LEAST_NAME = 16;
const GAP = 2;

/** Narrows the widest column until the line fits in `most`, or all columns have their minimum. */
function shrink(widths: number[], most: number): void {
  const total = (): number => widths.reduce((sum, width) => sum + width + GAP, -GAP);
  while (total() > most) {
    const widest = Math.max(...widths);
    if (widest <= MINIMUM) return;
    const index = widths.indexOf(widest);
    const second = Math.max(MINIMUM, ...widths.filter((width) => width < widest));
    const sharing = widths.filter((width) => width === widest).length;
    const excess = Math.ceil((total() - most) / sharing);
    widths[index] = Math.max(second === widest ? widest - 1 : second, widest - excess, MINIMUM);
    if (widths[index] === widest) widths[index] = widest - 1;
  }
}

/**
 * Formats rows as aligned columns, cut to `width` characters in all. Aligns columns of numbers to the right. If there is no room for that, or
 * for a name in the first column, formats each row as a paragraph like {@link wrappedTable}.
 */
export function fittedTable(rows: readonly (readonly (string | number)[])[], width: number, style?: CellStyle): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, String(cell).length);
  }
  const [longestName = 0] = widths;
  shrink(widths, width);
  const total = widths.reduce((sum, each) => sum + each + GAP, -GAP);
  if (total > width || (widths[0] ?? 0) < Math.min(longestName, LEAST_NAME)) {
    return paragraphs(
      rows.map((row) => row.map(String)),
      width,
      '',
      style ?? ((text) => text),
    );
  }
  const numeric = widths.map((_, column) => rows.slice(1).every((row) => typeof row[column] === 'number'));
  const lines = rows.map((row, index) => {
    const cells = row.map((cell, column) => {
      const size = widths[column] ?? 0;
      const text = cut(String(cell), size);
      const padded = numeric[column] ? text.padStart(size) : text.padEnd(column === row.length - 1 ? 0 : size);
      return style === undefined ? padded : style(padded, index, column);
    });
    return cells.join(' '.repeat(GAP)).trimEnd();
  });
  return lines.map((line) => `${line}\n`).join('');
}

/** Formats what shows a resolver, with its source and confidence; where nothing does, the reason alone. */
export function evidenceText({ detail, source, confidence }: Evidence): string {
  return source === 'none' ? printable(detail) : `${printable(detail)} (${source}, ${confidence})`;
}
