import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  readPaxRecords,
  readTar,
  type TarAllowance,
  type TarEnd,
  type TarEntry,
} from '../../../../src/inspection/formats/tar.ts';
import { tar, type TarEntry as BuiltEntry } from '../../../support/tar-builder.ts';

const bounds = { nameBytes: 4096, headerBytes: 65_536 };
const much = (): TarAllowance => ({ entries: 1000, extendedBytes: 1024 * 1024 });

async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array, undefined> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  return undefined;
}

interface Read {
  readonly entries: (Omit<TarEntry, 'head'> & { readonly content: string })[];
  readonly end: TarEnd;
}

async function read(bytes: Uint8Array, chunk = 1000, limits = { ...bounds, left: much() }): Promise<Read> {
  const entries: Read['entries'] = [];
  const reader = readTar(inChunks(bytes, chunk), limits);
  for (;;) {
    const next = await reader.next();
    if (next.done === true) return { entries, end: next.value };
    const { head, ...rest } = next.value;
    entries.push({ ...rest, content: Buffer.from(await head(64)).toString() });
  }
}

const sample: readonly BuiltEntry[] = [
  { path: 'bin', type: 'dir' },
  { path: 'bin/busybox', content: 'x'.repeat(700) },
  { path: 'bin/sh', type: 'symlink', target: '/bin/busybox' },
  { path: 'bin/ash', type: 'hardlink', target: 'bin/busybox' },
  { path: 'dev/pipe', type: 'fifo' },
  { path: 'etc/motd', content: 'hello', mode: 0o644 },
];

