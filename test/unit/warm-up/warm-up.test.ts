import { afterEach, describe, expect, it } from 'vitest';

import type { ImageDetector } from '../../../src/detection/image-detector.ts';
import { MODE_LABEL } from '../../../src/policy/scope.ts';
import { systemClock } from '../../../src/util/clock.ts';
import { createWarmUp, type WarmUp, type WarmUpOptions } from '../../../src/warm-up/warm-up.ts';
import { facts, policy } from '../../support/policy.ts';
import { type RecordedLine, recordingReporter } from '../../support/recording-reporter.ts';
import { amd64, detectorFor, FakeRegistry } from '../detection/support.ts';
import { CRON_JOBS, deployment, DEPLOYMENTS, workloadApi } from './workload-support.ts';

/** The machine may be busy. */
function expectSoon(value: () => unknown) {
  return expect.poll(value, { timeout: 15_000 });
}

const open: { warmUp: WarmUp; detector: ImageDetector }[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).flatMap(({ warmUp, detector }) => [warmUp.stop(), detector.close()]));
});

const UNWATCHED = /^(over: )?workloads of kind (.+) cannot be watched: their images are not looked up ahead$/;

/** What the log says of an image or a kind of workloads. */
function toldIn({ message, fields }: RecordedLine): string {
  const { image, kind, code } = fields as Record<string, string>;
  if (message === 'looked up ahead') return `${image}`;
  if (message === 'the API server has no such workloads (yet)') return `${kind} not-found`;
  const [, over, unwatched] = UNWATCHED.exec(message) ?? [];
  if (unwatched === undefined) return message;
  return over === undefined ? `${unwatched} ${code}` : `${unwatched} watched`;
}

function setUp(more: Partial<WarmUpOptions> = {}) {
  const api = workloadApi();
  const registry = new FakeRegistry();
  const detector = detectorFor(registry);
  const modes = new Map<string, string | undefined>([['shop', 'enforce']]);
  const { reporter, lines, of } = recordingReporter();
  for (const name of ['one', 'two', 'three']) registry.add(name);
  const warmUp = createWarmUp({
    client: api.client,
    namespaces: {
      peek: (name) => {
        const mode = modes.get(name);
        if (!modes.has(name)) return undefined;
        return { name, labels: mode === undefined ? {} : { [MODE_LABEL]: mode } };
      },
      ready: Promise.resolve(),
    },
    config: policy(),
    cluster: () => facts,
    platform: amd64,
    detector,
    lookups: () => 0,
    limits: { hourly: {}, perSecond: 1000, burst: 1000 },
    clock: systemClock,
    reporter,
    backoff: { first: 20, most: 50 },
    ...more,
  });
  open.push({ warmUp, detector });
  return { api, registry, modes, warmUp, events: () => lines.map(toldIn), of };
}

/** Until the queue has had nothing to do for a while. */
async function idle(warmUp: WarmUp): Promise<void> {
  const now = () => warmUp.stats();
  await expectSoon(() => [now()?.unsynced, now()?.waiting, now()?.running, now()?.namespaces]).toEqual([0, 0, 0, 0]);
  await new Promise((resolve) => {
    setTimeout(resolve, 150);
  });
  expect([now()?.waiting, now()?.running]).toEqual([0, 0]);
}

