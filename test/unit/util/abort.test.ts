import { describe, expect, it } from 'vitest';

import { backoffMs, beforeAbort, deadlineAfter, doublingMs, pause, sleep } from '../../../src/util/abort.ts';

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

describe('a sleep', () => {
  it("ends when its time is over, or rejects with the signal's reason", async () => {
    await expect(sleep(1, new AbortController().signal)).resolves.toBeUndefined();
    await expect(sleep(10_000, AbortSignal.abort(new Error('over')))).rejects.toThrow('over');
    await expect(sleep(10_000, AbortSignal.timeout(5))).rejects.toThrow('timeout');
  });
});

describe('a promise until a signal aborts', () => {
  const never = new Promise<string>(() => {});
  it.each<[string, Promise<string>, () => AbortSignal, string | undefined]>([
    ['settles in time', Promise.resolve('done'), () => new AbortController().signal, 'done'],
    ['does not settle', never, () => AbortSignal.timeout(1), undefined],
    ['comes too late', Promise.resolve('done'), () => AbortSignal.abort(), undefined],
  ])('%s', async (_, promise, signal, expected) => {
    await expect(beforeAbort(promise, signal())).resolves.toBe(expected);
  });

  it('rejects as the promise does', async () => {
    const { signal } = new AbortController();
    await expect(beforeAbort(Promise.reject(new Error('broken')), signal)).rejects.toThrow('broken');
  });
});

describe('a deadline', () => {
  it('aborts when its time is over', async () => {
    const { signal } = deadlineAfter(1, new AbortController().signal);
    await expect(sleep(10_000, signal)).rejects.toThrow('aborted');
  });

  it.each<[string, (controller: AbortController) => void, (controller: AbortController) => void]>([
    ['before', (controller) => controller.abort(new Error('over')), () => {}],
    ['later', () => {}, (controller) => controller.abort(new Error('over'))],
  ])('aborts as the other signal did %s', (_, before, after) => {
    const other = new AbortController();
    before(other);
    const { signal } = deadlineAfter(10_000, other.signal);
    after(other);
    expect(signal.reason).toEqual(new Error('over'));
  });

  it('that is stopped aborts no more', async () => {
    const other = new AbortController();
    const { signal, stop } = deadlineAfter(1, other.signal);
    stop();
    other.abort();
    await sleep(5, new AbortController().signal);
    expect(signal.aborted).toBe(false);
  });
});

describe('the wait between attempts', () => {
  it.each([
    [0, 100],
    [1, 200],
    [4, 1000],
    [10_000, 1000],
  ])('after %d failures: %d ms', (failures, expected) => {
    expect(doublingMs({ first: 100, most: 1000 }, failures)).toBe(expected);
    expect(backoffMs({ first: 100, most: 1000 }, failures, () => 1)).toBe(expected);
    expect(backoffMs({ first: 100, most: 1000 }, failures, () => 0)).toBe(expected / 2);
  });

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
