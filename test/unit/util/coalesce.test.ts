import { describe, expect, it } from 'vitest';

import { createCoalescer } from '../../../src/util/coalesce.ts';

describe('a coalescer', () => {
  it('begins work once for all who ask while it is under way', async () => {
    const coalescer = createCoalescer<string>();
    const { promise, resolve } = Promise.withResolvers<string>();
    let begun = 0;
    const work = async (): Promise<string> => {
      begun += 1;
      return await promise;
    };
    const first = coalescer.run('a', work);
    expect(coalescer.run('a', work)).toBe(first);
    expect(coalescer.get('a')).toBe(first);
    resolve('done');
    await expect(first).resolves.toBe('done');
    expect(begun).toBe(1);
  });

  it('keeps keys apart, and counts those with work under way', async () => {
    const coalescer = createCoalescer<string>();
    const both = [coalescer.run('a', async () => 'a'), coalescer.run('b', async () => 'b')];
    expect(coalescer.size).toBe(2);
    await expect(Promise.all(both)).resolves.toEqual(['a', 'b']);
    expect(coalescer.size).toBe(0);
  });

  it('begins anew once the work has settled', async () => {
    const coalescer = createCoalescer<number>();
    let count = 0;
    const work = async (): Promise<number> => (count += 1);
    await expect(coalescer.run('a', work)).resolves.toBe(1);
    expect(coalescer.get('a')).toBeUndefined();
    await expect(coalescer.run('a', work)).resolves.toBe(2);
  });

  it('gives a rejection to all who share it, and forgets it', async () => {
    const coalescer = createCoalescer<string>();
    const fail = async (): Promise<string> => {
      throw new Error('broken');
    };
    const both = await Promise.allSettled([coalescer.run('a', fail), coalescer.run('a', async () => 'unused')]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await expect(coalescer.run('a', async () => 'good')).resolves.toBe('good');
  });
});
