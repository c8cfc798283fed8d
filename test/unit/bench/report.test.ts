import { describe, expect, it } from 'vitest';

import { digits, markdown, spread, withTables, type Table } from '../../../bench/report.ts';

const table: Table = { title: 'Speed', note: 'By hand.', columns: ['server', 'ms'], rows: [['ours', '1.00']] };

describe('figures', () => {
  it.each([
    [0.8341, '0.83'],
    [12.34, '12.3'],
    [1830.4, '1830'],
    [Number.NaN, '-'],
  ])('%d is written %s', (value, text) => {
    expect(digits(value)).toBe(text);
  });

  it('come with their spread', () => {
    expect(spread({ median: 12.34, low: 11, high: 130 })).toBe('12.3 (11.0 to 130)');
    expect(spread({ median: Number.NaN, low: Number.NaN, high: Number.NaN })).toBe('-');
  });
});

describe('tables', () => {
  it('are Markdown with aligned columns', () => {
    expect(markdown(table)).toBe(
      ['### Speed', '', 'By hand.', '', '| server | ms   |', '| ------ | ---- |', '| ours   | 1.00 |'].join('\n'),
    );
  });

  it('take the place of those that stand between the marks, again and again', () => {
    const document =
      'before\n<!-- bench: warm -->\nold\n<!-- /bench -->\nafter\n<!-- bench: size -->\n<!-- /bench -->\n';
    const once = withTables(document, 'warm', [table]);
    expect(once).toBe(
      `before\n<!-- bench: warm -->\n\n${markdown(table)}\n\n<!-- /bench -->\nafter\n<!-- bench: size -->\n<!-- /bench -->\n`,
    );
    expect(withTables(once, 'warm', [table])).toBe(once);
  });

  it('need marks', () => {
    expect(() => withTables('nothing', 'warm', [table])).toThrow('no <!-- bench: warm -->');
  });
});