/** A header with its checksum set right. */
function header(fields: { name?: string; type?: string; size?: Buffer; magic?: string; prefix?: string }): Buffer {
  const block = Buffer.alloc(512);
  block.write(fields.name ?? 'f', 0);
  block.write('0000644\0', 100);
  (fields.size ?? Buffer.from('00000000000\0')).copy(block, 124);
  block.write(fields.type ?? '0', 156);
  block.write(fields.magic ?? 'ustar\u000000', 257);
  block.write(fields.prefix ?? '', 345);
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

describe('an archive is read as it streams by', () => {
  it.each([1, 13, 512, 100_000])('in chunks of %i bytes', async (chunk) => {
    const { entries, end } = await read(tar(sample), chunk);
    expect(end).toBe('complete');
    expect(entries.map(({ name, type, linkName, size }) => ({ name, type, linkName, size }))).toEqual([
      { name: 'bin/', type: 'directory', linkName: '', size: 0 },
      { name: 'bin/busybox', type: 'file', linkName: '', size: 700 },
      { name: 'bin/sh', type: 'symlink', linkName: '/bin/busybox', size: 0 },
      { name: 'bin/ash', type: 'hard-link', linkName: 'bin/busybox', size: 0 },
      { name: 'dev/pipe', type: 'other', linkName: '', size: 0 },
      { name: 'etc/motd', type: 'file', linkName: '', size: 5 },
    ]);
    expect(entries[5]).toMatchObject({ content: 'hello', mode: 0o644 });
    expect(entries[1]?.content).toBe('x'.repeat(64));
  });

  it.each(['pax', 'gnu'] as const)('long names and link names (%s)', async (longNames) => {
    const path = `opt/${'long/'.repeat(60)}app`;
    const target = `../${'elsewhere/'.repeat(30)}app`;
    const { entries } = await read(tar([{ path, type: 'symlink', target }], { longNames }));
    expect(entries).toMatchObject([{ name: path, linkName: target, type: 'symlink' }]);
  });

  it('gives more of a file when asked again', async () => {
    const reader = readTar(inChunks(tar([{ path: 'f', content: 'abcdefgh' }]), 3), { ...bounds, left: much() });
    const { value } = await reader.next();
    const entry = value as TarEntry;
    expect(Buffer.from(await entry.head(2)).toString()).toBe('ab');
    expect(Buffer.from(await entry.head(5)).toString()).toBe('abcde');
    expect(Buffer.from(await entry.head(3)).toString()).toBe('abc');
    expect(Buffer.from(await entry.head(99)).toString()).toBe('abcdefgh');
    expect((await reader.next()).value).toBe('complete');
  });

  it.each([
    ['base-256 sizes', header({ size: Buffer.from([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]) }), { size: 3 }],
    ['the ustar prefix', header({ name: 'c', prefix: 'a/b' }), { name: 'a/b/c' }],
    ['no prefix in the old GNU format', header({ name: 'c', magic: 'ustar  \0', prefix: '0123' }), { name: 'c' }],
    ['version 7 files', header({ type: '\0' }), { type: 'file' }],
    ['directories by their slash', header({ name: 'd/' }), { type: 'directory' }],
    ['links without content', header({ type: '2', size: Buffer.from('00000001000\0') }), { type: 'symlink', size: 0 }],
  ])('%s', async (_name, block, expected) => {
    const { entries } = await read(Buffer.concat([block, Buffer.alloc(2048)]));
    expect(entries[0]).toMatchObject(expected);
  });
});

describe('an archive that ends early', () => {
  it('gives every entry before the cut, and what there is of the last', async () => {
    const bytes = tar(sample);
    const { entries, end } = await read(bytes.subarray(0, 512 * 2 + 40));
    expect(end).toBe('cut');
    expect(entries).toMatchObject([{ name: 'bin/' }, { name: 'bin/busybox', content: 'x'.repeat(40) }]);
  });

  it.each([
    ['between entries', tar(sample).subarray(0, 512), 'boundary'],
    ['in a header', tar(sample).subarray(0, 700), 'cut'],
    ['in a long name', tar([{ path: 'x'.repeat(300) }]).subarray(0, 600), 'cut'],
    ['with bytes that are no header', Buffer.alloc(512, 7), 'damaged'],
    ['with a size that is no number', header({ size: Buffer.from('zzzzzzzzzzz\0') }), 'damaged'],
    ['with a negative size', header({ size: Buffer.alloc(12, 0xff) }), 'damaged'],
    ['with an extended header beyond the limit', header({ type: 'x', size: Buffer.from('00007777777\0') }), 'damaged'],
  ])('%s', async (_name, bytes, end) => {
    expect((await read(bytes)).end).toBe(end);
  });

  it('stops at the limit of entries and passes over names beyond theirs', async () => {
    const many = tar(Array.from({ length: 20 }, (_, index) => ({ path: `f${index}`, content: 'x' })));
    expect(await read(many, 512, { ...bounds, left: { ...much(), entries: 5 } })).toMatchObject({ end: 'limit' });
    const long = tar([{ path: 'x'.repeat(500), content: 'x' }, { path: 'short' }]);
    const { entries } = await read(long, 512, { ...bounds, nameBytes: 300, left: much() });
    expect(entries.map(({ name }) => name)).toEqual(['short']);
  });
});

describe('hostile archives', () => {
  it('any bytes, and any damage to an archive, end without a throw and hold no more than was sent', async () => {
    const base = tar([...sample, { path: 'n'.repeat(200), content: 'z' }]);
    const damage = fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(255)), { maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(damage, fc.integer({ min: 1, max: 4000 }), async (edits, chunk) => {
        const bytes = Buffer.from(base);
        for (const [at, value] of edits) bytes[at] = value;
        const { entries } = await read(bytes, chunk);
        expect(entries.length).toBeLessThanOrEqual(bytes.length / 512);
        expect(entries.every(({ content }) => content.length <= bytes.length)).toBe(true);
      }),
    );
  });

  it.each([
    ['5 path', {}],
    ['99 path=x\n', {}],
    ['0 path=x\n', {}],
    ['-5 path=x\n', {}],
    ['9 path=a\n9 path=b\n', { path: 'b' }],
    ['10 size=12\n', {}],
    ['11 size=12\n', { size: 12 }],
    ['12 size=-12\n', {}],
    ['18 linkpath=a=b=c\n', { linkpath: 'a=b=c' }],
  ])('pax record %j', (text, expected) => {
    expect(readPaxRecords(Buffer.from(text))).toEqual(expected);
  });

  it('any pax header is read in bounds', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(
          Object.keys(readPaxRecords(bytes)).every((key) => ['path', 'linkpath', 'size', 'sparse'].includes(key)),
        ).toBe(true);
      }),
    );
  });
});

/** A pax header with these records, and the header of a file of `stored` bytes behind it. */
function withRecords(records: readonly (readonly [string, string])[], content: Buffer): Buffer {
  const lines = records.map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    let length = rest.length;
    while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
    return `${length}${rest}`;
  });
  const body = Buffer.from(lines.join(''));
  const octal = (size: number): Buffer => Buffer.from(`${size.toString(8).padStart(11, '0')}\0`);
  const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
  return Buffer.concat([
    header({ name: 'x', type: 'x', size: octal(body.length) }),
    padded(body),
    header({ name: 'GNUSparseFile.7/f', size: octal(content.length) }),
    padded(content),
    header({ name: 'next' }),
    Buffer.alloc(1024),
  ]);
}

