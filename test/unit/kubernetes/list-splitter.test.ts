import { describe, expect, it } from 'vitest';

import { createListSplitter } from '../../../src/kubernetes/list-splitter.ts';

/** Characters, more than any item here has. */
const ENOUGH = 16 * 1024 * 1024;

interface Parts {
  readonly items: unknown[];
  readonly rest: unknown;
}

/** Cuts a list that comes in chunks of the sizes that `next` returns. */
function split(text: string, next: () => number): Parts {
  const splitter = createListSplitter(ENOUGH);
  const bytes = Buffer.from(text);
  const items: unknown[] = [];
  let at = 0;
  while (at < bytes.length) {
    const end = at + next();
    items.push(...(JSON.parse(`[${splitter.take(bytes.subarray(at, end))}]`) as unknown[]));
    at = end;
  }
  return { items, rest: JSON.parse(splitter.rest()) };
}

/** Returns what JSON.parse makes of the whole text, in the same parts. */
function expected(text: string): Parts {
  const list = JSON.parse(text) as { items?: unknown };
  return Array.isArray(list.items) ? { items: list.items, rest: { ...list, items: [] } } : { items: [], rest: list };
}

/** A generator of pseudo-random numbers below `below`, the same at each run (mulberry32). */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const TEXTS = [
  '',
  'a',
  '"',
  '\\',
  '\\"',
  '[]',
  '{"items":[',
  '],"items":[{}',
  ',',
  'é',
  '漢字',
  '😀',
  '\n\u0000',
  'items',
];

function anyValue(roll: (below: number) => number, depth: number): unknown {
  const text = (): string => Array.from({ length: roll(4) }, () => TEXTS[roll(TEXTS.length)]).join('');
  const kind = roll(depth > 0 ? 6 : 4);
  if (kind < 2) return text();
  if (kind === 2) return [null, true, -1.5e3][roll(3)];
  if (kind === 3) return roll(1000);
  const values = Array.from({ length: roll(4) }, () => anyValue(roll, depth - 1));
  return kind === 4 ? values : Object.fromEntries(values.map((value) => [text(), value]));
}

const items = [{ metadata: { name: 'Zürich', note: 'a "text" with ]}, {[ and a \\' } }, {}, 'a,b', 1, [[2], 3], null];
const metadata = { resourceVersion: '7' };

describe('a list splitter', () => {
  it.each([1, 2, 3, 7, 64, 10_000])('cuts a list into its items, in chunks of %i bytes', (size) => {
    const spaced = JSON.stringify({ apiVersion: 'v1', items, metadata }, undefined, 2);
    for (const text of [JSON.stringify({ metadata, items }), spaced, spaced.replace('"items":', '"items"\n : ')]) {
      expect(split(text, () => size)).toEqual({ items, rest: expected(text).rest });
    }
  });

  it('agrees with JSON.parse about any list, wherever it is cut', () => {
    const roll = dice(1);
    let cut = 0;
    for (let round = 0; round < 2000; round += 1) {
      const parts = [
        ['metadata', anyValue(roll, 3)],
        ['items', roll(10) === 0 ? anyValue(roll, 1) : Array.from({ length: roll(6) }, () => anyValue(roll, 3))],
        ['more', anyValue(roll, 3)],
      ] as const;
      const list = Object.fromEntries(roll(2) === 0 ? parts : parts.toReversed());
      const text = JSON.stringify(list, undefined, roll(3));
      const most = 1 + roll(40);
      const found = split(text, () => 1 + roll(most));
      expect({ text, ...found }).toEqual({ text, ...expected(text) });
      cut += found.items.length;
    }
    expect(cut).toBeGreaterThan(3000);
  });

  it.each([
    { metadata, items: [] },
    { metadata, items: null },
    { metadata, items: { a: [1, 2], b: 3 } },
    { metadata, items: '[1,2]' },
    { metadata, others: [{ items: [{}, {}] }] },
    { metadata: { items: [1, 2] } },
    { metadata, 'a,"items': [1, 2] },
    { kind: 'Status', message: '"items":[1,2]', details: ['items', [1, 2]] },
    [{ items: [1] }],
  ])('finds no items in %j', (list) => {
    for (const size of [1, 5, 1000]) expect(split(JSON.stringify(list), () => size)).toEqual({ items: [], rest: list });
  });

  it('a list that is cut off leaves no JSON', () => {
    const text = JSON.stringify({ items, metadata });
    const bytes = Buffer.from(text);
    for (let end = 1; end < bytes.length; end += 1) {
      const splitter = createListSplitter(ENOUGH);
      const found = JSON.parse(`[${splitter.take(bytes.subarray(0, end))}]`) as unknown[];
      expect(found).toEqual(items.slice(0, found.length));
      expect(() => JSON.parse(splitter.rest())).toThrow(SyntaxError);
    }
  });

  it('half a character after the end leaves no JSON', () => {
    const splitter = createListSplitter(ENOUGH);
    splitter.take(Buffer.from([...Buffer.from('{"items":[]}'), 0xe6]));
    expect(() => JSON.parse(splitter.rest())).toThrow(SyntaxError);
  });

  it.each([
    { where: 'an item', begin: '{"items":[{"a":"' },
    { where: 'what comes before the items', begin: '{"metadata":{"a":"' },
    { where: 'what comes after the items', begin: '{"items":[],"a":"' },
  ])('refuses $where if it does not end', ({ begin }) => {
    const splitter = createListSplitter(100);
    splitter.take(Buffer.from(begin));
    splitter.take(Buffer.alloc(80, 'a'));
    const more = (): unknown => splitter.take(Buffer.alloc(80, 'a'));
    expect(more).toThrow(
      expect.objectContaining({ code: 'too-large', message: expect.stringMatching(/than 100 char/) }),
    );
  });

  it('takes a list of any length', () => {
    const splitter = createListSplitter(100);
    splitter.take(Buffer.from('{"items":['));
    let found = 0;
    for (let round = 0; round < 100; round += 1) {
      found += (JSON.parse(`[${splitter.take(Buffer.from('{"name":"an item of a list"},'))}]`) as unknown[]).length;
    }
    expect(found).toBe(100);
  });
});
