import { describe, expect, it } from 'vitest';

import { editDocument } from '../../../src/manifests/yaml-edit.ts';
import { parseTree } from '../../../src/manifests/yaml-tree.ts';

const read = (text: string): unknown => {
  const tree = parseTree(text);
  return tree.valueOf(tree.contents);
};

describe('editDocument', () => {
  it.each([
    ['a key', 'a: 0400 # octal\n', { a: 256, b: ['x'] }, 'a: 0400 # octal\nb:\n  - x\n'],
    ['a key behind a text without an end', 'a:\n  b: "yes"', { a: { b: 'yes', c: '5' } }, 'a:\n  b: "yes"\n  c: "5"'],
    ['a string that looks like another type', 'a: b\n', { a: 'b', c: 'yes', d: '0o17' }, 'a: b\nc: "yes"\nd: "0o17"\n'],
    ['a key in JSON', '{"a": {}}', { a: { b: 'C' } }, '{"a": {"b": "C"}}'],
    ['a word in JSON', '{"a": "B"}', { a: 'None' }, '{"a": "None"}'],
    ['a key behind a comma', '{a: 1, }', { a: 1, b: 2 }, '{a: 1, b: 2, }'],
    ['a scalar before a comment', "a: 'x' # why\n", { a: 'None' }, 'a: None # why\n'],
    ['a block scalar with a comment', 'a: |- # why\n  x\nb: 1\n', { a: 'None', b: 1 }, 'a: None # why\nb: 1\n'],
    ['nothing', 'a: # why\nb:\n', { a: { c: 1 }, b: [1] }, 'a: {"c":1} # why\nb: [1]\n'],
    ['null', 'a: ~\n', { a: { c: 1 } }, 'a: {"c":1}\n'],
    ['items around a list', 'a:\n# one\n- 1\n', { a: [0, 1, 2] }, 'a:\n- 0\n# one\n- 1\n- 2\n'],
    ['items around a flow list', 'a: [ 1 , ]\n', { a: [0, 1, 2] }, 'a: [ 0, 1, 2 , ]\n'],
    [
      'items in another order',
      'a:\n- b # b\n# of c\n- c # c\n',
      { a: ['c', 'x', 'b'] },
      'a:\n# of c\n- c # c\n- x\n- b # b\n',
    ],
    ['items in another order, flow', 'a: [b,  c]\n', { a: ['c', 'x', 'b'] }, 'a: [c, "x", b]\n'],
    ['an item of a list', 'a:\n- b: 1 # c\n', { a: [{ b: 1, d: 2 }] }, 'a:\n- b: 1 # c\n  d: 2\n'],
    ['CRLF', 'a:\r\n  b: 1\r\n', { a: { b: 1, c: { d: 2 } } }, 'a:\r\n  b: 1\r\n  c:\r\n    d: 2\r\n'],
    [
      'a key of a merge',
      'x: &x {a: 1}\nz:\n  <<: *x\n',
      { x: { a: 1 }, z: { a: 2 } },
      'x: &x {a: 1}\nz:\n  <<: *x\n  a: 2\n',
    ],
    [
      'a number that a float does not hold',
      'a: &a 1\nb: *a\n',
      { a: 1, b: 9007199254740993n },
      'a: &a 1\nb: 9007199254740993\n',
    ],
    [
      'an alias',
      'a: &a {b: 0400}\nc: *a # c\n',
      { a: { b: 256 }, c: { b: 256, d: 1 } },
      'a: &a {b: 0400}\nc: {"b":256,"d":1} # c\n',
    ],
    [
      'an anchor',
      'a: &a {b: 0400}\nc: *a\n',
      { a: { b: 256, d: 1 }, c: { b: 256 } },
      'a: &a {b: 0400, d: 1}\nc: {b: 0400}\n',
    ],
    ['both', 'a: &a {b: 1}\nc: *a\n', { a: { b: 1, d: 1 }, c: { b: 1, d: 1 } }, 'a: &a {b: 1, d: 1}\nc: *a\n'],
    [
      'an anchor that is merged',
      'a: &a\n  b: 1\nc: {<<: *a}\n',
      { a: { b: 1, d: 1 }, c: { b: 1 } },
      'a: &a\n  b: 1\n  d: 1\nc: {<<: {"b":1}}\n',
    ],
    ['the last of two values', 'a: 1\na: {b: 1}\n', { a: { b: 1, c: 2 } }, 'a: 1\na: {b: 1, c: 2}\n'],
    ['tags and odd keys', '? a\n: !!map\n  "b" : 1\n', { a: { b: 1, c: 2 } }, '? a\n: !!map\n  "b" : 1\n  c: 2\n'],
  ])('%s', (_name, text, after, edited) => {
    expect(editDocument(text, after)).toBe(edited);
    expect(read(`${edited}\n`)).toEqual(after);
  });

  it.each([
    ['a value that a merge behind it hides', 'x: &x {a: 1}\nz: {a: 0, <<: *x}\n', { x: { a: 1 }, z: { a: 2 } }, 17],
    ['a list over lines that becomes something else', 'a:\n- 1\n- 2\n', { a: 'B' }, 3],
    ['a key that goes', 'a: {b: 1,\n  c: 2}\n', { a: { b: 1 } }, 3],
  ])('refuses %s', (_name, text, after, offset) => {
    expect(() => editDocument(text, after)).toThrow(expect.objectContaining({ name: 'YamlError', offset }));
  });

  // Quadratic, each takes over 20 s.
  it.each([
    ['all items of', 1500, () => true],
    ['the last item of', 8000, (index: number) => index === 7999],
  ])('takes linear time to change %s a long list', (_name, count, isChanged: (index: number) => boolean) => {
    const numbers = Array.from({ length: count }, (_, index) => index);
    const rest = 'k: v\n'.repeat(200_000);
    const items = numbers.map((index) => `  - b: ${index}\n`).join('');
    const text = `a:\n${items}z: |\n${rest.replaceAll(/^(?=k)/gm, '  ')}`;
    const { a } = read(text) as { a: object[] };
    const after = a.map((item, index) => (isChanged(index) ? Object.assign({ c: 1 }, item) : item));
    const began = performance.now();
    const edited = editDocument(text, { a: after, z: rest });
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(edited.match(/^    c: 1$/gm)).toHaveLength(after.filter((_, index) => isChanged(index)).length);
  });
});

