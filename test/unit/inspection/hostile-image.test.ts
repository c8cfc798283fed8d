import { zstdCompressSync } from 'node:zlib';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { type ImageSource, ImageSourceError } from '../../../src/detection/image-source.ts';
import { createInspector, inspectImage } from '../../../src/inspection/inspect.ts';
import { admissionLimits, backgroundScanLimits, createSharedResources } from '../../../src/inspection/limits.ts';
import { indexOfToc } from '../../../src/inspection/reading/layer-toc.ts';
import { normalizePath } from '../../../src/inspection/overlay.ts';
import type { FairThread } from '../../../src/util/limits/fair-thread.ts';
import type { FairSlots } from '../../../src/util/limits/fair-slots.ts';
import { sha256Digest } from '../../support/digest.ts';
import { elf } from '../../support/elf-builder.ts';
import { type BuiltImage, image } from '../../support/image-builder.ts';
import { type BuiltLayer, type Compression, layer } from '../../support/layer-builder.ts';
import { memorySource, type MemorySourceOptions } from '../../support/memory-source.ts';
import type { TarEntry } from '../../support/tar-builder.ts';

const request = { reference: 'image', platform: { os: 'linux', architecture: 'amd64' }, command: [], args: [] };
const musl = elf({ interpreter: '/lib/ld-musl-x86_64.so.1' });
const script = '#!/bin/sh\nset -e\nif [ "$1" = x ]; then exec su-exec app "$0" "$@"; fi\nexec "$@"\n';
const resolvers = ['glibc', 'musl', 'go', 'other', 'unknown'];

async function look(
  built: BuiltImage,
  options: MemorySourceOptions = {},
  signal = new AbortController().signal,
  inspect = inspectImage,
) {
  const source = memorySource(built, options);
  const meter = { requests: 0, bytes: 0 };
  const { verdict } = await inspect(source, request, { signal, meter });
  return { verdict, meter };
}

const rawLayer = (bytes: Buffer, mediaType = 'application/vnd.oci.image.layer.v1.tar'): BuiltLayer => ({
  bytes,
  diffId: sha256Digest(bytes),
  descriptor: { mediaType, digest: sha256Digest(bytes), size: bytes.length },
});

const entries: readonly TarEntry[] = [
  { path: 'bin/sh', type: 'symlink', target: 'busybox' },
  { path: 'bin/busybox', content: musl },
  { path: 'entry.sh', content: script },
  { path: 'opt/x', type: 'hardlink', target: 'app/server' },
  { path: 'app/server', content: musl },
];
const config = { entrypoint: ['/entry.sh'], cmd: ['/opt/x'] };

