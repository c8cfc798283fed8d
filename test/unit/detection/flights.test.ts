import { afterEach, describe, expect, it, vi } from 'vitest';

import type { LookupContext } from '../../../src/detection/image-source.ts';
import { createFlights } from '../../../src/detection/flights.ts';
import { createFairSlots } from '../../../src/util/limits/fair-slots.ts';
import { expectNothingUnhandled } from './support.ts';

expectNothingUnhandled();

afterEach(() => void vi.useRealTimers());

const flights = (places = 1, queue = 1, backgroundMs = 1000) =>
  createFlights<string>({
    slots: createFairSlots({ places, queue, first: 'newest' }),
    backgroundMs,
    notBegun: () => 'not begun',
  });

/** Work that ends when it is told to. */
const hangs = ({ signal }: Pick<LookupContext, 'signal'>): Promise<string> =>
  new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve((signal.reason as Error).message), { once: true });
  });
const long = 'the look-up took long and was given up when others had to wait for it';
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
    for (let index = 0; index < 12; index += 1) all.join(`hangs-${index}`, hangs, 'greedy');
    expect(await all.join('good', () => Promise.resolve('done'), 'other')?.result).toBe('done');
    await all.close();
  });

  it('wait for no look-up of a greedier one longer than its share of time, though Pods wait for that', async () => {
    vi.useFakeTimers();
    const all = flights(4, 8, 2000);
    const greedy = [0, 1, 2].map((index) => all.join(`hangs-${index}`, hangs, 'greedy'));
    for (const flight of greedy) void flight?.wait(never);
    all.join('other', hangs, 'other');
    const results: string[] = [];
    const note = (flight: (typeof greedy)[number]) => void flight?.result.then((result) => results.push(result));
    greedy.forEach(note);
    note(all.join('third', () => Promise.resolve('done'), 'third'));
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
    const first = all.join('a', hangs, 'a');
    const second = all.join('b', () => Promise.resolve('done'), 'b');
    await vi.advanceTimersByTimeAsync(190);
    expect(all.count()).toBe(2);
    await vi.advanceTimersByTimeAsync(110);
    expect([await first?.result, await second?.result]).toEqual([long, 'done']);
  });

  it('end nothing of one that holds fewer, nor what somebody of their own waits for', async () => {
    vi.useFakeTimers();
    const all = flights(4, 8, 600);
    const own = [0, 1, 2].map((index) => all.join(`a-${index}`, hangs, 'a'));
    for (const flight of own) void flight?.wait(never);
    all.join('b', hangs, 'b');
    all.join('a-3', hangs, 'a');
    await vi.advanceTimersByTimeAsync(5000);
    expect(all.count()).toBe(5);
    await all.close();
  });

  it('that join one look-up share it: it counts for the one with fewer slots', async () => {
    vi.useFakeTimers();
    const all = flights(8, 8, 2000);
    for (const key of ['v', 'w', 'x', 'y', 'z', 'shared']) all.join(key, hangs, 'greedy');
    const queued = all.join('queued', () => Promise.resolve('of both'), 'greedy');
    await vi.advanceTimersByTimeAsync(50);
    expect(all.count()).toBe(7);
    expect(all.join('queued', hangs, 'third')).toBe(queued);
    expect(await queued?.result).toBe('of both');
    // `shared` counts for `modest` from now on, so that `greedy` has five, and room for one more.
    all.join('shared', hangs, 'modest');
    expect(await all.join('more', () => Promise.resolve('room'), 'greedy')?.result).toBe('room');
    await all.close();
  });

  it('lose places in a full queue where they have the most, and get their answer at once', async () => {
    const all = flights(2, 3);
    all.join('runs', hangs, 'greedy');
    all.join('runs too', hangs, 'other');
    const queued = [0, 1, 2].map((index) => all.join(`queued-${index}`, hangs, 'greedy'));
    for (const flight of queued) void flight?.wait(never);
    expect(all.join('queued-3', hangs, 'greedy')).toBeUndefined();
    const newcomer = all.join('newcomer', hangs, 'third');
    expect(newcomer).toBeDefined();
    // The oldest: it would have entered last.
    expect(await queued[0]?.result).toBe('not begun');
    expect(all.count()).toBe(5);
    await all.close();
  });
});
