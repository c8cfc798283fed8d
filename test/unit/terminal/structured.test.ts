import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { structuredText } from '../../../src/terminal/structured.ts';
import { printableLines } from '../../../src/util/text.ts';

describe.each(['json', 'yaml'] as const)('a value as %s', (format) => {
  it('reads back as it was, and has nothing that a terminal acts on', () => {
    const text = fc.string({ unit: 'grapheme' });
    const hidden = fc.constantFrom(
      '\u001B[31m',
      '\u202E',
      'a\r\nb',
      'a\rb',
      '\t- a\n',
      '\u2028',
      '\u{E0041}',
      '---\n...',
      '\u0085',
      '',
    );
    const leaf = fc.oneof(text, hidden, fc.integer(), fc.boolean(), fc.constant(null));
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        leaf,
        fc.array(tie('value')),
        fc.dictionary(fc.oneof(text, hidden), tie('value')),
      ),
    }));
    fc.assert(
      fc.property(value, (given) => {
        const written = structuredText(given, format);
        expect(printableLines(written)).toBe(written);
        expect(parse(written)).toEqual(given);
      }),
    );
  });
});

it('YAML does not fold long lines, and leaves undefined out', () => {
  const long = 'a sentence of words '.repeat(20).trim();
  expect(structuredText({ long, none: undefined }, 'yaml')).toBe(`long: ${long}\n`);
});
