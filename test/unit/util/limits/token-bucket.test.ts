import { describe, expect, it } from 'vitest';

import { createTokenBucket } from '../../../../src/util/limits/token-bucket.ts';
import { manualClock } from '../../../support/registry-harness.ts';

describe('a token bucket', () => {
  const start = () => {
    const clock = manualClock();
    return { clock, bucket: createTokenBucket({ perSecond: 2, burst: 3, clock }) };
  };

  it('gives a burst at once, then so many a second', () => {
    const { clock, bucket } = start();
    const waits = [1, 2, 3, 4, 5].map(() => {
      const wait = bucket.wait();
      clock.advance(wait);
      bucket.take();
      return wait;
    });
    expect(waits).toEqual([0, 0, 0, 500, 500]);
  });

  it('saves up a burst at most', () => {
    const { clock, bucket } = start();
    clock.advance(3_600_000);
    for (let count = 0; count < 3; count += 1) bucket.take();
    expect(bucket.wait()).toBe(500);
  });

  it('may be overdrawn: the next waits longer', () => {
    const { bucket } = start();
    for (let count = 0; count < 5; count += 1) bucket.take();
    expect(bucket.wait()).toBe(1500);
  });

  it('takes a token back, but holds a burst at most', () => {
    const { bucket } = start();
    bucket.giveBack();
    for (let count = 0; count < 3; count += 1) bucket.take();
    bucket.giveBack();
    expect(bucket.wait()).toBe(0);
  });
});
