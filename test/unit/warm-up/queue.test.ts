import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { ImageDetector, ImageDetectorOptions } from '../../../src/detection/image-detector.ts';
import { systemClock } from '../../../src/util/clock.ts';
import type { WarmUpLogin, WarmUpOffer } from '../../../src/warm-up/backlog.ts';
import { createWarmUpQueue, type WarmUpQueue } from '../../../src/warm-up/queue.ts';
import type { WarmUpLimits, WarmUpQueueOptions } from '../../../src/warm-up/turn.ts';
import { type RecordedLine, recordingReporter } from '../../support/recording-reporter.ts';
import { amd64, detectorFor, FakeRegistry, login, minute, request, sourceError, within } from '../detection/support.ts';

const open: { queue: WarmUpQueue; detector: ImageDetector }[] = [];
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'Date', 'performance'] });
});
afterEach(async () => {
  const closing = open.splice(0).flatMap(({ queue, detector }) => [queue.close(), detector.close()]);
  if (vi.isFakeTimers()) await vi.runAllTimersAsync();
  await Promise.all(closing);
  vi.useRealTimers();
});

interface Given {
  readonly limits?: Partial<WarmUpLimits>;
  readonly options?: Partial<WarmUpQueueOptions>;
  readonly detection?: Partial<ImageDetectorOptions>;
}

/** What the log says of an image or a registry. */
function toldIn({ message, fields }: RecordedLine): string {
  const { image, from, failure, registry, ms, code } = fields as Record<string, string>;
  switch (message) {
    case 'looked up ahead':
      return `${image} ${failure ?? from}`;
    case 'no room to look an image up ahead: its first Pod will':
      return `${image} dropped`;
    case 'a registry is left alone by warm-up for a while':
      return `${registry} paused ${Number(ms) / 1000} s: ${code}`;
    default:
      return message;
  }
}

function setUp({ limits = {}, options = {}, detection = {} }: Given = {}) {
  const registry = new FakeRegistry();
  const detector = detectorFor(registry, detection);
  const lookups = (): number => detector.stats().underWay + detector.stats().queued;
  const { reporter, lines, of } = recordingReporter();
  const queue = createWarmUpQueue({
    detector,
    lookups,
    limits: { hourly: {}, ...limits },
    clock: systemClock,
    reporter,
    ...options,
  });
  open.push({ queue, detector });
  return { registry, detector, queue, events: () => lines.map(toldIn), of };
}

const offer = (reference: string, more: Partial<WarmUpOffer> = {}): WarmUpOffer => ({
  request: { reference, platform: amd64, command: [], args: [] },
  isWanted: () => true,
  ...more,
});

const loginOf = (scope: string, password: string): WarmUpLogin => ({
  scope,
  read: () => Promise.resolve([login('docker.io', password)]),
});

const seconds = async (count: number): Promise<void> => {
  await vi.advanceTimersByTimeAsync(count * 1000);
};

