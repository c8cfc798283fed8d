import { describe, expect, it } from 'vitest';

import { fittedTable, wrappedLines, wrappedTable } from '../../../src/terminal/layout.ts';

const ROWS = [
  ['NAME', 'KIND', 'WHAT IS KNOWN'],
  ['web', 'Pod', 'a sentence that takes more room than one line has'],
  ['', 'Job', 'another'],
];

describe('a table', () => {
  it('wraps its last column', () => {
    expect(wrappedTable(ROWS, 44)).toBe(`  NAME  KIND  WHAT IS KNOWN
  web   Pod   a sentence that takes more
              room than one line has
        Job   another
`);
  });

  it('becomes paragraphs where there is no room for that', () => {
    expect(wrappedTable(ROWS, 36)).toBe(`  NAME           web
  KIND           Pod
  WHAT IS KNOWN  a sentence that
                 takes more room
                 than one line has

  KIND           Job
  WHAT IS KNOWN  another
`);
  });

  it.each([36, 44])('styles what the cells say, and no space between them: %i columns', (width) => {
    const style = (text: string, row: number, column: number): string =>
      row === 1 && column === 1 ? `<${text}>` : text;
    const text = wrappedTable(ROWS, width, { style });
    expect(text.match(/<.*>/g)).toEqual([width === 44 ? '<Pod >' : '<Pod>']);
    expect(text.replaceAll(/[<>]/g, '')).toBe(wrappedTable(ROWS, width));
  });

  it('whose reader is a program is not wrapped', () => {
    expect(wrappedTable(ROWS, Number.POSITIVE_INFINITY).split('\n')).toHaveLength(4);
  });
});

describe('a table that is cut', () => {
  const rows = [
    ['NAMESPACE', 'PODS', 'WHAT'],
    ['a-namespace-of-28-characters', 3, 'something that is long'],
  ];

  it('keeps as much as fits', () => {
    expect(fittedTable(rows, 40)).toBe('NAMESPACE         PODS  WHAT\na-namespace-of-…     3  something that …\n');
  });

  it('becomes paragraphs where too little of a name is left', () => {
    expect(fittedTable(rows, 34)).toBe(`NAMESPACE  a-namespace-of-28-characters
PODS       3
WHAT       something that is long
`);
  });
});

it('long lines are wrapped with their indent; words are not broken', () => {
  expect(wrappedLines('short\n  one two three four\nverylongwordalone\n', 12)).toBe(
    'short\n  one two\n    three\n    four\nverylongwordalone\n',
  );
});
