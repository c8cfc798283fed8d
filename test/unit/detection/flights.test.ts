import { afterEach, describe, expect, it, vi } from 'vitest';

import type { LookupContext } from '../../../src/detection/image-source.ts';
import { createFlights } from '../../../src/detection/flights.ts';
import { createFairSlots } from '../../../src/util/limits/fair-slots.ts';
import { expectNothingUnhandled } from './support.ts';

expectNothingUnhandled();

afterEach(() => void vi.useRealTimers());

const flights = (places = 1, queue = 1, backgroundMs = 1000, bound?: number) =>
  createFlights<string>({
    slots: createFairSlots({ places, queue, first: 'newest', ...(bound !== undefined && { doubtful: bound }) }),
    backgroundMs,
    ...(bound !== undefined && { slow: bound }),
    notBegun: () => 'not begun',
  });

/** Work that ends when it is told to. */
const hangs = ({ signal }: Pick<LookupContext, 'signal'>): Promise<string> =>
  new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve((signal.reason as Error).message), { once: true });
  });
const long = 'the look-up took long and was given up when others had to wait for it';
const of = (tenant: string) => ({ tenant });
const never = new AbortController().signal;

it('keeps no timer once a flight has landed, whoever leaves it then', async () => {
  vi.useFakeTimers();
  const flight = flights().join('a', () => Promise.resolve('done'));
  flight?.leave();
  expect(vi.getTimerCount()).toBe(1);
  expect(await flight?.result).toBe('done');
  expect(vi.getTimerCount()).toBe(0);
  const unwatched = flights().join('a', () => Promise.resolve('done'));
  await unwatched?.result;
  unwatched?.leave();
  expect(await unwatched?.wait(AbortSignal.abort())).toBeUndefined();
  expect(vi.getTimerCount()).toBe(0);
});

it('begins a new flight for a key as soon as the last one has landed', async () => {
  const all = flights();
  const begun: string[] = [];
  const work = (name: string) => async () => {
    begun.push(name);
    return await Promise.resolve(name);
  };
  expect(all.join('a', work('first'))).toBe(all.join('a', work('never')));
  expect(await all.join('a', work('never'))?.result).toBe('first');
  expect(all.count()).toBe(0);
  expect(await all.join('a', work('second'))?.result).toBe('second');
  expect(begun).toEqual(['first', 'second']);
});

it('does not begin the work of a flight that was ended before its turn', async () => {
  const all = flights();
  const flight = all.join('a', () => Promise.resolve('done'));
  await all.close();
  expect(await flight?.result).toBe('not begun');
});

