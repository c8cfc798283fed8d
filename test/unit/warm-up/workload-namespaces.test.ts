import { afterEach, expect, it } from 'vitest';

import {
  createWorkloadNamespaces,
  type WorkloadNamespaces,
  type WorkloadNamespacesOptions,
} from '../../../src/warm-up/workload-namespaces.ts';

const open: WorkloadNamespaces[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()));
});

function expectSoon(value: () => unknown) {
  return expect.poll(value, { timeout: 15_000 });
}

function setUp(change: Partial<WorkloadNamespacesOptions> = {}) {
  const looked: string[] = [];
  const scopes = new Map<string, 'in' | 'out'>();
  const namespaces = createWorkloadNamespaces({
    scopeOf: (name) => scopes.get(name) ?? 'gone',
    relist: (name) => {
      looked.push(name);
      return Promise.resolve();
    },
    pauseMs: 1,
    retryMs: 20,
    ...change,
  });
  open.push(namespaces);
  return { namespaces, looked, scopes };
}

it('looks at a namespace once for each time that something in it was passed over', async () => {
  const { namespaces, looked, scopes } = setUp();
  namespaces.skipped('a');
  scopes.set('a', 'out');
  namespaces.changed('a');
  scopes.set('a', 'in');
  namespaces.changed('a');
  namespaces.changed('a');
  namespaces.changed('b');
  await expectSoon(() => looked).toEqual(['a']);
  await expectSoon(() => namespaces.waiting).toBe(0);
  namespaces.changed('a');
  namespaces.skipped('a');
  namespaces.changed('a');
  await expectSoon(() => looked).toEqual(['a', 'a']);
});

it('looks again at a namespace that left the scope and came back, though nothing was passed over', async () => {
  const { namespaces, looked, scopes } = setUp();
  scopes.set('a', 'in');
  namespaces.changed('a');
  scopes.set('a', 'out');
  namespaces.changed('a');
  await expectSoon(() => namespaces.waiting).toBe(0);
  expect(looked).toEqual([]);
  scopes.set('a', 'in');
  namespaces.changed('a');
  await expectSoon(() => looked).toEqual(['a']);
});

it('forgets a namespace that is gone', async () => {
  const { namespaces, looked, scopes } = setUp();
  namespaces.skipped('a');
  namespaces.changed('a');
  await expectSoon(() => namespaces.waiting).toBe(0);
  scopes.set('a', 'in');
  namespaces.changed('a');
  expect([namespaces.waiting, looked]).toEqual([0, []]);
});

it('looks at one at a time, and tries again what failed', async () => {
  let failures = 2;
  let atOnce = 0;
  let most = 0;
  const { namespaces, looked, scopes } = setUp({
    relist: async (name) => {
      atOnce += 1;
      most = Math.max(most, atOnce);
      await new Promise((resolve) => {
        setTimeout(resolve, 5);
      });
      atOnce -= 1;
      looked.push(name);
      if (name !== 'a' || failures === 0) return;
      failures -= 1;
      throw new Error('the API server is away');
    },
  });
  for (const name of ['a', 'b', 'c']) {
    scopes.set(name, 'in');
    namespaces.skipped(name);
    namespaces.changed(name);
  }
  await expectSoon(() => looked).toEqual(['a', 'b', 'c', 'a', 'a']);
  await expectSoon(() => namespaces.waiting).toBe(0);
  expect(most).toBe(1);
});

it('ends what is under way when closed, and begins nothing then', async () => {
  const { namespaces, scopes } = setUp({
    relist: (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      }),
  });
  for (const name of ['a', 'b']) {
    scopes.set(name, 'in');
    namespaces.skipped(name);
  }
  namespaces.changed('a');
  await namespaces.close();
  namespaces.changed('b');
  expect(namespaces.waiting).toBeLessThanOrEqual(1);
});
