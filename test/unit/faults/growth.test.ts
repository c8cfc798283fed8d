import { describe, expect, it } from 'vitest';

import { bytesEach, growth, MOST_BYTES_A_POD, MOST_GROWTH, type Sample } from '../../faults/soak/growth.ts';

/** The same numbers in each run, 0 to 1. */
const noise = (index: number): number => Math.abs((Math.sin(index * 12.9898) * 43_758.5453) % 1);

/** Half an hour, a sample each 15 s, 10 Pods a second: what a replica holds, with 2 MB of it up and down. */
const run = (change: (index: number) => Partial<Sample> = () => ({}), perSample = 150): Sample[] =>
  Array.from({ length: 120 }, (_, index) => ({
    reviews: index * perSample,
    heap: 40e6 + 2e6 * noise(index),
    memory: 150,
    files: 40,
    sockets: 20,
    handles: 20,
    ...change(index),
  }));

const leaking = (bytes: number) => run((index) => ({ heap: 40e6 + 2e6 * noise(index) + bytes * index * 150 }));

describe('what a soak takes for a leak', () => {
  it('is nothing where the heap goes up and down', () => {
    expect(growth(run()).problems).toEqual([]);
    expect(Math.abs(bytesEach(run()) ?? Infinity)).toBeLessThan(MOST_BYTES_A_POD / 2);
  });

  it.each([[500], [1024], [10_000]])('is %d bytes for each Pod', (bytes) => {
    expect(bytesEach(leaking(bytes))).toBeGreaterThan(bytes * 0.7);
    expect(growth(leaking(bytes)).problems).toEqual([expect.stringContaining('bytes a Pod')]);
  });

  it('is not what is held for a while and given back', () => {
    const burst = run((index) => (index > 50 && index < 80 ? { heap: 140e6 } : {}));
    expect(growth(burst).problems).toEqual([]);
  });

  it.each(Object.entries(MOST_GROWTH))('is more %s in the end than its bound of %d allows', (what, most) => {
    const grown = (by: number) => run((index) => (index > 80 ? { [what]: 100 + by } : { [what]: 100 }));
    expect(growth(grown(most)).problems).toEqual([]);
    expect(growth(grown(most + 1)).problems).toEqual([expect.stringContaining(`${what} 100 to `)]);
  });

  it('is not said of a replica that few Pods came to', () => {
    const idle = run(undefined, 3);
    expect(bytesEach(idle)).toBeUndefined();
    expect(growth(idle).text).toContain('too few Pods');
  });
});
