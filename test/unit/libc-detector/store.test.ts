import { describe, expect, it, vi } from 'vitest';
import type { StoredVerdict, StoreKey, VerdictStore } from '../../../src/libc/verdict-store.ts';
import { amd64, detectorFor, FakeRegistry, handClock, minute, noDeadline, request } from './support.ts';

/** A store in memory, as replicas would share one. */
function memoryStore() {
  const held = new Map<string, StoredVerdict>();
  const store: VerdictStore = {
    get: async ({ runs, ...image }) => {
      const keys = runs.map((run) => JSON.stringify({ ...image, run }));
      return await Promise.resolve(keys.map((key) => held.get(key)).find((found) => found !== undefined));
    },
    put: async (key: StoreKey, verdict) => {
      held.set(JSON.stringify(key), verdict);
      await Promise.resolve();
    },
  };
  return { held, store };
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
    expect((await detector.detect(request('app:1'), noDeadline)).verdict.resolver).toBe('musl');
    await vi.waitFor(() => expect(detector.stats().underWay).toBe(0));
    expect((await detector.detect(request('app:1'), noDeadline)).verdict.resolver).toBe('glibc');
  });

  it('whose clock is ahead does not keep a tag fresh for longer', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1');
    const { store, held } = memoryStore();
    const clock = handClock();
    await detectorFor(registry, { store, clock }).detect(request('app:1'), noDeadline);
    for (const [key, value] of held) held.set(key, { ...value, checkedAt: clock.now() + 60 * minute });
    const detector = detectorFor(registry, { store, clock });
    await detector.detect(request('app:1'), noDeadline);
    clock.advance(10 * minute);
    await detector.detect(request('app:1'), noDeadline);
    await vi.waitFor(() => expect(registry.manifestsOf).toHaveLength(2));
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

  it.each<[string, VerdictStore]>([
    ['rejects', { get: () => Promise.reject(new Error('down')), put: () => Promise.reject(new Error('down')) }],
    [
      'throws',
      {
        get: () => {
          throw new Error('down');
        },
        put: () => {
          throw new Error('down');
        },
      },
    ],
  ])('that %s costs requests and no answer', async (_, store) => {
    const registry = new FakeRegistry();
    registry.add('app:1');
    const errors: unknown[] = [];
    const detector = detectorFor(registry, { store, hooks: { onError: (error) => void errors.push(error) } });
    expect((await detector.detect(request('app:1'), noDeadline)).from).toBe('registry');
    await detector.close();
    expect(errors).toHaveLength(2);
  });

  it('that hangs delays an answer by 200 ms at most, and closing not at all', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1');
    const never = new Promise<never>(() => undefined);
    const detector = detectorFor(registry, { store: { get: () => never, put: () => never } });
    const began = performance.now();
    expect((await detector.detect(request('app:1'), noDeadline)).from).toBe('registry');
    expect(performance.now() - began).toBeGreaterThan(150);
    await detector.close();
    expect(performance.now() - began).toBeLessThan(1000);
  });

  it('is not written to any more once the detector is closed', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1');
    const writes: AbortSignal[] = [];
    const put = (_: StoreKey, __: StoredVerdict, signal: AbortSignal): Promise<never> => {
      writes.push(signal);
      return new Promise(() => undefined);
    };
    const detector = detectorFor(registry, { store: { get: () => Promise.resolve(undefined), put } });
    await detector.detect(request('app:1'), noDeadline);
    expect(writes.map(({ aborted }) => aborted)).toEqual([false]);
    await detector.close();
    expect(writes.map(({ aborted }) => aborted)).toEqual([true]);
  });
});
