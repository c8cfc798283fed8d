/** Cuts a text to a width, with an ellipsis for what is left out. */
export function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

/** Words into lines of at most `width` characters; a longer word stands alone. `indent` is put before each line but the first. */
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

const MINIMUM = 8;
const GAP = 2;

/** Takes from the widest column until the line fits, or nothing can be taken any more. */
function shrink(widths: number[], most: number): void {
  const total = (): number => widths.reduce((sum, width) => sum + width + GAP, -GAP);
  while (total() > most) {
    const widest = Math.max(...widths);
    if (widest <= MINIMUM) return;
    const index = widths.indexOf(widest);
    const second = Math.max(MINIMUM, ...widths.filter((width) => width < widest));
    const alike = widths.filter((width) => width === widest).length;
    const excess = Math.ceil((total() - most) / alike);
    widths[index] = Math.max(second === widest ? widest - 1 : second, widest - excess, MINIMUM);
    if (widths[index] === widest) widths[index] = widest - 1;
  }
}

/** How each cell of a table is shown, after it was cut and padded: colours must not count as characters. */
type Dress = (text: string, row: number, column: number) => string;

/**
 * Rows as aligned columns of at most `width` characters in all; what does not fit is cut. Columns of numbers stand at the right. A
 * table whose columns are all as narrow as they can be is wider.
 */
export function fittedTable(rows: readonly (readonly (string | number)[])[], width: number, dress?: Dress): string {
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
      return dress === undefined ? padded : dress(padded, index, column);
    });
    return cells.join(' '.repeat(GAP)).trimEnd();
  });
  return lines.map((line) => `${line}\n`).join('');
}
