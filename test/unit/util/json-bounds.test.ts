import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { endOfString, exceeds, itemsOf, parseBoundedJson } from '../../../src/util/json-bounds.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const exceedsNesting = (body: Uint8Array, depth: number): boolean => exceeds(body, { depth, values: Infinity });

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

describe('the end of a string', () => {
  const byByte = (body: Uint8Array): number => {
    let at = 0;
    while (at < body.length && body[at] !== 0x22) at += body[at] === 0x5c ? 2 : 1;
    return Math.min(at, body.length);
  };
  const part = fc.oneof(
    fc.constantFrom('"', '\\', '\\\\', '\\"', 'é'),
    fc.nat(120).map((length) => 'x'.repeat(length)),
    fc.nat(120).map((length) => '\\'.repeat(length)),
    fc.nat(60).map((length) => '\\"'.repeat(length)),
  );

  it('is found in long ones, too, whatever is escaped', () => {
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const body = bytes(parts.join(''));
        expect(Math.min(endOfString(body, 0), body.length)).toBe(byByte(body));
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['quotes', '\\"'],
    ['backslashes', '\\\\'],
    ['quotes now and then', `${'x'.repeat(60)}\\"`],
    ['quotes behind many backslashes', `${'\\'.repeat(61)}"`],
  ])('is found in linear time beside escaped %s', (_, piece) => {
    const body = bytes(piece.repeat(Math.floor(7e6 / piece.length)));
    const { user } = process.cpuUsage();
    expect(endOfString(body, 0)).toBeGreaterThanOrEqual(body.length);
    expect(process.cpuUsage().user - user).toBeLessThan(500_000);
  });
});

it('stops at the first level too many', () => {
  const body = new Uint8Array(64 * 1024 * 1024).fill('['.charCodeAt(0));
  const began = performance.now();
  expect(exceedsNesting(body, 1000)).toBe(true);
  expect(performance.now() - began).toBeLessThan(10);
});

describe('JSON within bounds', () => {
  it.each([
    ['an object', '{"a":[1,"b",null]}', { a: [1, 'b', null] }],
    ['a text with commas and brackets', '"[,[,{"', '[,[,{'],
    ['no JSON', '{"a":', undefined],
    ['more values', '[1,2,3,4,5,6,7,8,9]', undefined],
    ['more members', `{${Array.from({ length: 9 }, (_, at) => `"${at}":0`).join(',')}}`, undefined],
    ['more lists', '[[],[],[],[],[],[],[]]', undefined],
    ['deeper lists', '[[[[]]]]', undefined],
  ])('%s', (_, text, expected) => {
    expect(parseBoundedJson(bytes(text), { depth: 3, values: 8 })).toEqual(expected);
  });

  it.each([
    ['lists', '['.repeat(1 << 21) + ']'.repeat(1 << 21)],
    ['members', `{${'"a":0,'.repeat(500_000)}"b":0}`],
  ])('4 MiB of %s are refused in no time', (_, text) => {
    const body = bytes(text);
    const before = process.threadCpuUsage();
    expect(parseBoundedJson(body)).toBeUndefined();
    const { user, system } = process.threadCpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(50);
  });
});

describe('the items of a list', () => {
  const read = (text: string): { items: unknown[]; end: string } => {
    const found = itemsOf(bytes(text), 'entries');
    const items: unknown[] = [];
    for (;;) {
      const next = found.next();
      if (next.done === true) return { items, end: next.value };
      items.push(parseBoundedJson(next.value));
    }
  };

  it.each([
    ['none', '{"entries":[]}', []],
    [
      'between others',
      ' { "version" : 1 , "entries" : [ {"a":[1,{}]} , "x,]" ,3 ] , "z" : {"entries":[4]} } ',
      [{ a: [1, {}] }, 'x,]', 3],
    ],
    ['after a name like it', String.raw`{"entries\"":[1],"entries":[2]}`, [2]],
  ])('%s', (_, text, items) => {
    expect(read(text)).toEqual({ items, end: 'whole' });
  });

  it.each([
    '',
    '[]',
    '{}',
    '{"entries":{}}',
    '{"entries":[1',
    '{"entries":[1]',
    '{"entries":[1}',
    '{"entries" [1]}',
    '{"entries":[1]]',
    '{"entries":[1],"entries":[2]}',
    '{entries:[1]}',
    '{"entries":[1],}',
    '{"a',
  ])('%s is damaged', (text) => {
    expect(read(text).end).toBe('damaged');
  });

  it('are those that a parser returns', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.array(fc.jsonValue()),
        fc.nat(8),
        (others, items, space) => {
          const { entries: _entries, ...rest } = others;
          const text = JSON.stringify({ ...rest, entries: items, last: rest }, undefined, space);
          expect(read(text)).toEqual({ items: JSON.parse(JSON.stringify(items)), end: 'whole' });
        },
      ),
    );
  });

  it('takes linear time for any brackets', () => {
    for (const text of [
      '{"entries":['.repeat(200_000),
      `{"entries":${'['.repeat(2_000_000)}`,
      `{${'"entries" :'.repeat(200_000)}`,
    ]) {
      const began = performance.now();
      expect(read(text).end).toBe('damaged');
      expect(performance.now() - began).toBeLessThan(200);
    }
  });
});

it.each([
  ['numbers of a list', '[1,2,3,4]', 4],
  ['members of an object', '{"a":1,"b":2}', 2],
  ['lists and objects', '[[],{},[[]]]', 7],
  ['commas in strings', '["a,b,c",",,,"]', 2],
])('counts %s', (_, text, values) => {
  expect(exceeds(bytes(text), { depth: 10, values })).toBe(false);
  expect(exceeds(bytes(text), { depth: 10, values: values - 1 })).toBe(true);
});

it('parseBoundedJson takes 10,000 values unless told otherwise', () => {
  const names = (count: number) =>
    bytes(JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, at) => [`n${at}`, 0]))));
  expect(Object.keys(parseBoundedJson(names(10_000)) as object)).toHaveLength(10_000);
  expect(parseBoundedJson(names(10_002))).toBeUndefined();
});