describe('images are looked up ahead', () => {
  it('each once, however many workloads want it', async () => {
    const { registry, queue } = setUp();
    for (let id = 0; id < 10; id += 1) registry.add(`app-${id}`);
    for (let index = 0; index < 200; index += 1) queue.offer(offer(`app-${index % 10}`));
    await seconds(10);
    expect(registry.manifestsOf.length).toBe(10);
    for (let index = 0; index < 200; index += 1) queue.offer(offer(`app-${index % 10}`));
    await seconds(10);
    expect(registry.manifestsOf.length).toBe(10);
    expect(queue.stats()).toMatchObject({ found: 10, known: 0, waiting: 0, bytes: 0, running: 0 });
  });

  it('again for another command line, which the detector may know about already', async () => {
    const { registry, queue } = setUp();
    registry.add('app', { decidedBy: 'entrypoint' });
    queue.offer(offer('app'));
    await seconds(1);
    queue.offer(offer('app', { request: { reference: 'app', platform: amd64, command: [], args: ['--verbose'] } }));
    await seconds(1);
    expect(registry.inspectionsOf.length).toBe(1);
    expect(queue.stats()).toMatchObject({ found: 1, known: 1 });
  });

  it('two at a time, a burst of ten and then two a second', async () => {
    const { registry, queue } = setUp();
    for (let id = 0; id < 30; id += 1) {
      registry.add(`app-${id}`, { delay: 20 });
      queue.offer(offer(`app-${id}`));
    }
    await seconds(1);
    const burst = registry.manifestsOf.length;
    expect([burst >= 10, burst <= 12, registry.most]).toEqual([true, true, 2]);
    await seconds(5);
    expect(registry.manifestsOf.length - burst).toBe(10);
    await seconds(30);
    expect(queue.stats()).toMatchObject({ found: 30, waiting: 0 });
  });

  it('at no cost where they are known: those do not count against the rate', async () => {
    const { registry, detector, queue } = setUp();
    for (let id = 0; id < 100; id += 1) {
      registry.add(`app-${id}`);
      const known = detector.detect(request(`app-${id}`), within(1000));
      await vi.advanceTimersByTimeAsync(1);
      await known;
    }
    for (let id = 0; id < 100; id += 1) queue.offer(offer(`app-${id}`));
    await seconds(1);
    expect(queue.stats()).toMatchObject({ found: 0, known: 100, waiting: 0 });
    expect(registry.manifestsOf.length).toBe(100);
  });

  it('never to see whether a known tag has moved: that is for Pods, and counts as a pull', async () => {
    const { registry, detector, queue } = setUp();
    registry.add('app');
    const known = detector.detect(request('app'), within(1000));
    await seconds(1);
    await known;
    await seconds(3600);
    queue.offer(offer('app'));
    await seconds(5);
    expect([queue.stats().known, registry.manifestsOf.length]).toEqual([1, 1]);
    await detector.detect(request('app'), within(1000));
    await seconds(1);
    expect(registry.manifestsOf.length).toBe(2);
  });

  it('not where nobody wants them any more', async () => {
    const { registry, queue } = setUp();
    registry.add('gone');
    registry.add('stays');
    queue.offer(offer('gone', { isWanted: () => false }));
    queue.offer(offer('stays', { isWanted: () => false }));
    queue.offer(offer('stays'));
    await seconds(1);
    expect(registry.manifestsOf).toEqual(['docker.io/library/stays:latest']);
    expect(queue.stats()).toMatchObject({ forgotten: 1, found: 1 });
    queue.offer(offer('gone'));
    await seconds(1);
    expect(registry.manifestsOf.length).toBe(2);
  });

  it('while we may act, and as soon as we may again', async () => {
    let leads = false;
    const { registry, queue } = setUp({ options: { mayAct: () => leads } });
    registry.add('app');
    queue.offer(offer('app'));
    await seconds(60);
    expect(registry.manifestsOf).toEqual([]);
    leads = true;
    await seconds(2);
    expect(registry.manifestsOf.length).toBe(1);
  });

  it('no more once closed', async () => {
    const { registry, queue } = setUp({ limits: { concurrency: 1 } });
    registry.add('slow', { delay: 5000 });
    registry.add('app');
    queue.offer(offer('slow'));
    queue.offer(offer('app'));
    await seconds(1);
    expect(queue.stats()).toMatchObject({ running: 1, waiting: 1 });
    await queue.close();
    queue.offer(offer('app'));
    await seconds(60);
    expect(registry.manifestsOf).toEqual(['docker.io/library/slow:latest']);
  });
});

describe("Pods' own look-ups", () => {
  it('go first', async () => {
    const { registry, detector, queue } = setUp();
    registry.add('of-a-pod', { delay: 3000 });
    registry.add('ahead');
    const pod = detector.detect(request('of-a-pod'), within(60_000));
    queue.offer(offer('ahead'));
    await seconds(5);
    expect(registry.manifestsOf).toEqual(['docker.io/library/of-a-pod:latest']);
    await seconds(2);
    await pod;
    expect(registry.manifestsOf.at(-1)).toBe('docker.io/library/ahead:latest');
  });

  it('that never end do not hold it up for ever', async () => {
    const { registry, queue } = setUp({ options: { lookups: () => 100 } });
    for (const name of ['a', 'b', 'c']) {
      registry.add(name);
      queue.offer(offer(name));
    }
    await seconds(29);
    expect(registry.manifestsOf.length).toBe(0);
    await seconds(3);
    expect(registry.manifestsOf.length).toBe(1);
    await seconds(62);
    expect(registry.manifestsOf.length).toBe(3);
  });
});

