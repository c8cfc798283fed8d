import { afterEach, expect, it, vi } from 'vitest';

import { createFlights, createSlots } from '../../../src/detection/flights.ts';

afterEach(() => void vi.useRealTimers());

const flights = (concurrency = 1) =>
  createFlights<string>({ slots: createSlots(concurrency, 1), backgroundMs: 1000, notBegun: () => 'not begun' });

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
