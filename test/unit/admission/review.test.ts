import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { parseReview, readReview, ReviewError } from '../../../src/admission/review.ts';
import { fixture } from '../../support/reviews.ts';

const read = (body: unknown): string => {
  try {
    return readReview(body).uid;
  } catch (error) {
    expect(error).toBeInstanceOf(ReviewError);
    return (error as ReviewError).message;
  }
};

const change = (path: readonly string[], value: unknown): unknown => {
  const review: unknown = fixture('plain');
  let parent = review as Record<string, unknown>;
  for (const key of path.slice(0, -1)) parent = parent[key] as Record<string, unknown>;
  parent[path.at(-1) ?? ''] = value;
  return review;
};

/** Fields that are read, and whether they may be missing. */
const fields = [
  { path: ['apiVersion'], good: ['admission.k8s.io/v1'] },
  { path: ['kind'], good: ['AdmissionReview'] },
  { path: ['request'], good: [] },
  { path: ['request', 'uid'], good: ['a', 'x'.repeat(256)] },
  { path: ['request', 'resource'], good: [{ group: '', version: '', resource: '' }] },
  { path: ['request', 'resource', 'group'], good: ['', 'apps'] },
  { path: ['request', 'resource', 'version'], good: ['', 'v1'] },
  { path: ['request', 'resource', 'resource'], good: ['', 'pods'] },
  { path: ['request', 'operation'], good: ['', 'CREATE'] },
  { path: ['request', 'subResource'], good: ['', 'status', null, undefined] },
  { path: ['request', 'name'], good: ['', 'web', null, undefined] },
  { path: ['request', 'namespace'], good: ['', 'shop', null, undefined] },
  { path: ['request', 'dryRun'], good: [true, false, null, undefined] },
  { path: ['request', 'object'], good: [{}, null, undefined, 'x', 1, []] },
] as const;

const every: readonly unknown[] = fields.flatMap(({ good }): readonly unknown[] => good);

describe('reading a review', () => {
  it.each(fields)('takes good values of $path and names the field of bad ones', ({ path, good }) => {
    for (const value of good) expect(read(change(path, value))).not.toMatch(/^expected/);
    const isAny = path.at(-1) === 'object';
    const bad = [...every, 0, [], 'x'.repeat(257)].filter((value) => typeof value !== 'string' && !isAny);
    for (const value of bad.filter((one) => !(good as readonly unknown[]).includes(one))) {
      if (path.at(-1) === 'resource' && path.length === 2 && typeof value === 'object' && value !== null) continue;
      expect(read(change(path, value))).toContain(path.join('.'));
    }
  });

  it.each([['x'.repeat(257)], ['']])('refuses the uid %j', (uid) => {
    expect(read(change(['request', 'uid'], uid))).toContain('request.uid');
  });

  it('never does anything but give a request or say what is wrong, whatever it is given', () => {
    fc.assert(
      fc.property(fc.constantFrom(...fields), fc.jsonValue(), ({ path }, value) => {
        expect(typeof read(change(path, value))).toBe('string');
      }),
    );
  });
});

/** The body of a review whose Pod has `text` as a field. */
const bodyWith = (text: string): Buffer =>
  Buffer.from(JSON.stringify(fixture('plain')).replace('"spec":{', `"spec":{"more":${text},`));

const MIB = 1024 * 1024;
const times = (text: string, count: number): string => Array.from({ length: count }, () => text).join(',');
const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

describe('what a body may cost a parser', () => {
  it.each([
    { name: 'of 3 MB in strings', text: JSON.stringify(times('x'.repeat(10_000), 290)) },
    { name: 'of 10,000 containers', text: `[${times('{"name":"c","image":"i"}', 10_000)}]` },
    { name: 'of 400 levels', text: `[${nested(399)},"${'x'.repeat(100_000)}"]` },
    { name: 'of many levels, which is small', text: nested(25_000) },
    { name: 'of many values, which is small', text: `[${times('0', 30_000)}]` },
  ])('$name: read', ({ text }) => {
    expect(parseReview(bodyWith(text)).operation).toBe('CREATE');
  });

  it('managed fields, which are not read, count for nothing', () => {
    const review = fixture('plain');
    review.request.object.metadata['managedFields'] = [{ fieldsV1: Array.from({ length: 100_000 }, () => ({})) }];
    expect(parseReview(Buffer.from(JSON.stringify(review))).operation).toBe('CREATE');
  });

  const most = 7 * MIB - 10_000;
  it.each([
    { name: 'lists within lists', text: nested(most / 2) },
    { name: 'lists within lists, cut', text: '['.repeat(most) },
    { name: 'objects within objects', text: `${'{"a":'.repeat(most / 6)}0${'}'.repeat(most / 6)}` },
    { name: 'numbers', text: `[${times('0', most / 2)}]` },
    { name: 'objects of one name each', text: `[${times('{"a":0}', most / 8)}]` },
    { name: 'empty objects', text: `[${times('{}', most / 3)}]` },
  ])('7 MB of $name: refused at once', ({ text }) => {
    const body = bodyWith(text);
    const before = process.cpuUsage();
    expect(() => parseReview(body)).toThrow(new ReviewError('the body has more than 500 levels or 32000 values'));
    const { user, system } = process.cpuUsage(before);
    // A parser takes a hundred times as long.
    expect((user + system) / 1000).toBeLessThan(100);
  });

  it.each([
    { name: 'is not UTF-8', body: Buffer.concat([bodyWith('0'), Buffer.alloc(70_000, 0xff)]), says: /is not UTF-8$/ },
    { name: 'is not JSON', body: Buffer.from('x'.repeat(70_000)), says: /is not JSON: Unexpected token/ },
    {
      name: 'is not JSON behind its managed fields',
      body: Buffer.from(`{"a":1,"managedFields":[${times('{}', 50_000)}],}`),
      says: /is not JSON: /,
    },
  ])('a large body that $name: refused', ({ body, says }) => {
    expect(() => parseReview(body)).toThrow(says);
  });
});
