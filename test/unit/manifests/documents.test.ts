import { expect, it } from 'vitest';

import { splitDocuments } from '../../../src/manifests/documents.ts';

const BOM = '\uFEFF';

it.each([
  ['one document', 'a: 1\n', ['a: 1\n']],
  ['separators', 'a: 1\n--- # why\nb: 2\n---\t\r\nc: 3', ['a: 1\n', '--- # why\nb: 2\n', '---\t\r\nc: 3']],
  ['no separator', 'a: |\n  ---\nb: ---\n---c: d\n', ['a: |\n  ---\nb: ---\n---c: d\n']],
  ['an empty document', '---\n---\na: 1\n', ['---\n', '---\na: 1\n']],
  ['an end', 'a: 1\n...\n---\nb: 2\n', ['a: 1\n...\n', '---\nb: 2\n']],
  ['comments and directives above', '# c\n\n%YAML 1.2\n---\na: 1\n', ['# c\n\n%YAML 1.2\n---\na: 1\n']],
  ['byte order marks', `${BOM}a: 1\n---\n${BOM}b: 2\n${BOM}---\nc: 3\n`, ['a: 1\n', 'b: 2\n', '---\nc: 3\n']],
  ['JSON objects one after the other', '{"a":"}{"}\n{"b":"\\\\\\""}{}', ['{"a":"}{"}', '{"b":"\\\\\\""}', '{}']],
  ['JSON objects behind a separator', 'a: 1\n---\n{"a":1}\n{"b":2}\n', ['a: 1\n', '{"a":1}', '{"b":2}']],
  ['one JSON object', '---\n{"a":1}\n', ['---\n{"a":1}\n']],
  ['flow YAML', '{a: "b}"}\n', ['{a: "b}"}\n']],
  ['flow YAML twice', '{a: 1}\n{b: 2}\n', ['{a: 1}\n{b: 2}\n']],
  ['an open quote', `{a: '"', ${'b: c, '.repeat(1000)}}`, [`{a: '"', ${'b: c, '.repeat(1000)}}`]],
  ['nothing', '', []],
  [
    'CR and LS, where no line of kubectl begins',
    'a: 1\r---\rb: 2\u2028---\u2028c: 3\n',
    ['a: 1\r---\rb: 2\u2028---\u2028c: 3\n'],
  ],
])('%s', (_name, text, parts) => {
  expect(splitDocuments(text).map(({ start, end }) => text.slice(start, end))).toEqual(parts);
});

it.each([
  ['a document behind an end', 'a: 1\n...\nb: 2\n---\nc: 3\n', [false, true, false]],
  ['an end alone', '...\na: 1\n', [false, true]],
  ['no content behind an end', 'a: 1\n... # end\n\n# c\n%YAML 1.1\n---\nb: 2\n...\n# c', [false, false]],
])('kubectl does not read %s', (_name, text, unread) => {
  expect(splitDocuments(text).map((slice) => slice.unread)).toEqual(unread);
});