describe('whatever bytes a layer has, there is a verdict within the budget', () => {
  it.each(['none', 'gzip', 'zstd', 'estargz', 'zstd:chunked'] as const)(
    '%s, damaged',
    async (compression: Compression) => {
      // Large enough for its table of contents to be used.
      const filler: TarEntry = { path: 'filler', content: Buffer.alloc(60_000).map((_, at) => (at * 7919) >> 3) };
      const good = layer([...entries, filler], compression);
      const damage = fc.array(fc.tuple(fc.nat(good.bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 20 });
      await fc.assert(
        fc.asyncProperty(damage, fc.nat(good.bytes.length), async (edits, length) => {
          const tamper = (bytes: Buffer): Buffer => {
            const copy = Buffer.from(bytes);
            for (const [at, value] of edits) copy[at] = value;
            return copy.subarray(0, length);
          };
          const { verdict, meter } = await look(image({ layers: [good], config }), { tamper });
          expect(resolvers).toContain(verdict.resolver);
          expect(meter.requests).toBeLessThanOrEqual(6);
          expect(meter.bytes).toBeLessThanOrEqual(512 * 1024);
        }),
        { numRuns: 60 },
      );
    },
  );

  it('a bomb is left', async () => {
    const bomb = rawLayer(zstdCompressSync(Buffer.alloc(256 << 20)));
    const { verdict } = await look(image({ layers: [bomb], config }));
    expect(verdict.resolver).toBe('unknown');
  });

  const cyclic = layer([
    { path: 'a', type: 'symlink', target: 'b' },
    { path: 'b', type: 'symlink', target: '/a' },
    { path: 'c', type: 'hardlink', target: 'c' },
  ]);
  it.each(['/a', '/b', '/c', '/a/b/c'])('cyclic link %s', async (path) => {
    const { verdict } = await look(image({ layers: [cyclic], config: { cmd: [path] } }));
    expect(verdict).toMatchObject({ resolver: 'unknown', evidence: { confidence: 0 } });
  });

  it.each([
    ['a path without end', Array.from({ length: 15_000 }, () => ({ path: 'app/server', content: 'x' }))],
    [
      'scripts without end',
      Array.from({ length: 400 }, (_, at) => ({ path: `s${at}`, content: `#!/bin/sh\n${'$('.repeat(16_000)}` })),
    ],
    [
      'links without end',
      Array.from({ length: 15_000 }, (_, at) => ({ path: `l${at}`, type: 'symlink' as const, target: `l${at + 1}` })),
    ],
  ])('%s come to an end', async (_name, many) => {
    const built = image({
      layers: Array.from({ length: 8 }, () => layer(many)),
      config: { cmd: ['/app/server'], env: [`PATH=${'/a/b/c:'.repeat(200)}`] },
    });
    const { verdict } = await look(built);
    expect(verdict.resolver).toBe('unknown');
  });

  it('more layers than any runtime takes are not looked at', async () => {
    const one = layer([{ path: 'x' }]);
    const { verdict, meter } = await look(image({ layers: Array.from({ length: 200 }, () => one), config }));
    expect(verdict).toMatchObject({ resolver: 'unknown' });
    expect(meter.requests).toBe(2);
  });

  it('a size that lies is not believed', async () => {
    const good = layer(entries);
    for (const size of [0, 1, 40_000, 1e12]) {
      const built = image({ layers: [{ ...good, descriptor: { ...good.descriptor, size } }], config });
      const { verdict } = await look(built);
      expect(['musl', 'unknown']).toContain(verdict.resolver);
    }
  });
});

describe('what takes more memory or work than an image may', () => {
  const empty = layer([{ path: 'x', type: 'dir' }]);
  const unknownBecause = (detail: string) => ({ resolver: 'unknown', evidence: { confidence: 0, detail } });
  const tooLong = unknownBecause('the command line is longer than a kernel takes');
  const outOfReach = unknownBecause('/app was not in what was read of the image');
  const tooManySteps = unknownBecause('its scripts take too many steps to follow');

  /** A layer of links with long names and targets. */
  const links = (count: number): BuiltLayer =>
    layer(
      Array.from({ length: count }, (_, at) => ({
        path: `z${at}-`.padEnd(2040, 'a'),
        type: 'symlink' as const,
        target: 'b'.repeat(2040),
      })),
    );

  /** A zstd layer whose annotations name `text` as its table of contents. */
  const withContents = (text: Buffer): BuiltLayer => {
    const table = zstdCompressSync(text);
    // Inflates to less than 400 times as much.
    const filler = Buffer.alloc(Math.max(0, Math.ceil(text.length / 390) - table.length)).map(
      (_, at) => (at * 7919) >> 3,
    );
    const skippable = Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18]), Buffer.alloc(4), filler]);
    skippable.writeUInt32LE(filler.length, 4);
    const packed = Buffer.concat([skippable, table]);
    const raw = rawLayer(
      Buffer.concat([Buffer.alloc(40_000, 0xff), packed]),
      'application/vnd.oci.image.layer.v1.tar+zstd',
    );
    const position = `40000:${packed.length}:${text.length}:1`;
    const annotations = { 'io.github.containers.zstd-chunked.manifest-position': position };
    return { ...raw, descriptor: { ...raw.descriptor, annotations } };
  };
  const nested = Buffer.alloc(3 * 1024 * 1024 - 100, '[');

  it.each([
    ["a word of the Pod's command", { command: ['$(A)'.repeat(20_000)] }, tooLong],
    ['all words of it', { command: Array.from({ length: 40 }, () => 'x$(A)') }, tooLong],
  ])('%s, expanded', async (_, pod, expected) => {
    const env = { A: 'a'.repeat(20_000) };
    const { verdict } = await look(image({ layers: [empty], config: {} }), {}, undefined, (source, asked, context) =>
      inspectImage(source, { ...asked, ...pod, env }, context),
    );
    expect(verdict).toMatchObject(expected);
  });

  it.each([
    ["a word of an image's entry point", { entrypoint: ['$(A)'.repeat(20_000)] }, { resolver: 'unknown' }],
    [
      'a word of a shell',
      { env: [`A=${'a'.repeat(16_000)}`], entrypoint: ['sh', '-c', `exec /app ${'$A'.repeat(30_000)}`] },
      tooManySteps,
    ],
    [
      'all words of a shell',
      { env: [`A=${'a'.repeat(16_000)}`], entrypoint: ['sh', '-c', `exec /app ${'x$A '.repeat(8000)}`] },
      tooManySteps,
    ],
    ['PATH', { env: [`PATH=${'a:'.repeat(50_000)}`], entrypoint: ['app'] }, unknownBecause('/a/app: not in the image')],
  ])('%s, expanded', async (_, given, expected) => {
    const { verdict } = await look(image({ layers: [empty], config: given }));
    expect(verdict).toMatchObject(expected);
  });

  it('a text that a shell splits into 30,000 words, again and again', async () => {
    const entrypoint = ['sh', '-c', `exec /app ${'$A '.repeat(30_000)}`];
    const began = process.cpuUsage();
    const { verdict } = await look(
      image({ layers: [empty], config: { env: [`A=${'a '.repeat(30_000)}`], entrypoint } }),
    );
    expect(verdict).toMatchObject(tooManySteps);
    // Took 3 seconds where each was split to its end; now about 80 ms.
    expect(process.cpuUsage(began).user).toBeLessThan(1_000_000);
  });

  it.each(['apk --', 'dnf -', 'ubuntu-', 'apt-get -', 'make ', '/', 'COPY '])(
    '256 history lines of %j',
    async (text) => {
      const history = Array.from({ length: 256 }, () => ({
        createdBy: text.repeat(8192 / text.length),
        emptyLayer: true,
      }));
      const began = process.cpuUsage();
      const { verdict } = await look(image({ layers: [empty], config: { entrypoint: ['/app'], history } }));
      expect(verdict.resolver).toBe('unknown');
      // Took 1.3 to 2.9 seconds where patterns were not linear; now about 30 ms.
      expect(process.cpuUsage(began).user).toBeLessThan(1_000_000);
    },
  );

  it.each([
    ['lists', nested],
    ['members', Buffer.from(`{${Array.from({ length: 250_000 }, (_, at) => `"${at.toString(16)}":0`).join(',')}}`)],
    ['entries', Buffer.from(`{"entries":[${Array.from({ length: 300_000 }, () => '{}').join(',')}]}`)],
    ['an entry of lists', Buffer.from(`{"entries":[${nested.toString()}`)],
  ])('a table of contents of %s is left, and the layer read like any other', async (_, text) => {
    const { verdict, meter } = await look(image({ layers: [withContents(text)], config: { entrypoint: ['/app'] } }));
    expect(verdict).toMatchObject(outOfReach);
    // The table, then the beginning of the layer.
    expect(meter.requests).toBe(4);
  });

  it('names and targets of links, all layers together', async () => {
    const shared = createSharedResources();
    const { pool } = shared;
    const limits = { ...admissionLimits, extendedBytes: 2 ** 30, keptBytes: 4 * 1024 * 1024 };
    const built = image({ layers: Array.from({ length: 8 }, () => links(900)), config: { entrypoint: ['/app'] } });
    const held: number[] = [];
    const tamper = (bytes: Buffer): Buffer => {
      held.push(pool.held);
      return bytes;
    };
    const { verdict } = await look(built, { tamper }, undefined, createInspector(limits, shared));
    expect(Math.max(...held)).toBeGreaterThan(0);
    expect(Math.max(...held)).toBeLessThanOrEqual(limits.keptBytes);
    expect(verdict).toMatchObject(
      unknownBecause('the image is too large to look into: the names of its files and links take too much memory'),
    );
    expect(pool.held).toBe(0);
  });

  it('a look-up for which others leave no memory ends as our own shortage, after a moment', async () => {
    const shared = createSharedResources(1024 * 1024);
    const { pool } = shared;
    const built = image({ layers: [layer(entries)], config });
    const inspect = createInspector(admissionLimits, shared);
    const others = pool.share(1024 * 1024);
    others.take(1024 * 1024);
    await expect(look(built, {}, undefined, inspect)).rejects.toMatchObject({ code: 'shed' });
    others.close();
    await expect(look(image({ layers: [links(900)], config }), {}, undefined, inspect)).rejects.toMatchObject({
      code: 'shed',
    });
    expect(pool.held).toBe(0);
    expect(await look(built, {}, undefined, inspect)).toMatchObject({ verdict: { resolver: 'musl' } });
  });

  it('a look-up loses its memory to one of another namespace, even while it waits for its registry', async () => {
    const shared = createSharedResources(6 * 1024 * 1024);
    const { pool } = shared;
    const limits = { ...admissionLimits, extendedBytes: 2 ** 30 };
    const inspect = createInspector(limits, shared);
    const layers = [links(1), links(1000), links(2)];
    const sound = memorySource(image({ layers, config: { entrypoint: ['/app'] } }));
    let isWaiting = false;
    const hangs: ImageSource = {
      ...sound,
      async *read(blob, offset, length, context) {
        isWaiting = pool.held > 3 * 1024 * 1024;
        if (!isWaiting) {
          yield* sound.read(blob, offset, length, context);
          return;
        }
        await new Promise((_, reject) => {
          context.signal.addEventListener('abort', () => reject(context.signal.reason as Error), { once: true });
        });
      },
    };
    const context = { signal: new AbortController().signal, meter: { requests: 0, bytes: 0 } };
    const lost = inspect(hangs, request, { ...context, tenant: 'greedy' }).catch((error: unknown) => error);
    await expect.poll(() => isWaiting).toBe(true);
    // Not to another look-up of its own namespace.
    expect(pool.share(2 ** 30, 'greedy').take(3 * 1024 * 1024)).toBe('pool');
    const modest = pool.share(2 ** 30, 'modest');
    expect(modest.take(3 * 1024 * 1024)).toBe('taken');
    expect(pool.held).toBe(3 * 1024 * 1024);
    expect(await lost).toMatchObject({ name: 'LookupEnded', code: 'shed' });
    modest.close();
    expect(pool.held).toBe(0);
  });

  it('at most four tables of contents are in memory at once, three of one namespace', async () => {
    const shared = createSharedResources();
    const counts = { now: 0, most: 0 };
    const tables: FairSlots = {
      ...shared.tables,
      enter(tenant, signal) {
        const slot = shared.tables.enter(tenant, signal);
        const entered = slot?.entered.then((release) => {
          counts.now += 1;
          counts.most = Math.max(counts.most, counts.now);
          return () => {
            counts.now -= 1;
            release?.();
          };
        });
        return slot && entered && { ...slot, entered };
      },
    };
    const inspect = createInspector(admissionLimits, { ...shared, tables });
    const built = image({ layers: [withContents(nested)], config: { entrypoint: ['/app'] } });
    const lookAs = (tenant: string): Promise<unknown> => {
      const context = { signal: new AbortController().signal, meter: { requests: 0, bytes: 0 }, tenant };
      return inspect(memorySource(built), request, context);
    };
    await Promise.all(Array.from({ length: 8 }, () => lookAs('greedy')));
    expect(counts).toEqual({ now: 0, most: 3 });
    await Promise.all(['greedy', 'greedy', 'modest', 'modest', 'third', 'fourth'].map(lookAs));
    expect(counts.now).toBe(0);
    expect(counts.most).toBeLessThanOrEqual(4);
  });

  it('a look-up that waits for its turn ends when it is told to', async () => {
    const shared = createSharedResources();
    const signal = AbortSignal.timeout(300);
    const enter = async (tenant: number) => await shared.tables.enter(`${tenant}`, signal)?.entered;
    const leave = await Promise.all([1, 2, 3, 4].map(enter));
    const inspect = createInspector(admissionLimits, shared);
    const built = image({ layers: [withContents(nested)], config: { entrypoint: ['/app'] } });
    await expect(look(built, {}, signal, inspect)).rejects.toMatchObject({ name: 'TimeoutError' });
    for (const release of leave) release?.();
    expect(shared.pool.held).toBe(0);
  });

  it('a background scan lets look-ups go first, and has its own end', async () => {
    const shared = createSharedResources();
    const works: unknown[] = [];
    const thread: FairThread = {
      work(tenant, urgency, signal) {
        works.push([tenant, urgency]);
        return { ...shared.thread.work(tenant, urgency, signal), usedMs: 21_000 };
      },
    };
    const built = image({ layers: [layer(entries)], config: { entrypoint: ['/app'] } });
    const scan = await look(built, {}, undefined, createInspector(backgroundScanLimits, { ...shared, thread }));
    expect(scan.verdict.evidence.detail).toContain('it takes more than 20 s of processor time');
    await look(built, {}, undefined, createInspector(admissionLimits, { ...shared, thread }));
    expect(works).toEqual([
      [undefined, 'background'],
      [undefined, 'prompt'],
    ]);
  });

  it('the time of the thread', async () => {
    const limits = { ...admissionLimits, threadMs: 0 };
    const many = layer(Array.from({ length: 15_000 }, (_, at) => ({ path: `f${at}` })));
    const built = image({ layers: [many, layer(entries)], config: { entrypoint: ['/app'] } });
    const { verdict } = await look(built, {}, undefined, createInspector(limits));
    expect(verdict).toMatchObject(
      unknownBecause('the image is too large to look into: it takes more than 0 s of processor time'),
    );
  });

  it('links that lead on and on', async () => {
    const deep = Array.from({ length: 60 }, (_, at) => `d${at}`).join('/');
    const many = Array.from({ length: 39 }, (_, at) => ({
      path: `l${at}`,
      type: 'symlink' as const,
      target: `/${deep}/../l${at + 1}`,
    }));
    const layers = Array.from({ length: 6 }, () =>
      layer([
        ...many,
        ...Array.from({ length: 200 }, () => ({ path: 'l39', type: 'symlink' as const, target: '/l0' })),
      ]),
    );
    const began = process.cpuUsage();
    const { verdict } = await look(image({ layers, config: { entrypoint: ['/l0'] } }));
    expect(verdict.resolver).toBe('unknown');
    expect(process.cpuUsage(began).user).toBeLessThan(2_000_000);
  });
});

