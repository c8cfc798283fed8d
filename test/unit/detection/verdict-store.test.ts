import { describe, expect, it } from 'vitest';

import type { StoredVerdict, StoreQuery, VerdictStore } from '../../../src/detection/verdict-store.ts';
import type { Verdict } from '../../../src/policy/verdict.ts';
import { noQuarantine } from '../../support/local-detector.ts';
import { recordingReporter } from '../../support/recording-reporter.ts';
import {
  amd64,
  detectorFor,
  FakeRegistry,
  handClock,
  minute,
  noDeadline,
  request,
  sleep,
  sourceError,
  within,
} from './support.ts';

/** A store in memory, as replicas would share one. */
function memoryStore() {
  const held = new Map<string, StoredVerdict>();
  const says = new Map<string, Verdict>();
  const puts: StoredVerdict[] = [];
  const keysOf = ({ runs, ...image }: StoreQuery) => runs.map((run) => JSON.stringify({ ...image, run }));
  const store: VerdictStore = {
    ...noQuarantine,
    declared: ({ image }) => says.get(image),
    get: (query) =>
      keysOf(query)
        .map((key) => held.get(key))
        .find((found) => found !== undefined),
    put: (key, verdict) => {
      puts.push(verdict);
      held.set(JSON.stringify(key), verdict);
    },
    forget: (query) => keysOf(query).forEach((key) => held.delete(key)),
  };
  return { held, says, puts, store };
}

const declaredGlibc: Verdict = {
  resolver: 'glibc',
  libc: 'glibc',
  evidence: { source: 'store', detail: 'declared', confidence: 1 },
};

/** What older rules found of all that the store holds. */
function makeOutdated(held: Map<string, StoredVerdict>): void {
  for (const [key, { inspection, checkedAt }] of held) {
    held.set(key, { inspection: { ...inspection, outdated: true }, checkedAt });
  }
}