describe('what fails', () => {
  it.each(['rate-limited', 'unavailable'] as const)(
    '%s: the registry is left alone, longer each time',
    async (code) => {
      const { registry, queue, events } = setUp({ detection: { failureTtlMs: 1 } });
      registry.add('quay.io/a/one:1', { failure: { stage: 'manifest', error: sourceError(code, 'no') } });
      registry.add('quay.io/a/two:1');
      registry.add('ghcr.io/a/other:1');
      queue.offer(offer('quay.io/a/one:1'));
      await seconds(1);
      queue.offer(offer('quay.io/a/two:1'));
      queue.offer(offer('ghcr.io/a/other:1'));
      await seconds(1);
      expect(registry.manifestsOf).toEqual(['quay.io/a/one:1', 'ghcr.io/a/other:1']);
      expect(queue.stats()).toMatchObject({ pausedHosts: 1, waiting: 2 });
      await seconds(3600);
      expect(registry.manifestsOf).toContain('quay.io/a/two:1');
      expect(events().filter((event) => event.startsWith('quay.io paused')).length).toBe(5);
      expect(events()).toContain(`quay.io paused 60 s: ${code}`);
      expect(queue.stats()).toMatchObject({
        failed: 1,
        found: 2,
        waiting: 0,
        pausedHosts: expect.any(Number) as number,
      });
    },
  );

  it.each(['forbidden-host', 'no-platform', 'not-an-image', 'invalid-answer'] as const)(
    '%s: is not tried a second time',
    async (code) => {
      const { registry, queue } = setUp({ detection: { failureTtlMs: 1 } });
      registry.add('app', { failure: { stage: 'layers', error: sourceError(code, 'no') } });
      queue.offer(offer('app'));
      await seconds(5);
      queue.offer(offer('app'));
      await seconds(3600);
      expect(registry.manifestsOf.length).toBe(1);
      expect(queue.stats()).toMatchObject({ failed: 1, waiting: 0, pausedHosts: 0 });
    },
  );

  it('for want of a login is tried with that of another workload, never with the same one', async () => {
    const { registry, queue, events } = setUp();
    registry.add('private', { password: 'right' });
    queue.offer(offer('private', { login: loginOf('a', 'wrong') }));
    queue.offer(offer('private', { login: loginOf('a', 'wrong') }));
    queue.offer(offer('private', { login: loginOf('b', 'right') }));
    await seconds(5);
    expect(events()).toEqual(['private unauthorized', 'private registry']);
    queue.offer(offer('private', { login: loginOf('c', 'wrong') }));
    await seconds(5);
    expect(events().length).toBe(2);
  });

  it('for want of a login is tried when a workload with another one comes', async () => {
    const { registry, queue, events } = setUp();
    registry.add('private', { password: 'right' });
    queue.offer(offer('private', { login: loginOf('a', 'wrong') }));
    await seconds(5);
    queue.offer(offer('private', { login: loginOf('a', 'wrong') }));
    await seconds(5);
    expect(events()).toEqual(['private unauthorized']);
    queue.offer(offer('private', { login: loginOf('b', 'right') }));
    await seconds(5);
    expect(events()).toEqual(['private unauthorized', 'private registry']);
  });

  it('to give its logins is looked up as anybody', async () => {
    const { registry, queue } = setUp();
    registry.add('public');
    queue.offer(offer('public', { login: { scope: 'a', read: () => Promise.reject(new Error('no API server')) } }));
    await seconds(1);
    expect(queue.stats()).toMatchObject({ found: 1 });
  });

  it('to answer in time makes its registry be left alone', async () => {
    vi.useRealTimers();
    const { registry, queue, events } = setUp({ limits: { lookupMs: 20 }, detection: { backgroundMs: 50 } });
    registry.add('app', { delay: 60_000 });
    queue.offer(offer('app'));
    await expect.poll(events).toEqual(['app deadline', 'docker.io paused 60 s: deadline']);
    expect(queue.stats()).toMatchObject({ waiting: 1, running: 0, pausedHosts: 1 });
  });

  it('for lack of room in the detector is tried again', async () => {
    const { registry, detector, queue, events } = setUp({
      detection: { concurrency: 1, queue: 0, backgroundMs: 600_000 },
      options: { lookups: () => 0 },
    });
    registry.add('slow', { delay: 1000 });
    registry.add('app');
    registry.add('other.example/known');
    const known = detector.detect(request('other.example/known'), within(minute));
    await seconds(1);
    await known;
    const pod = detector.detect(request('slow'), within(10 * minute));
    queue.offer(offer('app'));
    queue.offer(offer('other.example/known'));
    await seconds(2);
    // Only this registry rests: others may have room.
    expect(events()).toEqual(['app shed', 'other.example/known memory']);
    await seconds(20);
    await pod;
    expect(events().slice(2)).toEqual(['app registry']);
  });
});

