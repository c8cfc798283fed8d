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

/** Formats rows as aligned columns; does not pad the last one. */
export function table(rows: readonly (readonly string[])[], indent = '  '): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  }
  const line = (row: readonly string[]): string =>
    row.map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd(widths[index] ?? 0))).join('  ');
  return rows.map((row) => `${indent}${line(row).trimEnd()}\n`).join('');
}

const MINIMUM = 8;
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

/** Styles a cell once it is cut and padded: escape codes for colours must not count as characters. */
type CellStyle = (text: string, row: number, column: number) => string;

/**
 * Formats rows as aligned columns, cut to `width` characters in all, or wider if every column has its minimum. Aligns
 * columns of numbers to the right.
 */
export function fittedTable(rows: readonly (readonly (string | number)[])[], width: number, style?: CellStyle): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, String(cell).length);
  }
  shrink(widths, width);
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