describe('namespaces that look up at the same time', () => {
  it('find slots at once beside one whose look-ups hang', async () => {
    const all = flights(8, 8);
    for (let index = 0; index < 12; index += 1) all.join(`hangs-${index}`, hangs, of('greedy'));
    expect(await all.join('good', () => Promise.resolve('done'), of('other'))?.result).toBe('done');
    await all.close();
  });

  it('wait for no look-up of a greedier one longer than its share of time, though Pods wait for that', async () => {
    vi.useFakeTimers();
    const all = flights(4, 8, 2000);
    const greedy = [0, 1, 2].map((index) => all.join(`hangs-${index}`, hangs, of('greedy')));
    for (const flight of greedy) void flight?.wait(never);
    all.join('other', hangs, of('other'));
    const results: string[] = [];
    const note = (flight: (typeof greedy)[number]) => void flight?.result.then((result) => results.push(result));
    greedy.forEach(note);
    note(all.join('third', () => Promise.resolve('done'), of('third')));
    await vi.advanceTimersByTimeAsync(90);
    expect(results).toEqual([]);
    await vi.advanceTimersByTimeAsync(110);
    // One gives way, not all three.
    expect(results).toEqual([long, 'done']);
    expect(all.count()).toBe(3);
    await all.close();
  });

  it('take turns where each holds one slot: the one that ran for a sixth of its time gives way', async () => {
    vi.useFakeTimers();
    const all = flights(1, 8, 1200);
    const first = all.join('a', hangs, of('a'));
    const second = all.join('b', () => Promise.resolve('done'), of('b'));
    await vi.advanceTimersByTimeAsync(190);
    expect(all.count()).toBe(2);
    await vi.advanceTimersByTimeAsync(110);
    expect([await first?.result, await second?.result]).toEqual([long, 'done']);
  });

  it('end nothing of one that holds fewer, nor what somebody of their own waits for', async () => {
    vi.useFakeTimers();
    const all = flights(4, 8, 600);
    const own = [0, 1, 2].map((index) => all.join(`a-${index}`, hangs, of('a')));
    for (const flight of own) void flight?.wait(never);
    all.join('b', hangs, of('b'));
    all.join('a-3', hangs, of('a'));
    await vi.advanceTimersByTimeAsync(5000);
    expect(all.count()).toBe(5);
    await all.close();
  });

  it('that join one look-up share it: it counts for the one with fewer slots', async () => {
    vi.useFakeTimers();
    const all = flights(8, 8, 2000);
    for (const key of ['v', 'w', 'x', 'y', 'z', 'shared']) all.join(key, hangs, of('greedy'));
    const queued = all.join('queued', () => Promise.resolve('of both'), of('greedy'));
    await vi.advanceTimersByTimeAsync(50);
    expect(all.count()).toBe(7);
    expect(all.join('queued', hangs, of('third'))).toBe(queued);
    expect(await queued?.result).toBe('of both');
    // `shared` counts for `modest` from now on, so that `greedy` has five, and room for one more.
    all.join('shared', hangs, of('modest'));
    expect(await all.join('more', () => Promise.resolve('room'), of('greedy'))?.result).toBe('room');
    await all.close();
  });

  it('lose places in a full queue where they have the most, and get their answer at once', async () => {
    const all = flights(2, 3);
    all.join('runs', hangs, of('greedy'));
    all.join('runs too', hangs, of('other'));
    const queued = [0, 1, 2].map((index) => all.join(`queued-${index}`, hangs, of('greedy')));
    for (const flight of queued) void flight?.wait(never);
    expect(all.join('queued-3', hangs, of('greedy'))).toBeUndefined();
    const newcomer = all.join('newcomer', hangs, of('third'));
    expect(newcomer).toBeDefined();
    // The oldest: it would have entered last.
    expect(await queued[0]?.result).toBe('not begun');
    expect(all.count()).toBe(5);
    await all.close();
  });
});

