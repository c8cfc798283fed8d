import type { ResolvConf } from '../policy/model.ts';
import type { Paint } from '../terminal/io.ts';

const COLUMN = 36;

function block(keyword: string, items: readonly string[], onePerLine: boolean): string[] {
  if (onePerLine) return items.map((item) => `${keyword} ${item}`);
  return items.map((item, index) => `${index === 0 ? keyword : ' '.repeat(keyword.length)} ${item}`);
}

const blocks = ({ servers, searches, options }: ResolvConf): string[][] => [
  block('search', searches, false),
  block('nameserver', servers, true),
  block('options', options, false),
];

/** What is in `after` and not in `before`, as sets of words: new lines are painted. */
function isNew(line: string | undefined, before: ReadonlySet<string>): boolean {
  return line !== undefined && !before.has(line.trim().split(/\s+/).at(-1) ?? '');
}

/**
 * Two resolv.conf contents beside each other, a line for each domain and option, equal parts at equal heights. Fits 80
 * columns unless a domain is very long. `indent` is put before each line.
 */
export function sideBySide(before: ResolvConf, after: ResolvConf, paint: Paint, indent = '  '): string {
  const known = new Set([...before.servers, ...before.searches, ...before.options]);
  const lines = [`${'before'.padEnd(COLUMN)} | after`, `${'-'.repeat(COLUMN)} | ${'-'.repeat(COLUMN)}`];
  const right = blocks(after);
  for (const [index, left] of blocks(before).entries()) {
    const other = right[index] ?? [];
    for (let row = 0; row < Math.max(left.length, other.length); row += 1) {
      const text = other[row] ?? '';
      const shown = isNew(other[row], known) ? paint('green', text) : text;
      lines.push(`${(left[row] ?? '').padEnd(COLUMN)} | ${shown}`.trimEnd());
    }
  }
  return lines.map((line) => `${indent}${line}\n`).join('');
}