describe('a shared store', () => {
  it('spares other replicas the registry', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1');
    const { store, held } = memoryStore();
    const clock = handClock();
    const [one, two] = [detectorFor(registry, { store, clock }), detectorFor(registry, { store, clock })];
    const first = await one.detect(request('app:1'), noDeadline);
    expect([...held.values()]).toEqual([
      {
        inspection: { verdict: first.verdict, digest: 'sha256:app:1', platform: amd64, executable: '/bin/x' },
        checkedAt: clock.now(),
      },
    ]);
    expect(JSON.parse([...held.keys()][0]!)).toEqual({
      image: 'docker.io/library/app:1',
      platform: amd64,
      run: expect.stringMatching(/^[\w+/]{43}=$/u),
    });
    const second = await two.detect(request('app:1'), noDeadline);
    expect(second).toEqual({ ...first, from: 'store', meter: { requests: 0, bytes: 0 } });
    expect((await two.detect(request('app:1'), noDeadline)).from).toBe('memory');
    expect(registry.manifestsOf).toHaveLength(1);
  });

  it('answers while every slot for look-ups is taken', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1');
    registry.add('hangs', { delay: 60_000 });
    const { store } = memoryStore();
    await detectorFor(registry, { store }).detect(request('app:1'), noDeadline);
    const detector = detectorFor(registry, { store, concurrency: 1, queue: 0 });
    const hanging = detector.detect(request('hangs'), within(50));
    expect((await detector.detect(request('app:1'), noDeadline)).from).toBe('store');
    await hanging;
    await detector.close();
  });

  it('is asked for all command lines that led to the same', async () => {
    const registry = new FakeRegistry();
    registry.add('job', { decidedBy: 'entrypoint' });
    const { store, held } = memoryStore();
    for (const id of ['1', '2'])
      await detectorFor(registry, { store }).detect(request('job', { args: [id] }), noDeadline);
    expect([held.size, registry.inspectionsOf.length]).toEqual([1, 1]);
  });

  it('answers with what is stale in it, and the registry is asked in the background', async () => {
    const registry = new FakeRegistry();
    const image = registry.add('app:1');
    const { store } = memoryStore();
    const clock = handClock();
    await detectorFor(registry, { store, clock }).detect(request('app:1'), noDeadline);
    Object.assign(image, { digest: 'sha256:new', resolver: 'glibc' });
    clock.advance(11 * minute);
    const detector = detectorFor(registry, { store, clock });
    expect(await detector.detect(request('app:1'), noDeadline)).toMatchObject({
      from: 'store',
      verdict: { resolver: 'musl' },
    });
    await expect.poll(() => detector.stats().underWay).toBe(0);
    expect((await detector.detect(request('app:1'), noDeadline)).verdict.resolver).toBe('glibc');
  });

  it('spares a replica the revalidation that another has made', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1');
    const { store, held } = memoryStore();
    const clock = handClock();
    const [one, two] = [detectorFor(registry, { store, clock }), detectorFor(registry, { store, clock })];
    for (const detector of [one, two]) await detector.detect(request('app:1'), noDeadline);
    clock.advance(11 * minute);
    await one.detect(request('app:1'), noDeadline);
    await expect.poll(() => [...held.values()][0]?.checkedAt).toBe(clock.now());
    await two.detect(request('app:1'), noDeadline);
    await sleep(5);
    expect([registry.manifestsOf.length, registry.inspectionsOf.length]).toEqual([2, 1]);
  });

  it('is told once of what many Pods waited for', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1', { delay: 5 });
    const { store, puts } = memoryStore();
    const detector = detectorFor(registry, { store });
    await Promise.all(Array.from({ length: 10 }, () => detector.detect(request('app:1'), noDeadline)));
    expect(puts).toHaveLength(1);
  });

  it('that is less sure of an image than our own memory tells only how old the tag is', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1');
    const { store, held } = memoryStore();
    const clock = handClock();
    const detector = detectorFor(registry, { store, clock });
    await detector.detect(request('app:1'), noDeadline);
    clock.advance(11 * minute);
    for (const [key, { inspection }] of held) {
      const evidence = { ...inspection.verdict.evidence, confidence: 0.3 };
      const verdict: Verdict = { resolver: 'glibc', libc: 'glibc', evidence };
      held.set(key, { inspection: { ...inspection, verdict }, checkedAt: clock.now() });
    }
    expect((await detector.detect(request('app:1'), noDeadline)).verdict.resolver).toBe('musl');
    await sleep(5);
    expect(registry.manifestsOf).toHaveLength(1);
  });

  it('whose clock is ahead does not keep a tag fresh for longer', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1');
    const { store, held } = memoryStore();
    const clock = handClock();
    await detectorFor(registry, { store, clock }).detect(request('app:1'), noDeadline);
    const detector = detectorFor(registry, { store, clock });
    for (const [key, value] of held) held.set(key, { ...value, checkedAt: clock.now() + 60 * minute });
    await detector.detect(request('app:1'), noDeadline);
    for (const [key, value] of held) held.set(key, { ...value, checkedAt: 0 });
    clock.advance(10 * minute);
    await detector.detect(request('app:1'), noDeadline);
    await expect.poll(() => registry.manifestsOf).toHaveLength(2);
  });

  it('is given no unknown verdicts and no failures', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1', { resolver: 'unknown' });
    const { store, held } = memoryStore();
    const detector = detectorFor(registry, { store });
    await detector.detect(request('app:1'), noDeadline);
    await detector.detect(request('missing'), noDeadline);
    expect(held.size).toBe(0);
  });

  it('that learns what was unknown here answers from then on', async () => {
    const registry = new FakeRegistry();
    const image = registry.add('app:1', { resolver: 'unknown' });
    const { store } = memoryStore();
    const detector = detectorFor(registry, { store });
    expect((await detector.detect(request('app:1'), noDeadline)).verdict.resolver).toBe('unknown');
    image.resolver = 'musl';
    await detectorFor(registry, { store }).detect(request('app:1'), noDeadline);
    expect((await detector.detect(request('app:1'), noDeadline)).verdict.resolver).toBe('musl');
    expect(registry.inspectionsOf).toHaveLength(2);
  });

  it('is told of a use once an hour', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1');
    const { store, puts } = memoryStore();
    const clock = handClock();
    const detector = detectorFor(registry, { store, clock, tagTtlMs: 24 * 60 * minute });
    for (let pods = 0; pods < 10; pods += 1) await detector.detect(request('app:1'), noDeadline);
    // What was found, and that it was given to another Pod.
    expect(puts).toHaveLength(2);
    clock.advance(60 * minute);
    for (let pods = 0; pods < 10; pods += 1) await detector.detect(request('app:1'), noDeadline);
    expect(puts).toHaveLength(3);
  });

  it('that throws costs requests and no answer', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1');
    const { reporter, messages } = recordingReporter();
    const down = (): never => {
      throw new Error('down');
    };
    const store = { ...noQuarantine, declared: down, get: down, put: down, forget: down };
    const detector = detectorFor(registry, { store, reporter });
    expect((await detector.detect(request('app:1'), noDeadline)).from).toBe('registry');
    expect((await detector.detect(request('app:1'), noDeadline)).from).toBe('memory');
    expect(messages('error').length).toBeGreaterThan(3);
  });
});

