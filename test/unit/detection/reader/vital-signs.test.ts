import { spawn } from 'node:child_process';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import {
  createWatch,
  IDLE_LOOK_MS,
  LOOK_MS,
  lookRegularly,
  vitalSignsOf,
} from '../../../../src/detection/reader/vital-signs.ts';

const MiB = 2 ** 20;

/** A process whose answers, memory and processor time are set by hand. */
function patient(vitals: { memory?: number; processor?: number } = {}) {
  let now = 0;
  let processor = 0;
  const state = { answers: true, perSecond: 0, memory: 0 };
  const watch = createWatch({
    vitals: {
      memory: () => ('memory' in vitals ? vitals.memory : state.memory),
      processorMs: () => ('processor' in vitals ? vitals.processor : processor),
    },
    memoryBytes: 100 * MiB,
    clock: { monotonic: () => now },
    ping: () => state.answers && queueMicrotask(() => watch.pong()),
  });
  /** Looks for so many milliseconds; returns what was found, and when. */
  const pass = async (milliseconds: number): Promise<[string | undefined, number]> => {
    const until = now + milliseconds;
    while (now < until) {
      now += LOOK_MS;
      processor += (LOOK_MS * state.perSecond) / 1000;
      const found = watch.look(LOOK_MS);
      await Promise.resolve();
      if (found !== undefined) return [found, now];
    }
    return [undefined, now];
  };
  return { state, watch, pass, stall: (milliseconds: number) => void (now += milliseconds) };
}

describe('a process that is looked at', () => {
  it('is well while it answers, however busy', async () => {
    const { state, pass } = patient();
    state.perSecond = 1000;
    expect((await pass(60_000))[0]).toBeUndefined();
  });

  it('hangs if it does not answer for two seconds and uses the processor', async () => {
    const { state, pass } = patient();
    state.answers = false;
    state.perSecond = 1000;
    expect(await pass(60_000)).toEqual(['unresponsive', 2050]);
  });

  it('may be slow while it gets no processor, for ten seconds', async () => {
    const { state, pass } = patient();
    state.answers = false;
    state.perSecond = 50;
    expect(await pass(60_000)).toEqual(['unresponsive', 10_050]);
  });

  it('is not blamed for the time in which we were held up', async () => {
    const { state, pass, stall } = patient();
    state.answers = false;
    state.perSecond = 1000;
    await pass(LOOK_MS);
    stall(30_000);
    expect((await pass(1000))[0]).toBeUndefined();
    expect((await pass(2000))[0]).toBe('unresponsive');
  });

  it('takes too much memory at the first look that says so', async () => {
    const { state, pass } = patient();
    state.memory = 100 * MiB;
    expect((await pass(1000))[0]).toBeUndefined();
    state.memory += 1;
    expect(await pass(1000)).toEqual(['memory', 1000 + LOOK_MS]);
  });

  it('is judged by its answers alone where the system tells nothing', async () => {
    const { state, pass } = patient({ memory: undefined as never, processor: undefined as never });
    expect((await pass(5000))[0]).toBeUndefined();
    state.answers = false;
    expect((await pass(20_000))[0]).toBe('unresponsive');
  });
});

describe('looks at a process', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  /** Returns what counts the looks of a time. */
  function watched(isBusy: () => boolean) {
    const pauses: number[] = [];
    const looks = lookRegularly((pauseMs) => void pauses.push(pauseMs), isBusy, { monotonic: Date.now });
    const during = (milliseconds: number): number[] => {
      pauses.length = 0;
      vi.advanceTimersByTime(milliseconds);
      return [...pauses];
    };
    return { looks, during };
  }

  it('are frequent while there is work, and for ten seconds after it', () => {
    let isBusy = true;
    const { during } = watched(() => isBusy);
    expect(during(60_000)).toEqual(Array.from({ length: 60_000 / LOOK_MS }, () => LOOK_MS));
    isBusy = false;
    expect(during(9_900)).toHaveLength(9_900 / LOOK_MS);
  });

  it('are rare after ten seconds without work, and tell how rare', () => {
    const { during } = watched(() => false);
    during(16_000);
    expect(during(10 * IDLE_LOOK_MS)).toEqual(Array.from({ length: 10 }, () => IDLE_LOOK_MS));
  });

  it('begin at once when work comes', () => {
    const { looks, during } = watched(() => false);
    during(30_000);
    looks.hurry();
    expect(during(1000).length).toBeGreaterThanOrEqual(1000 / LOOK_MS - 1);
    looks.stop();
    expect(during(60_000)).toEqual([]);
  });
});

describe('vital signs', () => {
  it('are read of a real process, whatever its name', async () => {
    const child = spawn(process.execPath, [
      '--title=a ) b',
      '-e',
      'while (process.cpuUsage().user < 300_000); setInterval(() => {}, 1000)',
    ]);
    const vitals = vitalSignsOf(child.pid ?? 0);
    await expect.poll(() => vitals.processorMs()).toBeGreaterThan(200);
    expect(vitals.memory()).toBeGreaterThan(5 * MiB);
    expect(vitals.memory()).toBeLessThan(200 * MiB);
    child.kill('SIGKILL');
  });

  it('of a process that is gone are unknown', () => {
    const vitals = vitalSignsOf(2 ** 22 + 1);
    expect([vitals.memory(), vitals.processorMs()]).toEqual([undefined, undefined]);
  });
});
