import { expect, it } from 'vitest';

import { check, EXPECTED, type Measured } from '../../e2e/scenarios/race.ts';

/** Milliseconds as they were measured: median and worst of glibc, then of musl. */
const figures = (...[glibc, glibcWorst, musl, muslWorst]: [number, number, number, number]): Measured => ({
  name: 'some Pods',
  glibc: { median: glibc, worst: glibcWorst, lost: 0 },
  musl: { median: musl, worst: muslWorst, lost: 0 },
});

const before = figures(5004, 5038, 2502, 2533);
const ours = figures(1, 76, 501, 503);
const cached = figures(1, 53, 1, 5);

it('figures of a race that was lost, of the remedies, and of the cache are as expected, each of its own way only', () => {
  const all = { before, ours, cached };
  for (const way of ['before', 'ours', 'cached'] as const) {
    for (const [name, measured] of Object.entries(all)) {
      const checked = (): void => check(measured, EXPECTED[way]);
      if (name === way) expect(checked, `${name} as ${way}`).not.toThrow();
      else expect(checked, `${name} as ${way}`).toThrow('expected');
    }
  }
});

it('one look-up that waits for its resolver is too many for Pods of ours', () => {
  expect(() => check(figures(1, 5004, 501, 503), EXPECTED.ours)).toThrow('some Pods, glibc: 1 / 5004 ms');
  expect(() => check(figures(1, 76, 501, 2503), EXPECTED.ours)).toThrow('some Pods, musl: 501 / 2503 ms');
  expect(() => check(figures(1, 53, 1, 501), EXPECTED.cached)).toThrow('some Pods, musl: 1 / 501 ms');
});