describe('a rehearsal', () => {
  it('is answered like any Pod and leaves nothing in the store', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1', { delay: 5 });
    const { store, puts } = memoryStore();
    const detector = detectorFor(registry, { store });
    const dry = request('app:1', { dryRun: true });
    const answers = await Promise.all([1, 2, 3].map(() => detector.detect(dry, noDeadline)));
    answers.push(await detector.detect(dry, noDeadline));
    expect(answers.map(({ verdict }) => verdict.resolver)).toEqual(['musl', 'musl', 'musl', 'musl']);
    expect([puts.length, registry.inspectionsOf.length]).toEqual([0, 1]);
    await detector.detect(request('app:1'), noDeadline);
    expect([puts.length, registry.inspectionsOf.length]).toEqual([1, 1]);
  });

  it.each([true, false])(
    'that shares a look-up with a real Pod does not keep its verdict back (first: %s)',
    async (dryRun) => {
      const registry = new FakeRegistry();
      registry.add('app:1', { delay: 5 });
      const { store, puts } = memoryStore();
      const detector = detectorFor(registry, { store });
      const both = [request('app:1', { dryRun }), request('app:1', { dryRun: !dryRun })];
      await Promise.all(both.map((each) => detector.detect(each, noDeadline)));
      expect(puts).toHaveLength(1);
    },
  );

  it('that alone revalidates a tag writes nothing of it', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1');
    const { store, puts } = memoryStore();
    const clock = handClock();
    const detector = detectorFor(registry, { store, clock });
    await detector.detect(request('app:1'), noDeadline);
    clock.advance(11 * minute);
    await detector.detect(request('app:1', { dryRun: true }), noDeadline);
    await expect.poll(() => registry.manifestsOf).toHaveLength(2);
    await expect.poll(() => detector.stats().underWay).toBe(0);
    expect(puts).toHaveLength(1);
  });
});

describe('a declared verdict', () => {
  it('comes before memory and registry from the moment it is there, until it goes', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1');
    const { store, says } = memoryStore();
    const detector = detectorFor(registry, { store });
    const resolver = async () => (await detector.detect(request('app:1'), noDeadline)).verdict.resolver;
    expect(await resolver()).toBe('musl');
    says.set('docker.io/library/app:1', declaredGlibc);
    expect(await resolver()).toBe('glibc');
    says.clear();
    expect(await resolver()).toBe('musl');
  });

  it('answers for images that nobody can read, at no cost', async () => {
    const registry = new FakeRegistry();
    const { store, says } = memoryStore();
    says.set('private.example/app:1', declaredGlibc);
    const detector = detectorFor(registry, { store });
    for (const command of [[], ['/other']]) {
      const detection = await detector.detect(request('private.example/app:1', { command }), noDeadline);
      expect(detection).toEqual({ verdict: declaredGlibc, from: 'store', meter: { requests: 0, bytes: 0 } });
    }
    expect(registry.manifestsOf).toEqual([]);
  });

  it('by the digest of a manifest holds for each tag that stands for it, and for its repository alone', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1', { digest: 'sha256:same' });
    registry.add('app:2', { digest: 'sha256:same' });
    registry.add('other:1', { digest: 'sha256:same' });
    const { store, says } = memoryStore();
    says.set('docker.io/library/app@sha256:same', declaredGlibc);
    const detector = detectorFor(registry, { store });
    const seen: string[] = [];
    for (const name of ['app:1', 'app:1', 'app:2', 'other:1']) {
      seen.push((await detector.detect(request(name), noDeadline)).verdict.resolver);
    }
    expect(seen).toEqual(['glibc', 'glibc', 'glibc', 'musl']);
  });
});

