import { afterEach, describe, expect, it } from 'vitest';

import { createImageDetector } from '../../../src/detection/image-detector.ts';
import { createVerdictMemory } from '../../../src/detection/caches.ts';
import type { Inspection } from '../../../src/detection/detector.ts';
import { imageKeys, runKeys } from '../../../src/detection/keys.ts';
import { createImageReader, type ImageReader } from '../../../src/detection/reader/image-reader.ts';
import type { StoredVerdict, VerdictStore } from '../../../src/detection/verdict-store.ts';
import { inspectImage } from '../../../src/inspection/inspect.ts';
import { elf } from '../../support/elf-builder.ts';
import { type BuiltImage, image, index } from '../../support/image-builder.ts';
import { layer } from '../../support/layer-builder.ts';
import { noQuarantine } from '../../support/local-detector.ts';
import { lookupContext, testClient } from '../../support/registry-harness.ts';
import { type RegistryServerOptions, startRegistry } from '../../support/registry-server.ts';
import { amd64, handClock, minute, noDeadline, request } from './support.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const program = (interpreter: string): BuiltImage =>
  image({
    layers: [layer([{ path: 'app', mode: 0o755, content: elf({ interpreter }) }], 'gzip')],
    config: { entrypoint: ['/app'] },
  });
const musl = program('/lib/ld-musl-x86_64.so.1');
const glibc = program('/lib64/ld-linux-x86-64.so.2');
const windows = image({ layers: [], config: { os: 'windows' } });

const found = (digest: string): Inspection => ({
  verdict: { resolver: 'musl', libc: 'musl', evidence: { source: 'executable', detail: '', confidence: 1 } },
  digest,
  platform: amd64,
});

/** `forgets`: as if each read had a new reader process. */
async function setUp(
  built: BuiltImage,
  how: RegistryServerOptions & { readonly forgets?: boolean; readonly store?: VerdictStore } = {},
) {
  const registry = await startRegistry(how);
  const reference = registry.put('team/app:v1', built);
  const sources = testClient({ insecure: [registry.host] });
  const clock = handClock();
  const options = { sources, inspect: inspectImage, tagTtlMs: 10 * minute, clock };
  const kept = createImageReader(options);
  const reader: ImageReader = {
    ...kept,
    read: async (...given) => await (how.forgets === true ? createImageReader(options) : kept).read(...given),
  };
  const detector = createImageDetector({
    ...options,
    reader,
    entries: 100,
    failureTtlMs: minute,
    ...(how.store && { store: how.store }),
  });
  closing.push(
    () => detector.close(),
    () => sources.close(),
    registry.close,
  );
  /** Returns what a Pod is told, and what the registry is asked for because of it. */
  const ask = async (more: Parameters<typeof request>[1] = {}) => {
    const before = registry.requests.length;
    const { verdict, from } = await detector.detect(request(reference, more), noDeadline);
    await expect.poll(() => detector.stats().underWay).toBe(0);
    const asked = registry.requests.slice(before).map(({ method, path }) => `${method} ${path.split('/').at(-2)}`);
    return { resolver: verdict.resolver, from, asked };
  };
  return { registry, clock, ask };
}

const index2 = index([windows, musl]);

describe.each([
  ['by the process that read it', false],
  ['by a new process', true],
])('a tag that is checked %s', (_, forgets) => {
  it.each([
    ['an image', musl],
    ['an index', index2],
  ])('costs a HEAD for %s while it has not moved', async (_name, built) => {
    const { clock, ask } = await setUp(built, { forgets });
    expect((await ask()).resolver).toBe('musl');
    for (let count = 0; count < 3; count += 1) {
      clock.advance(10 * minute);
      expect(await ask()).toEqual({ resolver: 'musl', from: 'memory', asked: ['HEAD manifests'] });
      // It was checked: nothing is asked until it is stale again.
      clock.advance(9 * minute);
      expect((await ask()).asked).toEqual([]);
    }
  });

  it('is read anew once it has moved', async () => {
    const { registry, clock, ask } = await setUp(index2, { forgets });
    await ask();
    registry.put('team/app:v1', index([windows, glibc]));
    clock.advance(10 * minute);
    const { resolver, asked } = await ask();
    expect([resolver, asked.slice(0, 3)]).toEqual(['musl', ['HEAD manifests', 'GET manifests', 'GET manifests']]);
    expect(await ask()).toEqual({ resolver: 'glibc', from: 'memory', asked: [] });
    clock.advance(10 * minute);
    expect(await ask()).toEqual({ resolver: 'glibc', from: 'memory', asked: ['HEAD manifests'] });
  });

  it('is known to be unchanged if its index is new and its image is not', async () => {
    const { registry, clock, ask } = await setUp(index2, { forgets });
    await ask();
    registry.put('team/app:v1', index([musl, windows]));
    clock.advance(10 * minute);
    expect((await ask()).asked).toEqual(['HEAD manifests', 'GET manifests', 'GET manifests']);
    clock.advance(10 * minute);
    expect((await ask()).asked).toEqual(['HEAD manifests']);
  });

  it('is checked by GET where HEAD says nothing', async () => {
    const fault: RegistryServerOptions['fault'] = ({ method }) =>
      method === 'HEAD' ? { kind: 'answer', status: 405 } : undefined;
    const { clock, ask } = await setUp(musl, { forgets, fault });
    await ask();
    const gets = ['GET manifests', 'GET blobs'];
    for (const head of [['HEAD manifests'], ['HEAD manifests'], ['HEAD manifests'], []]) {
      clock.advance(10 * minute);
      expect(await ask()).toEqual({ resolver: 'musl', from: 'memory', asked: [...head, ...gets] });
    }
  });
});

