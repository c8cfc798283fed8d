import { getEventListeners } from 'node:events';

import { describe, expect, it } from 'vitest';

import { createImageDetector } from '../../../src/detection/image-detector.ts';
import { createImageReader, type ImageReader } from '../../../src/detection/reader/image-reader.ts';
import { recordingReporter } from '../../support/recording-reporter.ts';
import { detectorFor, expectNothingUnhandled, FakeRegistry, noDeadline, request, sleep, within } from './support.ts';

expectNothingUnhandled();

const HOUR = 3_600_000;

describe('one look-up', () => {
  it('finds out once and answers from memory from then on, at no cost', async () => {
    const registry = new FakeRegistry();
    registry.add('nginx:1.29-alpine');
    const detector = detectorFor(registry);
    const first = await detector.detect(request('nginx:1.29-alpine'), noDeadline);
    expect(first).toEqual({
      verdict: {
        resolver: 'musl',
        libc: 'musl',
        evidence: { source: 'executable', detail: '/bin/x of sha256:nginx:1.29-alpine', confidence: 0.99 },
      },
      digest: 'sha256:nginx:1.29-alpine',
      platform: { os: 'linux', architecture: 'amd64' },
      executable: '/bin/x',
      from: 'registry',
      meter: { requests: 2, bytes: 1100 },
    });
    const second = await detector.detect(request('docker.io/library/nginx:1.29-alpine'), noDeadline);
    expect(second).toEqual({ ...first, from: 'memory', meter: { requests: 0, bytes: 0 } });
    expect(registry.manifestsOf).toHaveLength(1);
  });

  it('gives every waiter of a shared look-up its whole cost, and counts it once for metrics', async () => {
    const registry = new FakeRegistry();
    registry.add('app', { delay: 10 });
    const { reporter, of } = recordingReporter();
    const detector = detectorFor(registry, { reporter });
    const answers = await Promise.all([1, 2, 3].map(() => detector.detect(request('app'), noDeadline)));
    expect(answers.map(({ meter }) => meter)).toEqual([1, 2, 3].map(() => ({ requests: 2, bytes: 1100 })));
    expect(of('lookedUp')).toEqual([['none', expect.any(Number), 1100]]);
    expect(of('detected')).toEqual([1, 2, 3].map(() => ['registry', 'none']));
  });

  it('is shared by Pods with the same command line and not by others', async () => {
    const registry = new FakeRegistry();
    registry.add('app', { delay: 5 });
    const detector = detectorFor(registry);
    const words = [
      { command: ['a', 'b'] },
      { command: ['a', 'b'] },
      { command: ['a b'] },
      { command: ['a'], args: ['b'] },
      { args: ['a', 'b'] },
      {},
      { platform: { os: 'linux', architecture: 'arm64' } },
    ];
    await Promise.all(words.map((more) => detector.detect(request('app', more), noDeadline)));
    expect(registry.inspectionsOf).toHaveLength(6);
    // Two tags of one image: the second costs its manifest only.
    registry.add('app:v1', { digest: 'sha256:app' });
    const alias = await detector.detect(request('app:v1'), noDeadline);
    expect(alias).toMatchObject({
      from: 'registry',
      verdict: { resolver: 'musl' },
      meter: { requests: 1, bytes: 100 },
    });
    expect(registry.inspectionsOf).toHaveLength(6);
  });

  it('trusts no other repository about a digest', async () => {
    const registry = new FakeRegistry();
    registry.add('evil.example/x:1', { digest: 'sha256:same', resolver: 'glibc' });
    registry.add('nginx:1', { digest: 'sha256:same', resolver: 'musl' });
    const detector = detectorFor(registry);
    await detector.detect(request('evil.example/x:1'), noDeadline);
    const { verdict } = await detector.detect(request('nginx:1'), noDeadline);
    expect(verdict.resolver).toBe('musl');
  });
});

