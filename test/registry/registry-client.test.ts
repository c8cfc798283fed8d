import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';

import { afterEach, describe, expect, it } from 'vitest';

import { sha256Digest } from '../support/digest.ts';
import { image, index, type BuiltImage } from '../support/image-builder.ts';
import { helmChart, sbomArtifact, schema1Image, windowsImage } from '../support/artifact-builder.ts';
import { layer } from '../support/layer-builder.ts';
import { amd64, collect, lookupContext, sampleImage, testClient } from '../support/registry-harness.ts';
import type { LookupContext } from '../../src/detection/image-source.ts';
import { startRegistry, type RegistryServerOptions } from '../support/registry-server.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map(async (close) => await close()));
});

async function setUp(options: RegistryServerOptions = {}) {
  const registry = await startRegistry(options);
  const client = testClient({ insecure: [registry.host] });
  closing.push(registry.close, client.close);
  return { registry, client };
}

async function setUpImage(built: BuiltImage, options: RegistryServerOptions = {}) {
  const { registry, client } = await setUp(options);
  const source = client.open(registry.put('team/app:v1', built));
  const context = lookupContext();
  return { registry, client, source, context };
}

describe('an image', () => {
  it('is a manifest, a configuration and ranges of its layers', async () => {
    const built = sampleImage();
    const { source, context, registry } = await setUpImage(built);
    const manifest = await source.manifest(amd64, context);
    expect(manifest).toMatchObject({ digest: built.digest, platform: amd64, layers: [{ size: expect.any(Number) }] });
    expect(await source.config(manifest, context)).toEqual({
      entrypoint: ['/bin/app'],
      cmd: ['--serve'],
      env: ['PATH=/bin'],
      workingDir: '/srv',
      user: '',
      labels: {},
      history: [],
    });
    const blob = manifest.layers[0]!;
    const bytes = await collect(source.read(blob, 1000, 5000, context));
    expect(bytes).toEqual(built.blobs.get(blob.digest)?.subarray(1000, 6000));
    expect(context.meter).toEqual({ requests: 3, bytes: registry.bytesSent() });
    expect(registry.requests.map(({ headers }) => headers['accept-encoding'])).toEqual([
      'identity',
      'identity',
      'identity',
    ]);
    expect(registry.requests[0]?.headers['user-agent']).toBe('libc-dns-test');
  });

  it('is found by tag, by digest and by sha512 digest', async () => {
    const built = sampleImage(1000);
    const { client, registry } = await setUp();
    const root = built.manifests.get(built.digest)!;
    const sha512 = `sha512:${createHash('sha512').update(root.bytes).digest('hex')}`;
    registry.put('team/app:v1', { ...built, manifests: new Map([...built.manifests, [sha512, root]]) });
    for (const version of [':v1', `@${built.digest}`, `:gone@${built.digest}`, `@${sha512}`]) {
      const manifest = await client.open(`${registry.host}/team/app${version}`).manifest(amd64, lookupContext());
      expect(manifest.digest).toBe(version.includes('@sha512') ? sha512 : built.digest);
    }
  });

  it('that is not there is not-found, with its name', async () => {
    const { client, registry } = await setUp();
    await expect(client.open(`${registry.host}/team/none`).manifest(amd64, lookupContext())).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining(`${registry.host}/team/none: manifests/latest`),
    });
  });
});

const forArch = (architecture: string, variant?: string) =>
  image({
    layers: [layer([{ path: `${architecture}${variant ?? ''}`, content: 'x' }])],
    config: { architecture, ...(variant === undefined ? {} : { variant }) },
  });