describe('what the source rejects with is passed on', () => {
  const broken = (where: 'manifest' | 'config' | 'read'): ImageSource => {
    const source = memorySource(image({ layers: [layer(entries)], config }));
    const error = new ImageSourceError('unavailable', 'the host failed');
    const reject = (): Promise<never> => Promise.reject(error);
    async function* read(): AsyncGenerator<Uint8Array> {
      yield layer(entries).bytes.subarray(0, 20);
      throw error;
    }
    return { ...source, ...(where === 'read' ? { read } : { [where]: reject }) };
  };

  it.each(['manifest', 'config', 'read'] as const)('by its %s', async (where) => {
    const context = { signal: new AbortController().signal, meter: { requests: 0, bytes: 0 } };
    await expect(inspectImage(broken(where), request, context)).rejects.toMatchObject({ code: 'unavailable' });
  });

  it("the signal's reason", async () => {
    const signal = AbortSignal.abort(new Error('too late'));
    await expect(look(image({ layers: [layer(entries)], config }), {}, signal)).rejects.toThrow('too late');
  });
});

describe('tables of contents', () => {
  const room = { keep: () => true, due: () => undefined, excess: undefined };
  const indexOf = (json: string) => indexOfToc(Buffer.from(json), 1000, room);

  it.each([
    ['no JSON', 'x'],
    ['no object', '[]'],
    ['no entries', '{"entries":{}}'],
  ])('%s', async (_name, json) => {
    expect(await indexOf(json)).toBeUndefined();
  });

  it('any JSON is read without a throw, and no file lies outside the blob', async () => {
    const key = fc.constantFrom('name', 'type', 'linkName', 'size', 'offset', 'endOffset', 'mode', '__proto__');
    const kind = fc.constantFrom('reg', 'dir', 'symlink', 'hardlink', 'chunk', 'fifo');
    const value = fc.oneof(kind, fc.string(), fc.integer(), fc.double(), fc.constant(null), fc.constant(1e308));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.dictionary(key, value)), async (list) => {
        const index = await indexOf(JSON.stringify({ version: 1, entries: list }));
        for (const { name } of list) {
          const node = typeof name === 'string' ? index?.get(normalizePath(name)) : undefined;
          if (node?.type !== 'file' || node.content.kind !== 'unread') continue;
          expect(node.content.offset).toBeLessThan(1000);
          expect(node.content.length).toBeGreaterThan(0);
        }
      }),
    );
  });
});
