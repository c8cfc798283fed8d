import { expect, it } from 'vitest';
import { createLanes } from '../../lab/measure/lanes.ts';

interface Running {
  readonly waiting: () => void;
  readonly end: () => void;
}

/** Starts `count` tasks and shows those that run. */
function start(count: number, sizes: Parameters<typeof createLanes>[0]): Running[] {
  const running: Running[] = [];
  const lanes = createLanes(sizes);
  for (let task = 0; task < count; task += 1) {
    void lanes.run((waiting) => new Promise<void>((end) => running.push({ waiting, end })));
  }
  return running;
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it('a task that waits makes place for another, which its end does not do again', async () => {
  const running = start(5, { working: 1, underWay: 5 });
  await settled();
  expect(running).toHaveLength(1);
  running[0]?.waiting();
  running[0]?.waiting();
  await settled();
  expect(running).toHaveLength(2);
  running[0]?.end();
  await settled();
  expect(running).toHaveLength(2);
  running[1]?.end();
  await settled();
  expect(running).toHaveLength(3);
});

it('no more tasks than allowed are under way, though all wait', async () => {
  const running = start(5, { working: 5, underWay: 2 });
  await settled();
  for (const { waiting } of running) waiting();
  await settled();
  expect(running).toHaveLength(2);
});

it('a task that fails makes place too', async () => {
  const lanes = createLanes({ working: 1, underWay: 1 });
  await expect(lanes.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
  await expect(lanes.run(() => Promise.resolve('next'))).resolves.toBe('next');
});