describe('a verdict of older rules', () => {
  const outdatedStore = async (registry: FakeRegistry) => {
    const shared = memoryStore();
    await detectorFor(registry, shared).detect(request('app:1'), noDeadline);
    makeOutdated(shared.held);
    return shared;
  };

  it('answers, and is looked up afresh once in the background, whatever its digest says', async () => {
    const registry = new FakeRegistry();
    const image = registry.add('app:1');
    const { store, held } = await outdatedStore(registry);
    image.resolver = 'glibc';
    const detector = detectorFor(registry, { store });
    expect((await detector.detect(request('app:1'), noDeadline)).verdict.resolver).toBe('musl');
    await expect.poll(() => [...held.values()][0]?.inspection.verdict.resolver).toBe('glibc');
    expect([...held.values()][0]?.inspection.outdated).toBeUndefined();
    for (let pods = 0; pods < 5; pods += 1) {
      expect((await detector.detect(request('app:1'), noDeadline)).verdict.resolver).toBe('glibc');
    }
    expect(registry.inspectionsOf).toHaveLength(2);
  });

  it('that another replica has replaced meanwhile is not looked up', async () => {
    const registry = new FakeRegistry();
    for (const name of ['slow:1', 'app:1']) registry.add(name);
    const { store, held } = memoryStore();
    const first = detectorFor(registry, { store });
    for (const name of ['slow:1', 'app:1']) await first.detect(request(name), noDeadline);
    const fresh = [...held];
    makeOutdated(held);
    registry.images.get('docker.io/library/slow:1')!.delay = 20;
    const detector = detectorFor(registry, { store });
    for (const name of ['slow:1', 'app:1']) await detector.detect(request(name), noDeadline);
    for (const [key, verdict] of fresh) held.set(key, verdict);
    await sleep(80);
    expect(registry.inspectionsOf.filter((key) => key.includes('app:1'))).toHaveLength(1);
    expect((await detector.detect(request('app:1'), noDeadline)).outdated).toBeUndefined();
  });

  it('that today’s rules do not tell is forgotten', async () => {
    const registry = new FakeRegistry();
    const image = registry.add('app:1');
    const { store, held } = await outdatedStore(registry);
    image.resolver = 'unknown';
    const detector = detectorFor(registry, { store });
    await detector.detect(request('app:1'), noDeadline);
    await expect.poll(() => held.size).toBe(0);
    expect((await detector.detect(request('app:1'), noDeadline)).verdict.resolver).toBe('unknown');
  });

  it('goes on answering while the registry fails, which is tried again, less and less often', async () => {
    const registry = new FakeRegistry();
    const image = registry.add('app:1');
    const clock = handClock();
    const { store } = await outdatedStore(registry);
    image.failure = { stage: 'manifest', error: sourceError('unavailable', 'down') };
    const detector = detectorFor(registry, { store, clock, tagTtlMs: 1e12 });
    const tries: number[] = [];
    for (let minutes = 0; minutes < 8; minutes += 1) {
      expect((await detector.detect(request('app:1'), noDeadline)).verdict.resolver).toBe('musl');
      await sleep(5);
      tries.push(registry.manifestsOf.length - 1);
      clock.advance(minute);
    }
    expect(tries).toEqual([1, 2, 2, 3, 3, 3, 3, 4]);
  });
});