describe('parseTree', () => {
  it.each([
    [
      'merges in their order',
      'x: &x {a: 1, b: 1}\nz: {a: 0, <<: *x, b: 2}\n',
      { x: { a: 1, b: 1 }, z: { a: 1, b: 2 } },
    ],
    ['of a list of merges the first', 'x: {<<: [{a: 1}, {a: 2, b: 2}]}\n', { x: { a: 1, b: 2 } }],
    ['no merge', 'x: {"<<": 1}\n', { x: { '<<': 1 } }],
    ['an anchor that is defined again', 'a: &a 1\nb: *a\nc: &a 2\nd: *a\n', { a: 1, b: 1, c: 2, d: 2 }],
    ['flow lines with no indentation', 'a: {\nb: [\n1\n]\n}\nc: "d\ne"\n', { a: { b: [1] }, c: 'd e' }],
    [
      'keys',
      'yes: 1\n0x10: 2\n2001-01-01: 3\n__proto__: 4\n',
      JSON.parse('{"true":1,"16":2,"2001-01-01":3,"__proto__":4}'),
    ],
    ['tags', 'a: !custom 12\nb: ! yes\nc: !!set {x}\nd: !!str\n', { a: '12', b: 'yes', c: { x: null }, d: '' }],
  ])('reads %s', (_name, text, value) => {
    expect(read(text)).toEqual(value);
  });

  it.each([
    ['a: *b\n', 3, 'unresolved alias *b'],
    ['a: &b [*b]\n', 7, 'the value of alias *b contains itself'],
    ['a: 1\nb: .inf\n', 8, '.inf is no number that JSON can hold'],
    ['{a: 1}: 2\n', 0, 'a key that is no scalar'],
    ['~: 2\n', 0, 'a key that is null'],
    ['x: &x 1\nz: {<<: *x}\n', 16, 'a merge (<<) of something that is no mapping'],
    ['a: {b:, c: d}\n', 4, 'a : or ? beside a scalar needs a space, or the scalar needs quotes'],
    ['a: [?b]\n', 4, 'a : or ? beside a scalar needs a space, or the scalar needs quotes'],
  ])('refuses %j', (text, offset, message) => {
    expect(() => read(text)).toThrow(expect.objectContaining({ name: 'YamlError', offset, message }));
  });

  it('refuses what is nested too deep for it', () => {
    const text = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
    expect(() => read(text)).toThrow(
      expect.objectContaining({ name: 'YamlError', message: 'Maximum call stack size exceeded' }),
    );
  });
});
