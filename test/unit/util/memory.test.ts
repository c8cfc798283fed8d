import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { createBytePool, textBytes } from '../../../src/util/memory.ts';

const signal = new AbortController().signal;

describe('a pool of bytes', () => {
  it('gives each user its share, and all together no more than there is', () => {
    const pool = createBytePool(100);
    const [one, other] = [pool.share(60), pool.share(60)];
    expect(one.take(60)).toBe('taken');
    expect(one.take(1)).toBe('share');
    expect(other.take(41)).toBe('pool');
    expect(other.take(40)).toBe('taken');
    expect(pool.held).toBe(100);
  });

  it('has everything again once its users have closed, even twice', () => {
    const pool = createBytePool(100);
    const share = pool.share(100);
    share.take(70);
    share.give(20);
    expect(pool.held).toBe(50);
    share.close();
    share.close();
    expect(pool.held).toBe(0);
    expect(pool.share(100).take(100)).toBe('taken');
  });

  it('lets a user wait until there is room', async () => {
    const pool = createBytePool(100);
    const [one, other] = [pool.share(100), pool.share(100)];
    one.take(75);
    const room = other.room(5000, signal);
    await sleep(50);
    one.close();
    expect(await room).toBe(true);
  });

  it('says that there is no room after a while', async () => {
    const pool = createBytePool(100);
    pool.share(100).take(75);
    expect(await pool.share(100).room(50, signal)).toBe(false);
  });

  it('takes from the tenant that holds most, its largest share first, what another needs', () => {
    const pool = createBytePool(100);
    const [small, large, middle] = [20, 50, 30].map((bytes) => {
      const share = pool.share(100, 'greedy');
      expect(share.take(bytes)).toBe('taken');
      return share;
    });
    const modest = pool.share(100, 'modest');
    expect(modest.take(30)).toBe('taken');
    expect([small, large, middle].map((share) => share?.lost.aborted)).toEqual([false, true, false]);
    expect(pool.held).toBe(80);
    // What it gives back late was counted already, and it gets nothing more.
    large?.give(50);
    expect(pool.held).toBe(80);
    large?.close();
    expect(pool.held).toBe(80);
    expect(large?.take(1)).toBe('pool');
  });

  it('takes nothing from a tenant for one that would hold more than it, nor for itself', () => {
    const pool = createBytePool(100);
    const one = pool.share(100, 'one');
    const other = pool.share(100, 'other');
    expect(one.take(50)).toBe('taken');
    expect(other.take(40)).toBe('taken');
    expect(other.take(20)).toBe('pool');
    expect(pool.share(100, 'one').take(11)).toBe('pool');
    expect([one.lost.aborted, other.lost.aborted]).toEqual([false, false]);
    expect(pool.held).toBe(90);
  });

  it('lets a tenant begin that holds less than its part, though the pool is nearly full', async () => {
    const pool = createBytePool(100);
    pool.share(100, 'greedy').take(70);
    pool.share(100, 'modest').take(10);
    expect(await pool.share(100, 'greedy').room(50, signal)).toBe(false);
    expect(await pool.share(100, 'modest').room(50, signal)).toBe(true);
    expect(await pool.share(100, 'new').room(50, signal)).toBe(true);
  });

  it('lets nobody wait whose look-up has ended', async () => {
    const pool = createBytePool(100);
    pool.share(100).take(75);
    await expect(pool.share(100).room(5000, AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
  });
});

it.each([
  ['abc', 19],
  ['äöü', 19],
  ['abc€', 24],
])('%s takes %i bytes', (text, expected) => {
  expect(textBytes(text)).toBe(expected);
});