describe('an index', () => {
  const [intel, arm64, v6, v7] = [forArch('amd64'), forArch('arm64', 'v8'), forArch('arm', 'v6'), forArch('arm', 'v7')];

  it.each([
    ['the platform asked for', index([intel, arm64, v7]), amd64, intel],
    ['another platform', index([intel, arm64, v7]), { os: 'linux', architecture: 'arm64' }, arm64],
    ['not an attestation that comes first', index([intel, arm64], { attestation: 'first' }), amd64, intel],
    ['not an attestation that comes last', index([intel, arm64], { attestation: 'last' }), amd64, intel],
    ['not Windows', index([windowsImage(), intel]), amd64, intel],
    ['the nearest variant', index([v6, v7]), { os: 'linux', architecture: 'arm', variant: 'v7' }, v7],
    ['an older variant', index([v6]), { os: 'linux', architecture: 'arm', variant: 'v7' }, v6],
    ['32 bits on a 64-bit machine', index([forArch('386'), v7]), amd64, forArch('386')],
    ['what an index inside it has', index([arm64, index([v7, index([intel])])]), amd64, intel],
    ['what an entry without a platform turns out to be', index([arm64, withoutPlatform(intel)]), amd64, intel],
    ['an entry whose system is empty', index([arm64, onPlatform(intel, { os: '' })]), amd64, intel],
    ['an entry without a system', index([arm64, onPlatform(intel, { os: null })]), amd64, intel],
    ['an entry whose architecture is empty', index([arm64, onPlatform(intel, { architecture: '' })]), amd64, intel],
    ['an entry of two empty texts', index([arm64, onPlatform(intel, { os: '', architecture: '' })]), amd64, intel],
  ] as const)('gives %s', async (_, built, platform, expected) => {
    const { source, context } = await setUpImage(built);
    const manifest = await source.manifest(platform, context);
    expect(manifest.digest).toBe(expected.digest);
    expect(context.meter.requests).toBeLessThanOrEqual(5);
  });

  it.each([
    ['Windows only', index([windowsImage()]), 'windows/amd64'],
    ['nothing that fits', index([arm64, v7], { attestation: 'first' }), 'linux/arm64/v8, linux/arm/v7'],
    ['nothing at all', index([]), 'nothing for linux/amd64'],
  ])('with %s is no-platform, and the message says what there is', async (_, built, message) => {
    const { source, context } = await setUpImage(built);
    await expect(source.manifest(amd64, context)).rejects.toMatchObject({
      code: 'no-platform',
      message: expect.stringContaining(message),
    });
  });

  it('nested without end is refused', async () => {
    let built = index([intel]);
    for (let depth = 0; depth < 6; depth += 1) built = index([built]);
    const { source, context } = await setUpImage(built);
    await expect(source.manifest(amd64, context)).rejects.toMatchObject({ code: 'invalid-answer' });
    expect(context.meter.requests).toBeLessThan(6);
  });
});

it('a single image for another platform is answered with its own, for that is what a node would run', async () => {
  const { source, context } = await setUpImage(sampleImage(100, { architecture: 'arm64', variant: 'v8' }));
  const manifest = await source.manifest(amd64, context);
  expect(manifest.platform).toEqual({ os: 'linux', architecture: 'arm64', variant: 'v8' });
  await source.config(manifest, context);
  expect(context.meter.requests).toBe(2);
});

it.each([
  ['a Helm chart', helmChart('web'), 'cncf.helm.config'],
  ['an SBOM', sbomArtifact(), 'spdx+json'],
  ['schema 1', schema1Image([layer([{ path: 'a', content: 'x' }])]), 'schema 1'],
])('%s is not-an-image, and named', async (_, built, message) => {
  const { source, context } = await setUpImage(built);
  await expect(source.manifest(amd64, context)).rejects.toMatchObject({
    code: 'not-an-image',
    message: expect.stringContaining(message),
  });
});

