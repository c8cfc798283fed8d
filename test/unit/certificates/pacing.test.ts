import { describe, expect, it } from 'vitest';

import { repeatedly, writePace } from '../../../src/certificates/pacing.ts';

describe('turns', () => {
  it('never overlap; asking during one leads to one more', async () => {
    let running = 0;
    let most = 0;
    let turns = 0;
    const release: (() => void)[] = [];
    const loop = repeatedly(
      async () => {
        turns += 1;
        running += 1;
        most = Math.max(most, running);
        await new Promise<void>((resolve) => release.push(resolve));
        running -= 1;
      },
      () => 60_000,
    );
    for (let asked = 0; asked < 5; asked += 1) loop.now();
    expect(turns).toBe(1);
    release[0]?.();
    await expect.poll(() => turns).toBe(2);
    release[1]?.();
    await expect.poll(() => running).toBe(0);
    expect({ most, turns }).toEqual({ most: 1, turns: 2 });
    loop.now();
    expect(turns).toBe(3);
    const closed = loop.close();
    release[2]?.();
    await closed;
    loop.now();
    expect({ running, turns }).toEqual({ running: 0, turns: 3 });
  });

  it('go on by themselves', async () => {
    let turns = 0;
    const loop = repeatedly(
      async () => void (turns += 1),
      () => 5,
    );
    await expect.poll(() => turns).toBeGreaterThan(3);
    await loop.close();
  });
});

describe('the pace of writes', () => {
  const start = (): { pace: ReturnType<typeof writePace>; pass: (ms: number) => void } => {
    let now = 0;
    return {
      pace: writePace({ clock: { monotonic: () => now }, random: () => 1, most: 1000 }),
      pass: (ms) => void (now += ms),
    };
  };

  it('slows down while writes follow each other, to a limit', () => {
    const { pace, pass } = start();
    const waits = [0, 0, 0, 0, 0, 0].map(() => {
      pace.wrote();
      const wait = pace.waitMs();
      pass(wait);
      return wait;
    });
    expect(waits).toEqual([100, 200, 400, 800, 1000, 1000]);
    expect(pace.inRow).toBe(6);
  });

  it('forgets after some peace', () => {
    const { pace, pass } = start();
    pace.wrote();
    pace.wrote();
    pass(200 + 4 * 1000 + 1);
    expect(pace.waitMs()).toBe(0);
    pace.wrote();
    expect({ wait: pace.waitMs(), inRow: pace.inRow }).toEqual({ wait: 100, inRow: 1 });
  });

  it('waits up to half a minute after failures', () => {
    const { pace } = start();
    expect([0, 0, 0, 0, 0, 0, 0, 0, 0, 0].map(() => pace.failed())).toEqual([
      100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000,
    ]);
  });
});