it('another command line takes the manifest that is remembered, once HEAD has confirmed it', async () => {
  const { clock, ask } = await setUp(index2);
  await ask();
  clock.advance(10 * minute);
  expect(await ask({ command: ['/app', 'other'] })).toEqual({
    resolver: 'musl',
    from: 'registry',
    asked: ['HEAD manifests', 'GET blobs', 'GET blobs'],
  });
  // The manifest was confirmed for a Pod that comes a little later, too.
  clock.advance(minute);
  expect((await ask({ command: ['/./app'] })).asked).toEqual(['GET blobs', 'GET blobs']);
});

/** A store that answers with this, and notes what it is given. */
function storeWith(stored: StoredVerdict) {
  const puts: StoredVerdict[] = [];
  const store: VerdictStore = {
    ...noQuarantine,
    declared: () => undefined,
    get: () => stored,
    put: (_, verdict) => void puts.push(verdict),
    forget: () => {},
  };
  return { store, puts };
}

const read2 = ['HEAD manifests', 'GET manifests', 'GET manifests'];

it.each<[string, BuiltImage, string | undefined, string[]]>([
  ['of a single image, by HEAD alone', musl, undefined, ['HEAD manifests']],
  ['of an index, by HEAD alone', index2, index2.digest, ['HEAD manifests']],
  ['of an index that an older version stored, by GET the first time', index2, undefined, read2],
  ['of an index that was another then, by GET the first time', index2, index([musl]).digest, read2],
])('a tag that another replica has read is checked: %s', async (_, built, named, expected) => {
  const { store, puts } = storeWith({ inspection: found(musl.digest), checkedAt: 0, named });
  const { clock, ask } = await setUp(built, { store });
  expect(await ask()).toEqual({ resolver: 'musl', from: 'store', asked: expected });
  // What was seen is offered to the store.
  expect(puts.at(-1)).toMatchObject({ checkedAt: clock.now(), named: built.digest });
  clock.advance(10 * minute);
  expect((await ask()).asked).toEqual(['HEAD manifests']);
  clock.advance(60 * minute);
  await ask({ ahead: true });
  expect(puts.at(-1)).toMatchObject({ inspection: { digest: musl.digest }, named: built.digest });
});

it('an image that is read again by newer rules is stored with its index', async () => {
  const stored = { inspection: { ...found(musl.digest), outdated: true as const }, checkedAt: handClock().now() };
  const { store, puts } = storeWith(stored);
  const { ask } = await setUp(index2, { store });
  await ask();
  await expect.poll(() => puts.at(-1)).toMatchObject({ inspection: { executable: '/app' }, named: index2.digest });
});

it('a tag that has moved since another replica read it is read anew', async () => {
  const { store } = storeWith({ inspection: found(musl.digest), checkedAt: 0, named: index2.digest });
  const { ask } = await setUp(index([windows, glibc]), { store });
  const { resolver, from, asked } = await ask();
  expect([resolver, from, asked.slice(0, 3)]).toEqual(['musl', 'store', read2]);
  expect(await ask()).toEqual({ resolver: 'glibc', from: 'memory', asked: [] });
});

it('a reference by digest is never checked', async () => {
  const registry = await startRegistry();
  const sources = testClient({ insecure: [registry.host] });
  const clock = handClock();
  const reader = createImageReader({ sources, inspect: inspectImage, tagTtlMs: minute, clock });
  closing.push(sources.close, registry.close);
  registry.put('team/app:v1', musl);
  const pinned = request(`${registry.host}/team/app@${musl.digest}`);
  await reader.read(pinned, lookupContext());
  clock.advance(10 * minute);
  await reader.read(pinned, lookupContext());
  expect(registry.requests.filter(({ path }) => path.includes('manifests'))).toHaveLength(1);
});

describe('what a tag was seen to stand for', () => {
  const keysOf = (canonical: string) => ({ ...imageKeys(amd64, canonical), ...runKeys({ command: [], args: [] }) });
  const keys = keysOf('docker.io/library/app:1');
  const memory = () => createVerdictMemory({ entries: 10, bytes: 1e6, tagTtlMs: minute, clock: handClock() });

  it('stays known when another replica has seen the same image, and not when it has seen another', () => {
    const verdicts = memory();
    expect(verdicts.seenTag(keys)).toBeUndefined();
    verdicts.remember(keys, found('sha256:a'), 1, 'sha256:index');
    verdicts.remember(keys, found('sha256:a'), 2);
    expect(verdicts.seenTag(keys)).toEqual({ digest: 'sha256:a', named: 'sha256:index' });
    verdicts.remember(keys, found('sha256:b'), 3);
    expect(verdicts.seenTag(keys)).toEqual({ digest: 'sha256:b', named: 'sha256:b' });
  });

  it('counts only if the verdict is known: else the image has to be read in any case', () => {
    const verdicts = memory();
    verdicts.remember(keys, found('sha256:a'), 1, 'sha256:index');
    const other = { ...keys, ...runKeys({ command: ['sh', '-c', 'x'], args: [] }) };
    expect(verdicts.seenTag(other)).toBeUndefined();
  });

  it('is not kept for a digest, which always stands for the same', () => {
    const verdicts = memory();
    const pinned = keysOf(`docker.io/library/app@sha256:${'0'.repeat(64)}`);
    verdicts.remember(pinned, found('sha256:a'), 1, 'sha256:a');
    expect(verdicts.seenTag(pinned)).toBeUndefined();
  });
});
