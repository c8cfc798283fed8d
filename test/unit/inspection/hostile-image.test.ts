import { zstdCompressSync } from 'node:zlib';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { type ImageSource, ImageSourceError } from '../../../src/detection/image-source.ts';
import { inspectImage } from '../../../src/inspection/inspect.ts';
import { indexOfToc } from '../../../src/inspection/layer-toc.ts';
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

async function look(built: BuiltImage, options: MemorySourceOptions = {}, signal = new AbortController().signal) {
  const source = memorySource(built, options);
  const meter = { requests: 0, bytes: 0 };
  const { verdict } = await inspectImage(source, request, { signal, meter });
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
  it.each([
    ['no JSON', 'x'],
    ['no object', '[]'],
    ['no entries', '{"entries":{}}'],
  ])('%s', (_name, json) => {
    expect(indexOfToc(json, 1000)).toBeUndefined();
  });

  it('any JSON is read without a throw, and no file lies outside the blob', () => {
    const key = fc.constantFrom('name', 'type', 'linkName', 'size', 'offset', 'endOffset', 'mode', '__proto__');
    const kind = fc.constantFrom('reg', 'dir', 'symlink', 'hardlink', 'chunk', 'fifo');
    const value = fc.oneof(kind, fc.string(), fc.integer(), fc.double(), fc.constant(null), fc.constant(1e308));
    fc.assert(
      fc.property(fc.array(fc.dictionary(key, value)), (list) => {
        const index = indexOfToc(JSON.stringify({ version: 1, entries: list }), 1000);
        for (const node of index?.nodes.values() ?? []) {
          if (node.type !== 'file' || node.content.kind !== 'unread') continue;
          expect(node.content.offset).toBeLessThan(1000);
          expect(node.content.length).toBeGreaterThan(0);
        }
      }),
    );
  });
});
