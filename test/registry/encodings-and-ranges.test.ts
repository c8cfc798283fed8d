import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';

import { describe, expect, it, onTestFinished } from 'vitest';

import {
  type Answer,
  type Asked,
  type Handler,
  isLayer,
  layer,
  look,
  open,
  partOf,
  refused,
  serve,
} from '../support/answering-registry.ts';
import { amd64, collect, lookupContext, testClient } from '../support/registry-harness.ts';

// What registries in the field answer, each in small: read as containerd reads it (core/remotes/docker), or better.

describe('a label of an encoding', () => {
  const labels = [
    '',
    'identity',
    'gzip',
    'x-gzip',
    'zstd',
    'br',
    'deflate',
    'aws-chunked',
    'aws-chunked,gzip',
    'utf-8',
    'none',
  ];
  it.each(labels)('on bytes that are not encoded is ignored: %j', async (label) => {
    const headers = { 'content-encoding': label };
    const { host } = await serve((one) => {
      const answer = open(one);
      return { ...answer, headers: { ...answer.headers, ...headers } };
    });
    expect((await look(host)).context.meter.requests).toBe(3);
    expect((await look(host, {}, 150_000)).context.meter.requests).toBe(3);
  });

  it.each([
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    ['zstd', zstdCompressSync],
    ['deflate', deflateSync],
    ['aws-chunked, gzip', gzipSync],
    ['', gzipSync],
  ] as const)('%j on documents and tokens that are encoded is undone', async (label, encode) => {
    const { host } = await serve((one) => {
      if (one.path !== '/token' && one.authorization !== 'Bearer tok')
        return refused(`Bearer realm="${one.base}/token"`);
      if (isLayer(one)) return undefined;
      return { body: encode(Buffer.from(open(one).body as Buffer)), headers: { 'content-encoding': label } };
    });
    expect((await look(host)).context.meter.requests).toBe(5);
  });

  it.each([
    ['gzip', gzipSync],
    ['zstd', zstdCompressSync],
    ['deflate', deflateSync],
  ] as const)('%s on a layer that is encoded on the way is undone', async (label, encode) => {
    const { host } = await serve((one) =>
      isLayer(one) ? { body: encode(layer), chunked: true, headers: { 'content-encoding': label } } : undefined,
    );
    expect((await look(host)).context.meter.requests).toBe(3);
    expect((await look(host, {}, 150_000)).context.meter.requests).toBe(3);
  });

  it('on a layer that breaks off, or is no such encoding inside, is an invalid answer', async () => {
    for (const body of [gzipSync(layer).subarray(0, 5000), Buffer.concat([gzipSync('x').subarray(0, 10), layer])]) {
      const { host } = await serve((one) =>
        isLayer(one) ? { body, chunked: true, headers: { 'content-encoding': 'gzip' } } : undefined,
      );
      await expect(look(host, {}, 200_000)).rejects.toMatchObject({ code: 'invalid-answer' });
    }
  });

  it('on a document that unpacks without end is an invalid answer', async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000));
    const { host } = await serve(({ path }) =>
      path.includes('/manifests/') ? { body: bomb, headers: { 'content-encoding': 'gzip' } } : undefined,
    );
    const before = process.memoryUsage().rss;
    await expect(look(host)).rejects.toMatchObject({ code: 'invalid-answer' });
    expect(process.memoryUsage().rss - before).toBeLessThan(64 << 20);
  });

  it('on a layer of empty parts without end stops at the size of the layer', async () => {
    const empty = gzipSync('');
    const body = Buffer.concat(Array.from({ length: 200_000 }, () => empty));
    const { host } = await serve((one) =>
      isLayer(one) ? { body, chunked: true, headers: { 'content-encoding': 'gzip' } } : undefined,
    );
    const context = lookupContext();
    await expect(look(host, {}, 0, context)).rejects.toMatchObject({ code: 'invalid-answer' });
    expect(context.meter.bytes).toBeLessThan(2_000_000);
  });
});