describe('a workload in scope', () => {
  it('is looked up when it is there already, when it comes, and when its template changes', async () => {
    const { api, warmUp, events } = setUp();
    api.change(DEPLOYMENTS, 'ADDED', deployment('a', 'one'));
    warmUp.start();
    await expectSoon(events).toEqual(['one']);
    api.change(DEPLOYMENTS, 'ADDED', deployment('b', 'two'));
    await expectSoon(events).toEqual(['one', 'two']);
    api.change(DEPLOYMENTS, 'MODIFIED', deployment('b', 'three'));
    await expectSoon(events).toEqual(['one', 'two', 'three']);
    await idle(warmUp);
    expect(warmUp.stats()).toMatchObject({ workloads: 2, found: 3 });
  });

  it('is looked up by the template of its kind', async () => {
    const { api, warmUp, events } = setUp();
    const { spec } = deployment('', 'two');
    api.change(CRON_JOBS, 'ADDED', deployment('a', '', { spec: { jobTemplate: { spec } } }));
    warmUp.start();
    await expectSoon(events).toEqual(['two']);
  });

  it('is not looked at again for a new status, nor kept once it is gone', async () => {
    let peeks = 0;
    const namespaces = {
      peek: (name: string) => {
        peeks += 1;
        return { name, labels: { [MODE_LABEL]: 'enforce' } };
      },
      ready: Promise.resolve(),
    };
    const { api, warmUp, events } = setUp({ namespaces });
    warmUp.start();
    api.change(DEPLOYMENTS, 'ADDED', deployment('a', 'one'));
    await expectSoon(events).toEqual(['one']);
    const before = peeks;
    for (let replicas = 0; replicas < 20; replicas += 1) {
      api.change(DEPLOYMENTS, 'MODIFIED', deployment('a', 'one', { status: { replicas } }));
    }
    api.change(DEPLOYMENTS, 'ADDED', deployment('b', 'two'));
    await expectSoon(events).toEqual(['one', 'two']);
    expect(peeks - before).toBe(1);
    api.change(DEPLOYMENTS, 'DELETED', deployment('a', 'one'));
    await expectSoon(() => warmUp.stats()?.workloads).toBe(1);
  });

  it.each([
    ['is deleted', 'DELETED', 'two'],
    ['has changed', 'MODIFIED', 'three'],
  ] as const)('is forgotten where it %s before its turn', async (_, type, image) => {
    let leads = false;
    const { api, warmUp, events } = setUp({ mayAct: () => leads });
    warmUp.start();
    api.change(DEPLOYMENTS, 'ADDED', deployment('a', 'one'));
    api.change(DEPLOYMENTS, 'ADDED', deployment('b', 'two'));
    await expectSoon(() => warmUp.stats()).toMatchObject({ waiting: 2 });
    api.change(DEPLOYMENTS, type, deployment('b', image));
    await expectSoon(() => warmUp.stats()).toMatchObject(type === 'DELETED' ? { workloads: 1 } : { waiting: 3 });
    leads = true;
    await expectSoon(() => events().length).toBe(type === 'DELETED' ? 1 : 2);
    await idle(warmUp);
    expect([events(), warmUp.stats()]).toMatchObject([
      type === 'DELETED' ? ['one'] : ['one', 'three'],
      { forgotten: 1 },
    ]);
  });

  it('is looked up while the list of the others is still coming, and not twice where that fails', async () => {
    const { api, registry, warmUp, events } = setUp();
    for (let id = 0; id < 250; id += 1) {
      registry.add(`app-${id}`);
      api.change(DEPLOYMENTS, 'ADDED', deployment(`d${id}`, `app-${id}`));
    }
    api.failures.set(`${DEPLOYMENTS} page 2`, 'server');
    warmUp.start();
    await expectSoon(() => events().filter((event) => event.startsWith('app-')).length).toBe(100);
    expect(warmUp.stats()).toMatchObject({ unsynced: 1, workloads: 0, forgotten: 0 });
    await expectSoon(() => api.calls.filter((path) => path === DEPLOYMENTS).length).toBeGreaterThan(5);
    api.failures.clear();
    await expectSoon(() => warmUp.stats()?.workloads).toBe(250);
    await idle(warmUp);
    expect(warmUp.stats()).toMatchObject({ found: 250, known: 0, forgotten: 0 });
    expect(events().filter((event) => event.startsWith('app-')).length).toBe(250);
  });
});

describe('a namespace that comes into scope', () => {
  it('has its workloads looked up then', async () => {
    const { api, modes, warmUp, events } = setUp();
    modes.set('shop', undefined);
    warmUp.start();
    api.change(DEPLOYMENTS, 'ADDED', deployment('a', 'one'));
    api.change(
      CRON_JOBS,
      'ADDED',
      deployment('a', '', { spec: { jobTemplate: { spec: deployment('', 'two')['spec'] } } }),
    );
    await expectSoon(() => warmUp.stats()?.workloads).toBe(1 + 1);
    await idle(warmUp);
    warmUp.namespaceChanged('shop');
    await idle(warmUp);
    expect(events()).toEqual([]);
    modes.set('shop', 'audit');
    warmUp.namespaceChanged('shop');
    await expectSoon(events).toEqual(['one', 'two']);
    expect(api.calls).toContain('/apis/apps/v1/namespaces/shop/deployments');
  });

  it('is not listed where nothing in it was passed over, and it never left the scope', async () => {
    const { api, modes, warmUp, events } = setUp();
    warmUp.start();
    api.change(DEPLOYMENTS, 'ADDED', deployment('a', 'one'));
    await expectSoon(events).toEqual(['one']);
    for (const mode of ['audit', 'enforce']) {
      modes.set('shop', mode);
      warmUp.namespaceChanged('shop');
      warmUp.namespaceChanged('other');
    }
    await idle(warmUp);
    expect(api.calls.filter((path) => path.includes('/namespaces/'))).toEqual([]);
  });

  it('is looked at when its label becomes known after its workloads', async () => {
    const { api, modes, warmUp, events } = setUp();
    modes.delete('shop');
    warmUp.start();
    api.change(DEPLOYMENTS, 'ADDED', deployment('a', 'one'));
    await expectSoon(() => warmUp.stats()?.workloads).toBe(1);
    modes.set('shop', 'enforce');
    warmUp.namespaceChanged('shop');
    await expectSoon(events).toEqual(['one']);
  });

  it('is tried without the kinds that may not be listed', async () => {
    const { api, modes, warmUp, events } = setUp();
    modes.set('shop', 'off');
    warmUp.start();
    api.change(DEPLOYMENTS, 'ADDED', deployment('a', 'one'));
    await idle(warmUp);
    api.failures.set('/apis/apps/v1/namespaces/shop/statefulsets', 'forbidden');
    api.failures.set('/apis/apps/v1/namespaces/shop/daemonsets', 'not-found');
    modes.set('shop', 'enforce');
    warmUp.namespaceChanged('shop');
    await expectSoon(events).toEqual(['one']);
    await expectSoon(() => api.calls).toContain('/apis/batch/v1/namespaces/shop/jobs');
  });
});

