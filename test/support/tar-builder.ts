/** Builds POSIX tar archives in memory, byte for byte the same each time (no times, no user names). */

const BLOCK = 512;

export interface TarEntry {
  /** Name in the archive, for example `usr/bin/env`. A directory's trailing `/` is added. */
  readonly path: string;
  readonly type?: 'file' | 'dir' | 'symlink' | 'hardlink' | 'fifo';
  readonly content?: Uint8Array | string;
  /** Target of a symbolic or hard link. */
  readonly target?: string;
  /** Permission bits. Default 0755. */
  readonly mode?: number;
}

export interface TarOptions {
  /** How names over 100 bytes are stored: POSIX pax records, or GNU's `././@LongLink` entries. */
  readonly longNames?: 'pax' | 'gnu';
  /** Headers as GNU tar writes them by default, and Bazel's pkg_tar. */
  readonly format?: 'posix' | 'gnu';
}

/** The bytes of one entry: `header` (with its extension records), `content`, then `padding` to 512 bytes. */
export interface TarPart {
  readonly entry: TarEntry;
  readonly name: string;
  readonly header: Buffer;
  readonly content: Buffer;
  readonly padding: Buffer;
}

/** The two zero blocks that end an archive. */
export const TAR_END: Buffer = Buffer.alloc(2 * BLOCK);

const TYPE_FLAGS = { file: '0', hardlink: '1', symlink: '2', dir: '5', fifo: '6' } as const;

/** Builds a whole archive. */
export function tar(entries: readonly TarEntry[], options: TarOptions = {}): Buffer {
  const parts = entries.map((entry) => tarPart(entry, options));
  return Buffer.concat([...parts.flatMap(({ header, content, padding }) => [header, content, padding]), TAR_END]);
}

/** Builds one entry, for layers that compress each file separately. Throws on a link without a target. */
export function tarPart(entry: TarEntry, options: TarOptions = {}): TarPart {
  const type = entry.type ?? 'file';
  const name = type === 'dir' && !entry.path.endsWith('/') ? `${entry.path}/` : entry.path;
  const isLink = type === 'symlink' || type === 'hardlink';
  if (isLink && entry.target === undefined) throw new Error(`tar entry ${entry.path}: a ${type} needs a target`);
  const target = isLink ? (entry.target ?? '') : '';
  const content = type === 'file' ? Buffer.from(entry.content ?? '') : Buffer.alloc(0);
  const header = Buffer.concat([
    ...longNameRecords(name, target, options.longNames ?? 'pax'),
    headerBlock(
      { name, target, size: content.length, flag: TYPE_FLAGS[type], mode: entry.mode ?? 0o755 },
      options.format,
    ),
  ]);
  return { entry, name, header, content, padding: paddingAfter(content.length) };
}

interface Header {
  readonly name: string;
  readonly target: string;
  readonly size: number;
  readonly flag: string;
  readonly mode: number;
}

/** Builds a header block (POSIX.1-1988 ustar, or GNU's). Cuts long names; the extension records before it hold the whole name. */
function headerBlock({ name, target, size, flag, mode }: Header, format: TarOptions['format'] = 'posix'): Buffer {
  const block = Buffer.alloc(BLOCK);
  Buffer.from(name).copy(block, 0, 0, 100);
  block.write(octal(mode, 7), 100, 'latin1');
  block.write(octal(0, 7), 108, 'latin1');
  block.write(octal(0, 7), 116, 'latin1');
  block.write(octal(size, 11), 124, 'latin1');
  block.write(octal(0, 11), 136, 'latin1');
  block.write(' '.repeat(8), 148, 'latin1');
  block.write(flag, 156, 'latin1');
  Buffer.from(target).copy(block, 157, 0, 100);
  block.write(format === 'gnu' ? 'ustar  ' : 'ustar\u000000', 257, 'latin1');
  const checksum = block.reduce((sum, byte) => sum + byte, 0);
  block.write(`${octal(checksum, 6)}\u0000 `, 148, 'latin1');
  return block;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}

function longNameRecords(name: string, target: string, style: 'pax' | 'gnu'): Buffer[] {
  const tooLong = { path: Buffer.byteLength(name) > 100, linkpath: Buffer.byteLength(target) > 100 };
  if (style === 'gnu') {
    return [...(tooLong.linkpath ? gnuLong('K', target) : []), ...(tooLong.path ? gnuLong('L', name) : [])];
  }
  const records = [
    ...(tooLong.path ? [paxRecord('path', name)] : []),
    ...(tooLong.linkpath ? [paxRecord('linkpath', target)] : []),
  ];
  return records.length === 0 ? [] : extension('PaxHeaders.0/long', 'x', Buffer.concat(records));
}

function gnuLong(flag: 'K' | 'L', value: string): Buffer[] {
  return extension('././@LongLink', flag, Buffer.from(`${value}\u0000`));
}

function extension(name: string, flag: string, body: Buffer): Buffer[] {
  return [headerBlock({ name, target: '', size: body.length, flag, mode: 0o644 }), body, paddingAfter(body.length)];
}

/** Returns `LENGTH key=value\n`, where LENGTH includes itself (POSIX.1-2001 pax). */
function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + String(rest).length;
  if (rest + String(length).length !== length) length += 1;
  return Buffer.from(`${length} ${key}=${value}\n`);
}

function paddingAfter(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}
