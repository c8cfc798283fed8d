import { describe, expect, it } from 'vitest';

import { figure, median, percentile, ratios, slope } from '../../../bench/statistics.ts';

describe('percentiles', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  it.each([
    [0.5, 50],
    [0.99, 99],
    [0.999, 100],
    [1, 100],
    [0, 1],
  ])('the share %d of 1 to 100 is up to %d', (share, value) => {
    expect(percentile(hundred, share)).toBe(value);
  });

  it('of nothing is no number', () => {
    expect(percentile([], 0.5)).toBeNaN();
  });
});

describe('medians', () => {
  it.each<[number[], number]>([
    [[3, 1, 2], 2],
    [[4, 1, 2, 3], 2.5],
    [[7], 7],
  ])('of %j: %d', (values, expected) => {
    expect(median(values)).toBe(expected);
  });

  it('stand between least and greatest', () => {
    expect(figure([3, 1, 2])).toEqual({ median: 2, low: 1, high: 3 });
  });
});

describe('ratios', () => {
  it('are taken round by round', () => {
    expect(ratios([5, 20], [10, 10])).toEqual([0.5, 2]);
  });
});

describe('growth', () => {
  it('is that of the line through the points', () => {
    const points = [0, 100, 1000].map((count) => ({ count, value: 500 + 3 * count }));
    expect(slope(points)).toBeCloseTo(3);
  });

  it('of one point is no number', () => {
    expect(slope([{ count: 1, value: 1 }])).toBeNaN();
  });
});