describe('sparse files are read as a runtime unpacks them', () => {
  const stored = Buffer.from('abcDEF');
  const expected = { name: 'f', size: 14, content: 'abc\0\0\0\0\0DEF\0\0\0' };
  const map = Buffer.from('2\n0\n3\n8\n3\n'.padEnd(512, '\0'));
  it.each<[string, readonly (readonly [string, string])[], Buffer]>([
    [
      'pax 0.0',
      [
        ['GNU.sparse.size', '14'],
        ['GNU.sparse.numblocks', '2'],
        ['GNU.sparse.offset', '0'],
        ['GNU.sparse.numbytes', '3'],
        ['GNU.sparse.offset', '8'],
        ['GNU.sparse.numbytes', '3'],
        ['path', 'f'],
      ],
      stored,
    ],
    [
      'pax 0.1',
      [
        ['GNU.sparse.size', '14'],
        ['GNU.sparse.map', '0,3,8,3'],
        ['GNU.sparse.name', 'f'],
        ['path', 'GNUSparseFile.7/f'],
      ],
      stored,
    ],
    [
      'pax 1.0',
      [
        ['GNU.sparse.major', '1'],
        ['GNU.sparse.minor', '0'],
        ['GNU.sparse.name', 'f'],
        ['GNU.sparse.realsize', '14'],
      ],
      Buffer.concat([map, stored]),
    ],
  ])('%s', async (_name, records, content) => {
    const { entries, end } = await read(withRecords(records, content), 100);
    expect(entries).toMatchObject([expected, { name: 'next' }]);
    expect(end).toBe('complete');
  });

  it.each([
    ['gnu', 'oldgnu'],
    ['posix 0.0', 'posix', '--sparse-version=0.0'],
    ['posix 0.1', 'posix', '--sparse-version=0.1'],
    ['posix 1.0', 'posix', '--sparse-version=1.0'],
  ])('by GNU tar: %s', async (_name, format, ...more) => {
    const directory = mkdtempSync(join(tmpdir(), 'sparse-'));
    try {
      const content = Buffer.alloc(4 << 20);
      for (let at = 0; at < 30; at += 1) content.write(`part ${at}`, at * 131_072);
      writeFileSync(join(directory, 'plain'), content);
      execFileSync('cp', ['--sparse=always', 'plain', 'f'], { cwd: directory });
      const bytes = execFileSync('tar', ['--sparse', `--format=${format}`, ...more, '-cf', '-', 'f'], {
        cwd: directory,
        maxBuffer: 64 << 20,
      });
      expect(bytes.length).toBeLessThan(content.length / 2);
      const reader = readTar(inChunks(bytes, 4096), { ...bounds, left: much() });
      const { value } = await reader.next();
      const entry = value as TarEntry;
      expect(entry).toMatchObject({ name: 'f', size: content.length, type: 'file' });
      expect(Buffer.from(await entry.head(200_000)).equals(content.subarray(0, 200_000))).toBe(true);
      expect(Buffer.from(await entry.head(content.length)).equals(content)).toBe(true);
      expect((await reader.next()).value).toBe('complete');
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it('what the archive does not hold is not made up', async () => {
    const records = [['GNU.sparse.size', '14'] as const, ['GNU.sparse.map', '0,3,8,3'] as const];
    const bytes = withRecords(records, stored);
    const { entries, end } = await read(bytes.subarray(0, 512 * 3 + 5));
    expect(entries).toMatchObject([{ content: 'abc\0\0\0\0\0DE' }]);
    expect(end).toBe('cut');
  });

  it.each([
    ['parts that overlap', [['GNU.sparse.map', '0,3,2,3'] as const]],
    ['parts beyond the end', [['GNU.sparse.map', '0,30'] as const]],
    ['half a pair', [['GNU.sparse.map', '0,3,8'] as const]],
    ['no numbers', [['GNU.sparse.map', '0,x'] as const]],
    ['a map that is no map', [['GNU.sparse.major', '1'] as const]],
  ])('a map with %s is damage', async (_name, records) => {
    const bytes = withRecords([['GNU.sparse.size', '14'], ...records], Buffer.from('abcDEF'.padEnd(600, '!\n')));
    expect(await read(bytes)).toMatchObject({ entries: [], end: 'damaged' });
  });

  it('maps without end are damage', async () => {
    const endless = Buffer.alloc(200_000);
    for (let at = 0; at < endless.length; at += 512) endless[at + 504] = 1;
    const first = header({ name: 'f', type: 'S' });
    const extended = Buffer.from(first);
    extended[482] = 1;
    // The checksum counts the byte that was changed.
    const sum = Number.parseInt(first.toString('latin1', 148, 154), 8) + 1;
    extended.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    expect((await read(Buffer.concat([extended, endless]))).end).toBe('damaged');
    expect((await read(Buffer.concat([extended, endless.subarray(0, 700)]))).end).toBe('cut');
  });
});