it('wakes the reader while the logins of a new image are read, and for no known image', async () => {
  const registry = new FakeRegistry();
  registry.add('app');
  const local = { sources: registry, inspect: registry.inspect, tagTtlMs: HOUR, clock: { now: () => 0 } };
  const order: string[] = [];
  const reader: ImageReader = { ...createImageReader(local), wake: () => void order.push('woken') };
  const detector = createImageDetector({ ...local, reader, entries: 10, failureTtlMs: HOUR });
  const credentials = async () => {
    await sleep(5);
    order.push('logged in');
    return [];
  };
  await detector.detect(request('app', { credentials }), noDeadline);
  await detector.detect(request('app', { credentials }), noDeadline);
  expect(order).toEqual(['woken', 'logged in']);
});

describe('deadlines', () => {
  it('lets a waiter go at its deadline, goes on in the background and answers the next from memory', async () => {
    const registry = new FakeRegistry();
    registry.add('slow', { delay: 40 });
    const detector = detectorFor(registry);
    const [early, patient] = await Promise.all([
      detector.detect(request('slow'), within(10)),
      detector.detect(request('slow'), noDeadline),
    ]);
    expect(early).toMatchObject({
      from: 'none',
      failure: { code: 'deadline' },
      meter: { requests: 1, bytes: 0 },
      verdict: {
        resolver: 'unknown',
        evidence: {
          detail: 'the look-up did not finish in the time a Pod may wait; it goes on for the next one (deadline)',
        },
      },
    });
    expect(patient.verdict.resolver).toBe('musl');
    expect(await detector.detect(request('slow'), within(10))).toMatchObject({ from: 'memory' });
    expect(registry.manifestsOf).toHaveLength(1);
  });

  it('begins a look-up even where no time is left, for the next Pod', async () => {
    const registry = new FakeRegistry();
    registry.add('late', { delay: 5 });
    const detector = detectorFor(registry);
    const { failure } = await detector.detect(request('late'), AbortSignal.abort());
    expect(failure?.code).toBe('deadline');
    await expect.poll(() => detector.detect(request('late'), AbortSignal.abort())).toMatchObject({ from: 'memory' });
  });

  it('ends a look-up that goes on for too long, though others keep coming to wait for it', async () => {
    const registry = new FakeRegistry();
    registry.add('hangs', { delay: 60_000 });
    const detector = detectorFor(registry, { backgroundMs: 60 });
    const began = performance.now();
    const seen = new Set<string | undefined>();
    while (!seen.has('unavailable') && performance.now() - began < 5000) {
      seen.add((await detector.detect(request('hangs'), within(15))).failure?.code);
    }
    expect([...seen]).toEqual(['deadline', 'unavailable']);
    expect(registry.manifestsOf).toHaveLength(1);
    expect(detector.stats().underWay).toBe(0);
    // And for a while it is not tried again.
    const { failure } = await detector.detect(request('hangs'), noDeadline);
    expect(failure).toEqual({
      code: 'unavailable',
      message: 'the look-up did not end within 60 ms after the Pod had to be answered',
    });
  });

  it('leaves no listeners on the signals it was given', async () => {
    const registry = new FakeRegistry();
    registry.add('app', { delay: 5 });
    const detector = detectorFor(registry);
    const { signal } = new AbortController();
    await Promise.all(Array.from({ length: 40 }, () => detector.detect(request('app'), signal)));
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});

describe('many look-ups at once', () => {
  it('answers 1,000 requests for 50 unseen images inside their deadline with 50 look-ups', async () => {
    const registry = new FakeRegistry();
    const names = Array.from({ length: 50 }, (_, index) => `image-${index}:1`);
    // Two waves through 32 slots take 2.4 s: the later ones miss the deadline.
    for (const name of names) registry.add(name, { delay: 600, resolver: 'glibc' });
    const detector = detectorFor(registry);
    const deadline = within(1800);
    const all = Array.from({ length: 1000 }, (_, index) => detector.detect(request(names[index % 50]!), deadline));
    const answers = await Promise.all(all);
    expect(detector.stats().underWay).toBe(18);
    const known = answers.filter(({ verdict }) => verdict.resolver === 'glibc').length;
    const late = answers.filter(({ failure }) => failure?.code === 'deadline').length;
    expect([known, late]).toEqual([32 * 20, 18 * 20]);
    await expect.poll(() => detector.stats().underWay).toBe(0);
    const later = await Promise.all(names.map((name) => detector.detect(request(name), within(50))));
    expect(later.every(({ from, verdict }) => from === 'memory' && verdict.resolver === 'glibc')).toBe(true);
    expect([registry.manifestsOf.length, registry.inspectionsOf.length, registry.most]).toEqual([50, 50, 32]);
  });

  it('sheds what it can neither begin nor queue, at once, and does not hold it against the image', async () => {
    const registry = new FakeRegistry();
    for (const name of ['a', 'b', 'c', 'd']) registry.add(name, { delay: 20 });
    const detector = detectorFor(registry, { concurrency: 1, queue: 2 });
    const answers = ['a', 'b', 'c'].map((name) => detector.detect(request(name), noDeadline));
    expect(detector.stats()).toMatchObject({ underWay: 1, queued: 2 });
    const shed = await detector.detect(request('d'), noDeadline);
    expect(shed).toMatchObject({ from: 'none', failure: { code: 'shed' }, meter: { requests: 0, bytes: 0 } });
    // The newest first; the one that was shed never.
    await Promise.all(answers);
    expect(registry.manifestsOf.map((name) => name.slice(-8, -7))).toEqual(['a', 'c', 'b']);
    expect((await detector.detect(request('d'), noDeadline)).from).toBe('registry');
  });

  it('gives the place of look-ups that nobody waits for to those somebody waits for', async () => {
    const registry = new FakeRegistry();
    for (let index = 0; index < 6; index += 1) registry.add(`hangs-${index}`, { delay: 60_000 });
    registry.add('good');
    const detector = detectorFor(registry, { concurrency: 2, queue: 4, backgroundMs: 600 });
    const hanging = Array.from({ length: 6 }, (_, index) => detector.detect(request(`hangs-${index}`), within(10)));
    await Promise.all(hanging);
    expect(detector.stats()).toMatchObject({ underWay: 2, queued: 4 });
    await sleep(120);
    const { verdict } = await detector.detect(request('good'), within(400));
    expect(verdict.resolver).toBe('musl');
    await detector.close();
  });

  it('holds it against no image that its look-up gave way to those of another namespace', async () => {
    const registry = new FakeRegistry();
    registry.add('slow', { delay: 60_000 });
    registry.add('good');
    const detector = detectorFor(registry, { concurrency: 1, backgroundMs: 300 });
    const slow = detector.detect(request('slow', { tenant: 'a' }), noDeadline);
    expect((await detector.detect(request('good', { tenant: 'b' }), within(1000))).verdict.resolver).toBe('musl');
    expect((await slow).failure?.code).toBe('deadline');
    registry.add('slow', { delay: 0 });
    expect((await detector.detect(request('slow', { tenant: 'a' }), noDeadline)).from).toBe('registry');
  });
});

describe('closing', () => {
  it('ends what is under way and what waits, and answers nothing from then on', async () => {
    const registry = new FakeRegistry();
    for (const name of ['a', 'b']) registry.add(name, { delay: 60_000 });
    const detector = detectorFor(registry, { concurrency: 1 });
    const answers = ['a', 'b'].map((name) => detector.detect(request(name), noDeadline));
    await expect.poll(() => registry.manifestsOf).toHaveLength(1);
    await detector.close();
    expect(detector.stats()).toMatchObject({ underWay: 0, queued: 0, failures: 0 });
    answers.push(detector.detect(request('a'), noDeadline));
    for (const { verdict, failure } of await Promise.all(answers)) {
      expect(verdict.resolver).toBe('unknown');
      expect(failure).toEqual({ code: 'disabled', message: 'image detection is shutting down' });
    }
    expect(registry.manifestsOf).toHaveLength(1);
    await detector.close();
  });
});
