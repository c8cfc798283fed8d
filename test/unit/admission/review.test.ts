import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { readReview, ReviewError } from '../../../src/admission/review.ts';
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
