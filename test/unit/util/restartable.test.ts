import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';

import { createRestartable } from '../../../src/util/restartable.ts';

describe('something that may be started again', () => {
  it('begins once, and anew after it was stopped', async () => {
    let begun = 0;
    const runs = createRestartable(
      () => (begun += 1),
      async () => {},
    );
    expect(runs.running).toBeUndefined();
    runs.start();
    runs.start();
    expect([begun, runs.running]).toEqual([1, 1]);
    await runs.stop();
    expect(runs.running).toBeUndefined();
    runs.start();
    expect(runs.running).toBe(2);
  });

  it('is stopped when all earlier runs have ended, too', async () => {
    const ends: (() => void)[] = [];
    const runs = createRestartable(
      () => ({}),
      () => new Promise<void>((resolve) => void ends.push(resolve)),
    );
    runs.start();
    const first = runs.stop();
    runs.start();
    let isOver = false;
    const second = runs.stop().then(() => (isOver = true));
    ends[1]?.();
    await turn();
    expect(isOver).toBe(false);
    ends[0]?.();
    await Promise.all([first, second]);
    expect(isOver).toBe(true);
  });
});