describe('many namespaces whose hosts hang', () => {
  const doubtful = (tenant: string) => ({ tenant, isDoubtful: () => true });
  const done = () => Promise.resolve('done');
  type All = ReturnType<typeof flights>;

  /** Looks up again and again, as Pods that are created anew do. */
  function insist(all: All, count: number, passenger: (tenant: string) => ReturnType<typeof of>): void {
    const look = (index: number): void => {
      const flight = all.join(`hangs-${index}`, hangs, passenger(`ns-${index}`));
      void flight?.wait(never);
      void flight?.result.then(() => look(index));
    };
    for (let index = 0; index < count; index += 1) look(index);
  }

  /** Returns what flights of these keys have ended with after `ms`. */
  async function after(ms: number, all: All, keys: readonly string[], passenger: ReturnType<typeof of>) {
    const results: string[] = [];
    for (const key of keys) void all.join(key, done, passenger)?.result.then((result) => results.push(result));
    await vi.advanceTimersByTimeAsync(ms);
    return results;
  }

  it('leave half of the slots to hosts that have answered before, at any time', async () => {
    vi.useFakeTimers();
    const all = flights(8, 64, 6000, 4);
    insist(all, 32, doubtful);
    for (let round = 0; round < 40; round += 1) {
      const keys = [1, 2, 3, 4].map((index) => `known-${round}-${index}`);
      expect(await after(0, all, keys, of('other'))).toEqual(['done', 'done', 'done', 'done']);
      await vi.advanceTimersByTimeAsync(97);
    }
    await all.close();
  });

  it('give way to a new host of a namespace that has used no slot, after a twentieth of their time', async () => {
    vi.useFakeTimers();
    const all = flights(8, 64, 2000, 4);
    insist(all, 32, doubtful);
    await vi.advanceTimersByTimeAsync(10_000);
    for (const round of [1, 2, 3]) {
      expect(await after(210, all, [`new-${round}`], doubtful('other'))).toEqual(['done']);
    }
    await all.close();
  });

  it('give way early once they hold more than half, though their hosts have answered before', async () => {
    vi.useFakeTimers();
    const all = flights(8, 64, 6000, 4);
    insist(all, 32, of);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await after(410, all, ['known'], of('other'))).toEqual(['done']);
    await all.close();
  });

  it('end the youngest in a crowd, so that look-ups of slow registries come to an end', async () => {
    vi.useFakeTimers();
    const all = flights(4, 64, 2000, 2);
    const ended: number[] = [];
    for (let index = 0; index < 4; index += 1) {
      void all.join(`slow-${index}`, hangs, of(`ns-${index}`))?.result.then(() => ended.push(index));
      await vi.advanceTimersByTimeAsync(10);
    }
    all.join('more', hangs, of('other'));
    all.join('and more', hangs, of('third'));
    await vi.advanceTimersByTimeAsync(310);
    // `more` took the place of the last of them, and gave it to the third namespace in its turn.
    expect(ended).toEqual([3]);
    expect(all.count()).toBe(4);
    await all.close();
  });

  it.each([
    ['free', 5, []],
    ['taken', 4, ['doubtful too']],
  ])(
    'end no look-up of a host that has answered for one of a new host, where other slots are %s',
    async (_, places, expected) => {
      vi.useFakeTimers();
      const all = flights(places, 64, 3000, 2);
      const ended: string[] = [];
      const note = (name: string, passenger: ReturnType<typeof of>): void =>
        void all.join(name, hangs, passenger)?.result.then(() => ended.push(name));
      note('slow', of('a'));
      note('slow too', of('b'));
      await vi.advanceTimersByTimeAsync(600);
      note('doubtful', doubtful('c'));
      note('doubtful too', doubtful('d'));
      await vi.advanceTimersByTimeAsync(places === 5 ? 10 : 200);
      void all.join('new', hangs, doubtful('e'))?.wait(never);
      await vi.advanceTimersByTimeAsync(places === 5 ? 110 : 10);
      expect(ended).toEqual(expected);
      await all.close();
    },
  );

  it('do not fill the queue: half of its places are for other work', async () => {
    const all = flights(2, 8, 2000, 1);
    for (const tenant of ['a', 'b']) all.join(`runs-${tenant}`, hangs, of(tenant));
    const doubts = Array.from({ length: 8 }, (_, index) => all.join(`doubt-${index}`, hangs, doubtful(`ns-${index}`)));
    expect(doubts.filter((flight) => flight !== undefined)).toHaveLength(4);
    const known = Array.from({ length: 8 }, (_, index) => all.join(`known-${index}`, hangs, of(`other-${index}`)));
    expect(known.filter((flight) => flight !== undefined)).toHaveLength(4);
    await all.close();
  });

  it('are let in once they are no longer doubtful', async () => {
    vi.useFakeTimers();
    const all = flights(4, 8, 100_000, 1);
    let isDoubtful = true;
    const results: string[] = [];
    all.join('first', hangs, { tenant: 'a', isDoubtful: () => isDoubtful });
    const second = all.join('second', done, { tenant: 'b', isDoubtful: () => isDoubtful });
    void second?.result.then((result) => results.push(result));
    await vi.advanceTimersByTimeAsync(500);
    expect(results).toEqual([]);
    isDoubtful = false;
    await vi.advanceTimersByTimeAsync(200);
    expect(results).toEqual(['done']);
    await all.close();
  });
});