describe('a range of a blob', () => {
  const built = sampleImage(300_000);
  const blob = [...built.blobs.values()].find((bytes) => bytes.length > 100_000);
  const descriptor = { mediaType: '', digest: sha256Digest(blob!), size: blob!.length };

  it.each([
    ['the beginning', true, 0, 4096, 4096],
    ['the middle', true, 150_000, 4096, 4096],
    ['one byte', true, 5, 1, 1],
    ['nothing', true, 5, 0, 0],
    ['the end and past it', true, blob!.length - 10, 4096, 10],
    ['what is past the end', true, blob!.length + 10, 4096, 0],
    ['the beginning where Range is ignored', false, 0, 4096, 4096],
    ['the middle where Range is ignored', false, 150_000, 4096, 4096],
    ['the end where Range is ignored', false, blob!.length - 10, 4096, 10],
    ['all of it where Range is ignored', false, 0, blob!.length, blob!.length],
    ['what is past the end where Range is ignored', false, blob!.length + 10, 4096, 0],
  ])('%s', async (_, range, offset, length, expected) => {
    const { source, context } = await setUpImage(built, { range });
    const bytes = await collect(source.read(descriptor, offset, length, context));
    expect(bytes).toHaveLength(expected);
    expect(bytes.equals(blob!.subarray(offset, offset + length))).toBe(true);
    expect(context.meter.requests).toBe(length === 0 ? 0 : 1);
  });

  it('far into a blob is not read up to where Range is ignored', async () => {
    const { source, context } = await setUpImage(built, { range: false });
    await expect(collect(source.read(descriptor, 2_000_000, 10, context))).rejects.toMatchObject({
      code: 'invalid-answer',
      message: expect.stringContaining('ignores Range'),
    });
  });

  it('of a registry that ignores Range costs little more than was asked for', async () => {
    const { source, context } = await setUpImage(sampleImage(20_000_000), { range: false });
    const manifest = await source.manifest(amd64, context);
    await collect(source.read(manifest.layers[0]!, 0, 4096, context));
    expect(context.meter.bytes).toBeLessThan(300_000);
  });

  it('left early stops the transfer', async () => {
    const { source, context, registry } = await setUpImage(sampleImage(50_000_000));
    const manifest = await source.manifest(amd64, context);
    for await (const chunk of source.read(manifest.layers[0]!, 0, 50_000_000, context)) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect(context.meter.bytes).toBeLessThan(1_000_000);
    // The place in the host's queue was given back: more look-ups than places go through.
    for (let count = 0; count < 20; count += 1) await source.manifest(amd64, context);
    expect(registry.requests.length).toBeGreaterThan(20);
  });

  it('and another at the same time do not wait for each other, though one place is all there is', async () => {
    const { registry } = await setUp();
    const client = testClient({ insecure: [registry.host], concurrency: 1 });
    closing.push(client.close);
    const source = client.open(registry.put('team/app', built));
    const context = lookupContext();
    const first = source.read(descriptor, 0, blob!.length, context)[Symbol.asyncIterator]();
    await first.next();
    expect(await collect(source.read(descriptor, 10, 100, context))).toHaveLength(100);
    await first.return?.();
  });

  it.each([
    ['later bytes', 206, { 'content-range': 'bytes 7-16/300000' }],
    ['bytes that run backwards', 206, { 'content-range': 'bytes 0-/300000' }],
    ['more than there is', 206, { 'content-range': 'bytes 0-9/5' }],
    ['several ranges', 206, { 'content-type': 'multipart/byteranges; boundary=x' }],
    ['no content', 204, {}],
  ])('answered with %s is an invalid answer', async (_, status, headers) => {
    const { source, context } = await setUpImage(built, {
      fault: () => ({ kind: 'answer', status, headers, ...(status === 204 ? {} : { body: '0123456789' }) }),
    });
    await expect(collect(source.read(descriptor, 0, 10, context))).rejects.toMatchObject({ code: 'invalid-answer' });
  });

  it.each(['', 'identity', 'aws-chunked'])('with the label of another encoding is read as it is: %j', async (label) => {
    const headers = { 'content-encoding': label, 'content-range': 'bytes 0-9/300000' };
    const { source, context } = await setUpImage(built, {
      fault: () => ({ kind: 'answer', status: 206, headers, body: '0123456789' }),
    });
    expect((await collect(source.read(descriptor, 0, 10, context))).toString()).toBe('0123456789');
  });

  it('answered in part is asked for again', async () => {
    const { source, context } = await setUpImage(built, {
      fault: ({ headers }) =>
        headers.range === 'bytes=0-99'
          ? { kind: 'answer', status: 206, headers: { 'content-range': 'bytes 0-9/300000' }, body: '0123456789' }
          : undefined,
    });
    const bytes = await collect(source.read(descriptor, 0, 100, context));
    expect(bytes.subarray(10).equals(blob!.subarray(10, 100))).toBe(true);
    expect(context.meter.requests).toBe(2);
  });

  it('is found where a redirect leads', async () => {
    const store = await startRegistry();
    closing.push(store.close);
    store.put('team/app', built);
    const registry = await startRegistry({ blobsAt: store.url });
    const client = testClient({ insecure: [registry.host, store.host] });
    closing.push(registry.close, client.close);
    const source = client.open(registry.put('team/app', built));
    const context = lookupContext();
    expect(await collect(source.read(descriptor, 100, 50, context))).toEqual(Buffer.from(blob!.subarray(100, 150)));
    expect(context.meter.requests).toBe(2);
  });
});

