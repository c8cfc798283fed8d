import { randomBytes } from 'node:crypto';
import { gzipSync, zstdCompressSync } from 'node:zlib';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { compressionOf, type InflateEnd, inflatePrefix } from '../../../../src/inspection/formats/compression.ts';

const generous = { outputBytes: 1 << 30, ratio: 1e9 };

interface Feed {
  readonly pulled: () => number;
  readonly left: () => boolean;
  readonly stream: AsyncGenerator<Uint8Array>;
}

function feed(bytes: Uint8Array, size: number): Feed {
  const state = { pulled: 0, left: false };
  async function* stream(): AsyncGenerator<Uint8Array> {
    try {
      for (let at = 0; at < bytes.length; at += size) {
        state.pulled = Math.min(bytes.length, at + size);
        yield bytes.subarray(at, at + size);
      }
    } finally {
      state.left = true;
    }
  }
  return { pulled: () => state.pulled, left: () => state.left, stream: stream() };
}

async function inflate(
  bytes: Uint8Array,
  size = 1000,
  limits = generous,
): Promise<{ readonly output: Buffer; readonly end: InflateEnd }> {
  const chunks: Uint8Array[] = [];
  const reader = inflatePrefix(feed(bytes, size).stream, limits);
  for (;;) {
    const next = await reader.next();
    if (next.done === true) return { output: Buffer.concat(chunks), end: next.value };
    chunks.push(next.value);
  }
}

const text = Buffer.concat([Buffer.alloc(50_000, 'some text '), randomBytes(40_000)]);
const skippable = Buffer.concat([Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 4, 0, 0, 0]), Buffer.from('skip')]);

describe('whole streams', () => {
  it.each([
    ['gzip', gzipSync(text), 'gzip', text],
    [
      'gzip in members',
      Buffer.concat([gzipSync('a'), gzipSync(''), gzipSync(text)]),
      'gzip',
      Buffer.concat([Buffer.from('a'), text]),
    ],
    ['zstd', zstdCompressSync(text), 'zstd', text],
    [
      'zstd in frames, some to be skipped',
      Buffer.concat([skippable, zstdCompressSync('a'), skippable, zstdCompressSync(text)]),
      'zstd',
      Buffer.concat([Buffer.from('a'), text]),
    ],
    ['nothing', text, 'none', text],
    ['too short for a magic', Buffer.from('ab'), 'none', Buffer.from('ab')],
    ['empty', Buffer.alloc(0), 'none', Buffer.alloc(0)],
  ])('%s', async (_name, bytes, compression, expected) => {
    expect(compressionOf(bytes)).toBe(compression);
    for (const size of [7, 4096, 1 << 20]) {
      const { output, end } = await inflate(bytes, size);
      expect(end).toBe('end');
      expect(output.equals(expected)).toBe(true);
    }
  });

  it('magic bytes that come one by one are seen', async () => {
    expect((await inflate(gzipSync('hello'), 1)).output.toString()).toBe('hello');
    expect((await inflate(zstdCompressSync('hello'), 1)).output.toString()).toBe('hello');
  });
});

describe('prefixes', () => {
  it.each([0.1, 0.5, 0.9])('a gzip stream cut at %f gives all that was in it', async (share) => {
    const whole = gzipSync(text);
    const { output, end } = await inflate(whole.subarray(0, Math.floor(whole.length * share)));
    expect(end).toBe('end');
    expect(text.subarray(0, output.length).equals(output)).toBe(true);
    expect(output.length).toBeGreaterThan(text.length * share * 0.5);
  });

  it('a zstd stream cut in its second block gives the first', async () => {
    const big = Buffer.from(randomBytes(300_000).toString('base64'));
    const { output } = await inflate(zstdCompressSync(big).subarray(0, 140_000));
    expect(output.length).toBeGreaterThanOrEqual(128 * 1024);
    expect(output.equals(big.subarray(0, output.length))).toBe(true);
  });

  it('damage ends the bytes, and is told', async () => {
    const bytes = gzipSync(randomBytes(100_000));
    bytes.fill(0xff, 50_000, 50_100);
    const { end } = await inflate(bytes);
    expect(end).toBe('damaged');
  });

  it('pulls no more than its reader needs, and leaves its input', async () => {
    const source = feed(gzipSync(randomBytes(500_000)), 4096);
    const reader = inflatePrefix(source.stream, generous);
    await reader.next();
    expect(source.pulled()).toBeLessThanOrEqual(16_384);
    await reader.return('end');
    expect(source.left()).toBe(true);
  });

  it('rejects with what its input rejects with', async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield gzipSync(text).subarray(0, 100);
      throw new Error('reset');
    }
    await expect(async () => {
      for await (const chunk of inflatePrefix(failing(), generous)) expect(chunk.length).toBeGreaterThan(0);
    }).rejects.toThrow('reset');
  });
});

describe('bombs', () => {
  it.each([
    ['gzip', gzipSync(Buffer.alloc(64 << 20))],
    ['zstd', zstdCompressSync(Buffer.alloc(64 << 20))],
  ])('%s stops at the ratio', async (_name, bomb) => {
    const { output, end } = await inflate(bomb, 65_536, { outputBytes: 1 << 30, ratio: 100 });
    expect(end).toBe('ratio-limit');
    expect(output.length).toBeLessThan(8 << 20);
  });

  it('stops at the limit of bytes, exactly', async () => {
    const { output, end } = await inflate(gzipSync(Buffer.alloc(1 << 20)), 65_536, {
      outputBytes: 100_001,
      ratio: 1e9,
    });
    expect({ end, length: output.length }).toEqual({ end: 'output-limit', length: 100_001 });
  });

  it('any bytes behind either magic end without a throw', async () => {
    const magics = fc.constantFrom([0x1f, 0x8b, 8], [0x28, 0xb5, 0x2f, 0xfd], [0x50, 0x2a, 0x4d, 0x18]);
    await fc.assert(
      fc.asyncProperty(magics, fc.uint8Array({ maxLength: 300 }), async (magic, rest) => {
        const { output } = await inflate(Buffer.from([...magic, ...rest]), 64, { outputBytes: 1 << 20, ratio: 1000 });
        expect(output.length).toBeLessThanOrEqual(1 << 20);
      }),
      { numRuns: 300 },
    );
  });
});