describe('bounds', () => {
  it('what there is no room for is dropped, counted each time and told once', async () => {
    const { registry, queue, events, of } = setUp({ limits: { items: 3 } });
    for (let id = 0; id < 5; id += 1) {
      registry.add(`app-${id}`);
      queue.offer(offer(`app-${id}`));
    }
    expect(of('cluster.warmedUp')).toEqual([['dropped'], ['dropped']]);
    expect(events()).toEqual(['app-3 dropped']);
    await seconds(5);
    expect(events().slice(1)).toEqual(['app-0 registry', 'app-1 registry', 'app-2 registry']);
    expect(queue.stats()).toMatchObject({ found: 3, dropped: 2 });
    queue.offer(offer('app-4'));
    await seconds(5);
    expect(queue.stats()).toMatchObject({ found: 4, dropped: 2 });
  });

  it('command lines count by their size', () => {
    const { queue } = setUp({ limits: { bytes: 100_000 } });
    const long = { platform: amd64, command: ['x'.repeat(40_000)], args: [] };
    queue.offer(offer('a', { request: { reference: 'a', ...long } }));
    queue.offer(offer('b', { request: { reference: 'b', ...long } }));
    expect(queue.stats()).toMatchObject({ waiting: 1, dropped: 1 });
  });

  it('an hourly limit of a registry holds back its images alone, under each of its names', async () => {
    const { registry, queue } = setUp({ limits: { hourly: { 'docker.io': 3 } } });
    const hub = ['a', 'docker.io/library/b', 'index.docker.io/library/c', 'd', 'team/e'];
    for (const name of [...hub, 'localhost:5000/f', 'ghcr.io/g/g']) {
      registry.add(name);
      queue.offer(offer(name));
    }
    await seconds(60);
    expect(registry.manifestsOf.length).toBe(5);
    await seconds(1200);
    expect(registry.manifestsOf.length).toBe(6);
    await seconds(1200);
    expect(queue.stats()).toMatchObject({ found: 7, waiting: 0 });
  });

  const aheadOf = (
    { registry, queue }: ReturnType<typeof setUp>,
    reference: string,
    tenant: string,
    more = {},
  ): void => {
    registry.add(reference, more);
    queue.offer(offer(reference, { request: { reference, platform: amd64, command: [], args: [], tenant } }));
  };

  it('what one namespace has too much of gives way to what others have', async () => {
    const given = setUp({ limits: { items: 10 } });
    for (let id = 0; id < 1000; id += 1) aheadOf(given, `greedy.example/app-${id}`, 'greedy');
    for (let id = 0; id < 8; id += 1) aheadOf(given, `quiet.example/app-${id}`, 'quiet');
    await seconds(10);
    const names = given.registry.manifestsOf.map((name) => name.split('.')[0]);
    expect(names.filter((name) => name === 'quiet').length).toBe(5);
    expect(names.filter((name) => name === 'greedy').length).toBe(5);
    expect(given.queue.stats()).toMatchObject({ dropped: 998, waiting: 0 });
  });

  it('hosts that hang, of one namespace, leave a place to others', async () => {
    const given = setUp();
    for (let id = 0; id < 100; id += 1) aheadOf(given, `hangs-${id}.example/app`, 'greedy', { delay: 600_000 });
    for (let id = 0; id < 8; id += 1) aheadOf(given, `quiet.example/app-${id}`, 'quiet');
    await seconds(5);
    expect(given.queue.stats()).toMatchObject({ found: 8, running: 2 });
  });

  it('an image that another namespace wants too does not wait behind all others of the first', async () => {
    const given = setUp({ limits: { burst: 1 } });
    for (let id = 0; id < 500; id += 1) aheadOf(given, `greedy.example/app-${id}`, 'greedy');
    aheadOf(given, 'greedy.example/app-499', 'quiet');
    await seconds(3);
    expect(given.registry.manifestsOf.slice(0, 3)).toContain('greedy.example/app-499:latest');
  });

  it('namespaces take turns, however many registries one of them names', async () => {
    const given = setUp({ limits: { concurrency: 1 } });
    for (let id = 0; id < 6; id += 1) aheadOf(given, `host-${id}.example/app:1`, 'greedy');
    for (let id = 0; id < 3; id += 1) aheadOf(given, `quiet.example/app-${id}:1`, 'quiet');
    await seconds(1);
    expect(given.registry.manifestsOf.slice(0, 6).map((name) => name.split('.')[0])).toEqual([
      'host-0',
      'quiet',
      'host-1',
      'quiet',
      'host-2',
      'quiet',
    ]);
  });

  it('registries take turns', async () => {
    const { registry, queue } = setUp({ limits: { burst: 1, concurrency: 1 } });
    for (const name of ['a.io/1', 'a.io/2', 'a.io/3', 'b.io/1', 'c.io/1']) {
      registry.add(name);
      queue.offer(offer(name));
    }
    await seconds(10);
    const hosts = registry.manifestsOf.map((name) => name.slice(0, 1));
    expect(hosts.join('')).toBe('abcaa');
  });
});
