import { describe, expect, it } from 'vitest';

import { backoffMs, pause } from '../../../src/util/abort.ts';

describe('a pause', () => {
  it('ends when its time is over', async () => {
    await expect(pause(1, new AbortController().signal)).resolves.toBeUndefined();
  });

  it.each<[string, () => AbortSignal]>([
    ['before', () => AbortSignal.abort()],
    ['meanwhile', () => AbortSignal.timeout(1)],
  ])('ends without an error where it is broken off %s', async (_, signal) => {
    await expect(pause(2 ** 30, signal())).resolves.toBeUndefined();
  });
});

describe('the wait between attempts', () => {
  it.each([
    [0, 50, 100],
    [1, 100, 200],
    [5, 500, 1000],
    [10_000, 500, 1000],
  ])('after %d failures: from %d to %d ms', (failures, least, most) => {
    const waits = Array.from({ length: 200 }, () => backoffMs({ first: 100, most: 1000 }, failures));
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(least);
    expect(Math.max(...waits)).toBeLessThanOrEqual(most);
    expect(new Set(waits).size).toBeGreaterThan(1);
  });
});