describe('a kind that cannot be watched', () => {
  it.each(['not-found', 'forbidden', 'server'] as const)(
    '(%s) is told of once and tried on, while the others are watched',
    async (code) => {
      const path = '/apis/argoproj.io/v1alpha1/rollouts';
      const kind = { group: 'argoproj.io', version: 'v1alpha1', plural: 'rollouts', template: 'spec.template' };
      const { api, warmUp, events, of } = setUp({ extraKinds: [kind] });
      api.failures.set(path, code);
      api.change(path, 'ADDED', deployment('r', 'two'));
      api.change(DEPLOYMENTS, 'ADDED', deployment('a', 'one'));
      warmUp.start();
      await expectSoon(() => api.calls.filter((call) => call === path).length).toBeGreaterThan(3);
      expect(events().toSorted()).toEqual([`argoproj.io/rollouts ${code}`, 'one']);
      expect(of('cluster.apiFailed')).toEqual([['workloads', code]]);
      api.failures.clear();
      await expectSoon(events).toContain('two');
      // Nothing is over where the kind was not installed: that is no failure.
      const over = code === 'not-found' ? [] : ['argoproj.io/rollouts watched'];
      await expectSoon(() => events().slice(2).toSorted()).toEqual([...over, 'two']);
    },
  );

  it('is told of again for another reason', async () => {
    const { api, warmUp, events } = setUp();
    api.failures.set(DEPLOYMENTS, 'unreachable');
    warmUp.start();
    await expectSoon(events).toContain('apps/deployments unreachable');
    api.failures.set(DEPLOYMENTS, 'forbidden');
    await expectSoon(events).toEqual(['apps/deployments unreachable', 'apps/deployments forbidden']);
  });

  it('by configuration replaces the kind of the same name', async () => {
    const kind = { group: 'apps', version: 'v1', plural: 'deployments', template: 'spec.other' };
    const { api, warmUp, events } = setUp({ extraKinds: [kind] });
    api.change(
      DEPLOYMENTS,
      'ADDED',
      deployment('a', 'one', { spec: { other: { spec: { containers: [{ name: 'c', image: 'two' }] } } } }),
    );
    warmUp.start();
    await expectSoon(events).toEqual(['two']);
    expect(api.calls.filter((path) => path === DEPLOYMENTS).length).toBe(1);
  });
});

describe('starting and stopping', () => {
  it('nothing is asked before the namespaces are there, nor after it was stopped', async () => {
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    const peek = (name: string) => ({ name, labels: { [MODE_LABEL]: 'enforce' } });
    const { api, warmUp, events } = setUp({ namespaces: { peek, ready } });
    api.change(DEPLOYMENTS, 'ADDED', deployment('a', 'one'));
    warmUp.start();
    warmUp.start();
    await new Promise((done) => {
      setTimeout(done, 50);
    });
    expect(api.calls).toEqual([]);
    resolve();
    await expectSoon(events).toEqual(['one']);
    expect(api.calls.filter((path) => path === DEPLOYMENTS).length).toBe(1);

    await warmUp.stop();
    await warmUp.stop();
    expect([warmUp.stats(), api.watchers.get(DEPLOYMENTS)?.size]).toEqual([undefined, 0]);
    api.change(DEPLOYMENTS, 'ADDED', deployment('b', 'two'));
    warmUp.namespaceChanged('shop');

    warmUp.start();
    await expectSoon(() => events().toSorted()).toEqual(['one', 'one', 'two']);
    expect(warmUp.stats()).toMatchObject({ found: 1, known: 1 });
  });

  it('stopped before the namespaces are there, it never begins', async () => {
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    const { api, warmUp } = setUp({ namespaces: { peek: () => undefined, ready } });
    warmUp.start();
    await warmUp.stop();
    resolve();
    await new Promise((done) => {
      setTimeout(done, 50);
    });
    expect(api.calls).toEqual([]);
  });
});
