import fc from 'fast-check';
import { expect, it } from 'vitest';

import { exceedsNesting } from '../../../src/util/json-bounds.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** `depth` lists or objects, one within the other. */
const lists = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
const objects = (depth: number): string => `${'{"a":'.repeat(depth)}0${'}'.repeat(depth)}`;

it.each([
  ['nothing', ''],
  ['a number', '1'],
  ['lists of the depth', lists(3)],
  ['objects of the depth', objects(3)],
  ['lists side by side', `[${Array.from({ length: 10 }, () => lists(2)).join(',')}]`],
  ['brackets in a string', '["[[[[[[","{{{{{{"]'],
  ['brackets in a name', '{"[[[[[[":0}'],
  ['brackets after an escaped quote', String.raw`["\"[[[[[["]`],
  ['brackets after an escaped quote that is written as a number', String.raw`["\u0022[[[[[["]`],
  ['brackets in a string that does not end', '["[[[[[['],
  ['a backslash at the end', '["\\'],
])('does not exceed a depth of 3: %s', (_, text) => {
  expect(exceedsNesting(bytes(text), 3)).toBe(false);
});

it.each([
  ['lists', lists(4)],
  ['objects', objects(4)],
  ['lists and objects in turn', '[{"a":[{}]}]'],
  ['after lists that have ended', `[${lists(2)},${lists(3)}]`],
  ['after a string that ends with a backslash', String.raw`["\\",[[[]]]]`],
  ['lists that do not end', '[[[['],
  ['after a letter of several bytes', '["ä€😀",[[[]]]]'],
])('exceeds a depth of 3: %s', (_, text) => {
  expect(exceedsNesting(bytes(text), 3)).toBe(true);
});

const depthOf = (value: unknown): number =>
  typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0;

it('agrees with what a parser returns for any JSON', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 8 }), fc.nat(8), (text, depth) => {
      expect(exceedsNesting(bytes(text), depth)).toBe(depthOf(JSON.parse(text)) > depth);
    }),
  );
});

it('stops at the first level too many', () => {
  const body = new Uint8Array(64 * 1024 * 1024).fill('['.charCodeAt(0));
  const began = performance.now();
  expect(exceedsNesting(body, 1000)).toBe(true);
  expect(performance.now() - began).toBeLessThan(10);
});
