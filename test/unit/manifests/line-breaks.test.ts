import { expect, it } from 'vitest';

import { editDocument } from '../../../src/manifests/yaml-edit.ts';
import { parseTree } from '../../../src/manifests/yaml-tree.ts';

function valueOf(text: string): unknown {
  const tree = parseTree(text);
  return tree.valueOf(tree.contents);
}

it.each([
  ['CR', 'a: 1\rb:\r  c: d\r', { a: 1, b: { c: 'd' } }],
  ['NEL', 'a: 1\u0085b: 2\n', { a: 1, b: 2 }],
  ['LS and PS', 'a: 1 # c\u2028b: 2\u2029c: 3\n', { a: 1, b: 2, c: 3 }],
  ['LS in a literal', 'a: |\r\n  x\u2028  y\r\n\r\n  z\n', { a: 'x\u2028y\n\nz\n' }],
  ['NEL in a literal', 'a: |\n  x\u0085  y\n', { a: 'x\ny\n' }],
  ['LS in a plain scalar', 'a: x \u2028\n   y\n   z\n', { a: 'x\u2028\ny z' }],
  ['LS in quotes', `a: 'it''s \u2028 b'\n`, { a: "it's\u2028b" }],
  ['LS in double quotes', String.raw`a: "\"x` + ' \u2028\n\n y\n z"\n', { a: '"x\u2028\n\ny z' }],
  ['an escaped line end beside LS', 'a: "x\u2028y\\\n   z"\n', { a: 'x\u2028yz' }],
])('%s', (_name, text, value) => {
  expect(valueOf(text)).toEqual(value);
});

it('LS in a folded scalar is refused', () => {
  expect(() => valueOf('a: >\n  x\u2028  y\n')).toThrow('a line separator (U+2028) in folded text (>)');
});

it('in JSON they are letters of a string', () => {
  const text = '{"a":"x \u2028 y\u0085z"}\n';
  expect(editDocument(text, { a: 'x \u2028 y\u0085z', b: 1 })).toBe('{"a":"x \u2028 y\u0085z", "b": 1}\n');
});

it('an edit keeps the line ends that are there', () => {
  const text = 'a: 1\rb:\u2028- "x\u2028y"\u2028- c\r';
  const after = { a: 1, b: ['x\u2028y', 'c', 'd'], e: 'f' };
  const edited = editDocument(text, after);
  expect(edited).toBe('a: 1\rb:\u2028- "x\u2028y"\u2028- c\r- d\ne: f\n');
  expect(valueOf(edited)).toEqual(after);
});