it('at most `concurrency` look-ups talk to one host at a time, and all are served', async () => {
  const registry = await startRegistry({ delayMs: 20 });
  const client = testClient({ insecure: [registry.host], concurrency: 3 });
  closing.push(registry.close, client.close);
  const name = registry.put('team/app', sampleImage(1000));
  const found = await Promise.all(
    Array.from({ length: 30 }, async () => await client.open(name).manifest(amd64, lookupContext())),
  );
  expect(found).toHaveLength(30);
  expect(registry.mostAtOnce()).toBeLessThanOrEqual(3);
});

it('a look-up given up while it waits rejects with the reason and gives its place back', async () => {
  const registry = await startRegistry({ fault: () => ({ kind: 'hang' }) });
  const client = testClient({ insecure: [registry.host], concurrency: 1 });
  closing.push(registry.close, client.close);
  const reason = new Error('the Pod waits no longer');
  const controller = new AbortController();
  const lookups = Array.from(
    { length: 3 },
    async () => await client.open(`${registry.host}/a`).manifest(amd64, lookupContext([], controller.signal)),
  );
  setTimeout(() => controller.abort(reason), 50);
  const results = await Promise.allSettled(lookups);
  expect(results.map((result) => (result.status === 'rejected' ? result.reason : result))).toEqual([
    reason,
    reason,
    reason,
  ]);
  await expect(client.open(`${registry.host}/a`).manifest(amd64, lookupContext([], controller.signal))).rejects.toBe(
    reason,
  );
});

describe('answers that are read whole', () => {
  const many = image({
    layers: [],
    config: { env: Array.from({ length: 2000 }, (_, at) => `V${at}=${'x'.repeat(200)}`) },
  });

  /** A budget that counts, and in which `room` bytes fit. */
  function budgetOf(room: number) {
    const counts = { kept: 0, most: 0, turns: 0 };
    const budget: NonNullable<LookupContext['budget']> = {
      keep(bytes) {
        if (counts.kept + bytes > room) return false;
        counts.kept += bytes;
        counts.most = Math.max(counts.most, counts.kept);
        return true;
      },
      give: (bytes) => void (counts.kept -= bytes),
      due: () => void (counts.turns += 1),
    };
    return { budget, counts };
  }

  it('count as memory of the look-up while they come, and wait for its turn before they are parsed', async () => {
    const { source, context } = await setUpImage(many);
    const { budget, counts } = budgetOf(2 ** 30);
    const manifest = await source.manifest(amd64, { ...context, budget });
    const ofManifest = counts.most;
    expect(ofManifest).toBeGreaterThan(0);
    await source.config(manifest, { ...context, budget });
    expect(counts.most).toBeGreaterThanOrEqual(2 * manifest.config.size);
    expect(counts).toMatchObject({ kept: 0, turns: 2 });
  });

  it('count what they unpack to, before they are unpacked', async () => {
    const { bytes = new Uint8Array() } = [...many.manifests.values()][0] ?? {};
    const { source, context } = await setUpImage(many, {
      fault: ({ path }) => (path.includes('/manifests/') ? gzipped(bytes) : undefined),
    });
    const { budget, counts } = budgetOf(1 << 20);
    await expect(source.manifest(amd64, { ...context, budget })).rejects.toMatchObject({ code: 'shed' });
    const { budget: enough } = budgetOf(16 << 20);
    await expect(source.manifest(amd64, { ...context, budget: enough })).resolves.toMatchObject({
      digest: many.digest,
    });
    expect(counts.kept).toBe(0);
  });

  it('are left if they do not fit, as our own shortage', async () => {
    const { source, context } = await setUpImage(many);
    const { budget, counts } = budgetOf(100_000);
    // It reads the configuration as well: that has the platform.
    await expect(source.manifest(amd64, { ...context, budget })).rejects.toMatchObject({
      code: 'shed',
      message: expect.stringContaining('takes more memory than is left'),
    });
    expect(counts.kept).toBe(0);
  });
});

const gzipped = (bytes: Uint8Array) => ({
  kind: 'answer' as const,
  status: 200,
  headers: { 'content-encoding': 'gzip' },
  body: gzipSync(bytes),
});

/** Returns the image with another platform in the index, as tools in the field write it. */
function onPlatform(built: BuiltImage, platform: { os?: string | null; architecture?: string }): BuiltImage {
  return { ...built, platform: { ...built.platform, ...platform } as NonNullable<BuiltImage['platform']> };
}

function withoutPlatform(built: BuiltImage): BuiltImage {
  const { digest, mediaType, manifests, blobs } = built;
  return { digest, mediaType, manifests, blobs };
}
