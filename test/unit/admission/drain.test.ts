import { describe, expect, it } from 'vitest';

import { createDrain } from '../../../src/admission/drain.ts';

/** As a process does that is not given the processor. */
function standStill(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

describe('a server that leaves', () => {
  it('waits until nobody has called for a while', async () => {
    const drain = createDrain({ quietMs: 50, mostMs: 10_000 });
    drain.enter();
    let left = false;
    const leaving = drain.start().then(() => (left = true));
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(left).toBe(false);
    expect(drain.draining).toBe(true);
    drain.leave();
    await leaving;
  });

  it('reads what has come in while it stood still: the time was quiet for it alone', async () => {
    const drain = createDrain({ quietMs: 20, mostMs: 10_000 });
    let left = false;
    // The next turn of the event loop has timers first, then what has come in, for which an immediate stands.
    await new Promise((resolve) => setImmediate(resolve));
    const leaving = drain.start().then(() => (left = true));
    setImmediate(() => drain.enter());
    standStill(100);
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(left).toBe(false);
    drain.leave();
    await leaving;
  });

  it('does not wait for ever', async () => {
    const drain = createDrain({ quietMs: 10_000, mostMs: 50 });
    drain.enter();
    await expect(drain.start()).resolves.toBeUndefined();
  });
});
