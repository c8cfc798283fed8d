import { setImmediate as round, setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { createFairThread, type ThreadWork } from '../../../../src/util/limits/fair-thread.ts';

const never = new AbortController().signal;

/** Keeps the thread busy for so many milliseconds of its own time. */
function spin(ms: number): void {
  const began = process.threadCpuUsage();
  const used = (): number => {
    const { user, system } = process.threadCpuUsage(began);
    return (user + system) / 1000;
  };
  while (used() < ms);
}

/** Returns work that notes its name each time it goes on, and uses `ms` of the thread then, so many times. */
async function busy(name: string, work: ThreadWork, log: string[], times: number, ms = 6): Promise<void> {
  for (let count = 0; count < times; count += 1) {
    spin(ms);
    await work.due();
    log.push(name);
  }
}

describe('a thread that tenants share', () => {
  it('does not let work wait that has used less than a slice', () => {
    const work = createFairThread({ sliceMs: 1000 }).work('team', 'prompt', never);
    spin(5);
    expect(work.due()).toBeUndefined();
  });

  it('does not charge work for what the thread did before it began', () => {
    const thread = createFairThread({ sliceMs: 4 });
    for (const tenant of ['first', 'second']) {
      spin(20);
      const work = thread.work(tenant, 'prompt', never);
      expect(work.due()).toBeUndefined();
      expect(work.usedMs).toBeLessThan(4);
    }
  });

  it('gives other events their turn after a slice, and then a new slice', async () => {
    const work = createFairThread({ sliceMs: 4 }).work('team', 'prompt', never);
    spin(5);
    let others = false;
    setImmediate(() => {
      others = true;
    });
    const turn = work.due();
    expect(turn).toBeInstanceOf(Promise);
    await turn;
    expect(others).toBe(true);
    expect(work.due()).toBeUndefined();
  });

  it('lets one go on in each round of the event loop, however many wait', async () => {
    const thread = createFairThread({ sliceMs: 4 });
    const log: string[] = [];
    const works = Array.from({ length: 8 }, (_, at) => busy(`${at}`, thread.work('greedy', 'prompt', never), log, 1));
    let rounds = 0;
    while (log.length < works.length) {
      await round();
      rounds += 1;
      expect(log.length).toBeLessThanOrEqual(rounds + 1);
    }
    await Promise.all(works);
    expect(rounds).toBeGreaterThanOrEqual(works.length - 1);
  });

  it('takes the tenant first that used it least', async () => {
    const thread = createFairThread({ sliceMs: 4 });
    const log: string[] = [];
    const greedy = Array.from({ length: 4 }, () => busy('greedy', thread.work('greedy', 'prompt', never), log, 3));
    const modest = busy('modest', thread.work('modest', 'prompt', never), log, 2);
    await Promise.all([...greedy, modest]);
    // It used 24 ms before the first turn, the other 6 and 12.
    expect(log.slice(0, 2)).toEqual(['modest', 'modest']);
    expect(log).toHaveLength(14);
  });

  it('counts the work of a tenant together', () => {
    const thread = createFairThread({ sliceMs: 50 });
    const works = Array.from({ length: 3 }, () => thread.work('team', 'prompt', never));
    const waits = works.map((work) => {
      spin(20);
      return work.due();
    });
    expect(waits.map(Boolean)).toEqual([false, false, true]);
    spin(20);
    expect(thread.work('other', 'prompt', never).due()).toBeUndefined();
  });

  it('lets background work wait for all other work', async () => {
    const thread = createFairThread({ sliceMs: 4 });
    const log: string[] = [];
    const scan = busy('scan', thread.work('modest', 'background', never), log, 1);
    const lookUps = [1, 2].map(() => busy('look-up', thread.work('greedy', 'prompt', never), log, 1, 30));
    await Promise.all([scan, ...lookUps]);
    expect(log).toEqual(['look-up', 'look-up', 'scan']);
  });

  it('lets nothing wait whose signal has aborted', async () => {
    const thread = createFairThread({ sliceMs: 4 });
    const end = new AbortController();
    const early = thread.work('team', 'prompt', end.signal);
    spin(5);
    const waiting = early.due();
    end.abort(new Error('too late'));
    await expect(waiting).rejects.toThrow('too late');
    const late = thread.work('team', 'prompt', end.signal);
    spin(5);
    await expect(late.due()).rejects.toThrow('too late');
  });

  it('goes on after a pause without work', async () => {
    const work = createFairThread({ sliceMs: 4 }).work('team', 'prompt', never);
    for (let count = 0; count < 2; count += 1) {
      spin(5);
      const turn = work.due();
      expect(turn).toBeInstanceOf(Promise);
      await turn;
      await sleep(5);
    }
  });

  it('counts what the work has used, not how long it waited', async () => {
    const work = createFairThread({ sliceMs: 4 }).work('team', 'prompt', never);
    spin(10);
    await work.due();
    await sleep(100);
    spin(5);
    const turn = work.due();
    // Others, while it waits for its turn.
    spin(100);
    await turn;
    spin(2);
    await work.due();
    expect(work.usedMs).toBeGreaterThanOrEqual(12);
    expect(work.usedMs).toBeLessThan(60);
  });
});