describe('a Range', () => {
  const whole: Handler = () => ({ body: layer });
  const only =
    (ranged: (asked: Asked, first: number, part: Buffer) => Answer, otherwise: Handler = whole): Handler =>
    (one) => {
      if (!isLayer(one)) return undefined;
      if (one.range === undefined) return otherwise(one);
      const [first, last] = one.range;
      return ranged(one, first, layer.subarray(first, last + 1));
    };

  it.each<[string, Handler, number]>([
    ['served', only((_, first, part) => ({ status: 206, body: part, headers: partOf(first, part.length) })), 3],
    ['ignored', only(() => ({ body: layer })), 3],
    [
      'answered by 200 with the part',
      only((_, first, part) => ({ body: part, headers: partOf(first, part.length) })),
      3,
    ],
    ['answered by 200 with the part alone', only((_, _first, part) => ({ body: part })), 3],
    ['answered by 206 without Content-Range', only((_, _first, part) => ({ status: 206, body: part })), 3],
    ['answered by 206 with all', only(() => ({ status: 206, body: layer, headers: partOf(0, layer.length) })), 3],
    ['answered by 206 with all and no Content-Range', only(() => ({ status: 206, body: layer })), 3],
    [
      'answered by 206 from an earlier byte',
      only((_, first, part) => {
        const start = Math.max(0, first - 77);
        return {
          status: 206,
          body: layer.subarray(start, first + part.length),
          headers: partOf(start, first - start + part.length),
        };
      }),
      3,
    ],
    ...[400, 405, 406, 412, 416, 417, 501].map((status): [string, Handler, number] => [
      `refused by ${status}`,
      only(() => ({ status })),
      4,
    ]),
    [
      'answered by a later part',
      only((_, first, part) => ({ status: 206, body: part, headers: partOf(first + 5, part.length) })),
      4,
    ],
    [
      'answered in several parts',
      only(() => ({ status: 206, body: '--x', headers: { 'content-type': 'multipart/byteranges; boundary=x' } })),
      4,
    ],
    [
      'answered by 206 without Content-Range or length',
      only((_, first, part) => ({ status: 206, body: first === 0 ? part : 'x', chunked: true })),
      4,
    ],
  ])('that is %s', async (_, handler, requests) => {
    const { host } = await serve(handler);
    expect((await look(host)).context.meter.requests).toBeLessThanOrEqual(requests);
    expect((await look(host, {}, 150_000)).context.meter.requests).toBe(requests);
  });

  const inPartsOf = (bytes: number): Handler =>
    only((_, first, part) => {
      const body = part.subarray(0, bytes);
      return { status: 206, body, headers: partOf(first, body.length) };
    });

  it('that is served in smaller parts is asked for until it is full', async () => {
    const { host, asked } = await serve(inPartsOf(64 * 1024));
    const client = testClient({ insecure: [host] });
    onTestFinished(client.close);
    const source = client.open(`${host}/team/app:v1`);
    const context = lookupContext();
    const { layers } = await source.manifest(amd64, context);
    const read = await collect(source.read(layers[0]!, 1000, layer.length, context));
    expect(read.equals(layer.subarray(1000))).toBe(true);
    expect(asked.filter(isLayer)).toHaveLength(Math.ceil((layer.length - 1000) / (64 * 1024)));
  });

  it('that is served in crumbs is an invalid answer', async () => {
    const { host, asked } = await serve(inPartsOf(100));
    await expect(look(host, {}, 0)).rejects.toMatchObject({ code: 'invalid-answer' });
    expect(asked.filter(isLayer)).toHaveLength(2);
  });

  it('that was refused is not sent again for the image', async () => {
    const { host, asked } = await serve(only(() => ({ status: 416 })));
    const client = testClient({ insecure: [host] });
    onTestFinished(client.close);
    const source = client.open(`${host}/team/app:v1`);
    const context = lookupContext();
    const manifest = await source.manifest(amd64, context);
    for (const offset of [0, 1000, 2000]) await collect(source.read(manifest.layers[0]!, offset, 1000, context));
    expect(asked.filter(({ range }) => range !== undefined)).toHaveLength(1);
    expect(context.meter.requests).toBe(6);
  });

  it.each([400, 416, 501])('refused by %d, as all of it is, is that error', async (status) => {
    const { host, asked } = await serve(
      only(
        () => ({ status }),
        () => ({ status }),
      ),
    );
    await expect(look(host)).rejects.toMatchObject({ code: status === 501 ? 'unavailable' : 'invalid-answer' });
    expect(asked.filter(isLayer)).toHaveLength(2);
  });

  it.each([401, 403, 404, 500])('refused by %d is no matter of Range', async (status) => {
    const { host, asked } = await serve(only(() => ({ status })));
    await expect(look(host)).rejects.toThrow(String(status));
    expect(asked.filter((one) => isLayer(one) && one.range === undefined)).toEqual([]);
  });
});
