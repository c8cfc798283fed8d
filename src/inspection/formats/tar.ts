import {
  expand,
  mapOf,
  readContentMap,
  readOldMap,
  type SparseMap,
  type SparseRecords,
  storedLength,
  withSparseRecord,
} from './sparse.ts';

/** The bytes of a file as they come. */
export interface FileBytes {
  /**
   * Returns the first `length` bytes; fewer if the file, or the part of it that was read, ends before. May be called again
   * with a larger `length`, until the next entry is read.
   */
  readonly head: (length: number) => Promise<Uint8Array>;
  /**
   * Returns `length` bytes at `offset`; fewer if the file ends before, none of a sparse file. Skips what is between, so
   * `head` gives no more than it has then.
   */
  readonly at: (offset: number, length: number) => Promise<Uint8Array>;
}

export interface TarEntry extends FileBytes {
  /** As in the archive; pax and GNU long names applied. */
  readonly name: string;
  readonly linkName: string;
  readonly type: 'file' | 'hard-link' | 'symlink' | 'directory' | 'other';
  /** Permission bits. */
  readonly mode: number;
  /** Bytes of the file, by the archive; the holes of a sparse file count. */
  readonly size: number;
  /** Where the next entry begins in the uncompressed archive. */
  readonly end: number;
  /** Its header is POSIX's (ustar, pax), not GNU's or older. */
  readonly isPosix: boolean;
}

interface TarLimits {
  /** Longest name, link name and extended header, in bytes. */
  readonly nameBytes: number;
  readonly headerBytes: number;
  /** Counted down while entries are read. */
  readonly left: TarAllowance;
}

/** What may still be read of one or several archives. */
export interface TarAllowance {
  entries: number;
  /** Bytes of extended headers. */
  extendedBytes: number;
}

/** Why the entries ended. A prefix ends between two entries (`boundary`) or inside one (`cut`). */
export type TarEnd = 'complete' | 'boundary' | 'cut' | 'damaged' | 'limit';

const empty = new Uint8Array(0);
const blockSize = 512;
const types: Readonly<Record<string, TarEntry['type']>> = {
  '0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hard-link',
  '2': 'symlink',
  '5': 'directory',
};

/**
 * Reads a tar archive (ustar, GNU, pax: POSIX.1-2001 pax "ustar Interchange Format" and "pax Extended Header") as it
 * streams by, or any prefix of one. The return value says why the entries ended. Rejects only with the errors of
 * `chunks`.
 */
export async function* readTar(
  chunks: AsyncIterator<Uint8Array>,
  limits: TarLimits,
): AsyncGenerator<TarEntry, TarEnd, undefined> {
  const cursor = byteCursor(chunks);
  let extended: Extended = {};
  for (; limits.left.entries > 0; limits.left.entries -= 1) {
    const block = await cursor.take(blockSize);
    if (block.length < blockSize) return block.length === 0 ? 'boundary' : 'cut';
    // Two blocks of zeros end an archive; the first one is enough.
    if (isZeroBlock(block)) return 'complete';
    const header = readTarHeader(block);
    if (header === undefined) return 'damaged';
    if (extensionTypes.has(header.type)) {
      const next = await readExtension(cursor, header, extended, limits);
      if (typeof next === 'string') return next;
      extended = next;
      continue;
    }
    const sparse = await readSparse(cursor, block, header, extended, limits);
    if (typeof sparse === 'string') return sparse;
    const { entry, finish } = openEntry(cursor, header, extended, sparse);
    extended = {};
    if (entry.name.length <= limits.nameBytes && entry.linkName.length <= limits.nameBytes) yield entry;
    if (!(await finish())) return 'cut';
  }
  return 'limit';
}

/** What GNU and pax extension headers say about the next entry. */
interface Extended {
  readonly path?: string;
  readonly linkpath?: string;
  readonly size?: number;
  readonly sparse?: SparseRecords;
}

// L and K: GNU's long name and long link name; x: pax for the next entry; g: pax for all entries, ignored here.
const extensionTypes = new Set(['L', 'K', 'x', 'g']);

async function readExtension(
  cursor: ByteCursor,
  header: TarHeader,
  before: Extended,
  limits: TarLimits,
): Promise<Extended | TarEnd> {
  if (header.size > limits.headerBytes) return 'damaged';
  if (header.size > limits.left.extendedBytes) return 'limit';
  limits.left.extendedBytes -= header.size;
  const body = await cursor.take(header.size);
  if (body.length < header.size || !(await cursor.skip(padding(header.size)))) return 'cut';
  const end = body.indexOf(0);
  const text = Buffer.from(end === -1 ? body : body.subarray(0, end)).toString('utf8');
  switch (header.type) {
    case 'L':
      return { ...before, path: text };
    case 'K':
      return { ...before, linkpath: text };
    case 'x':
      return { ...before, ...readPaxRecords(body) };
    default:
      return before;
  }
}

/** What a sparse file's stored data is made of. */
interface Sparse {
  readonly map: SparseMap | undefined;
  /** Bytes of the content taken by the map itself. */
  readonly taken: number;
}

async function readSparse(
  cursor: ByteCursor,
  block: Uint8Array,
  header: TarHeader,
  { sparse }: Extended,
  { headerBytes }: TarLimits,
): Promise<Sparse | TarEnd | undefined> {
  const take = (length: number): Promise<Uint8Array> => cursor.take(length);
  if (header.type === 'S') {
    const map = await readOldMap(block, take, readNumber, headerBytes);
    return typeof map === 'string' ? map : { map, taken: 0 };
  }
  if (sparse?.size === undefined || types[header.type] !== 'file') return undefined;
  if (sparse.numbers !== undefined) {
    const map = mapOf(sparse.numbers, sparse.size);
    return map === undefined ? 'damaged' : { map, taken: 0 };
  }
  const from = cursor.position;
  const map = await readContentMap(sparse.size, take, headerBytes);
  return typeof map === 'string' ? map : { map, taken: cursor.position - from };
}

function openEntry(
  cursor: ByteCursor,
  header: TarHeader,
  extended: Extended,
  sparse: Sparse | undefined,
): { entry: TarEntry; finish: () => Promise<boolean> } {
  const type = types[header.type] ?? 'other';
  // Links and directories have no content, whatever their size says (pax, "size").
  const hasContent = type === 'file' || type === 'other';
  const { finish, ...content } = openContent(cursor, hasContent ? (extended.size ?? header.size) : 0, sparse);
  const entry: TarEntry = {
    name: extended.sparse?.name ?? extended.path ?? header.name,
    linkName: extended.linkpath ?? header.linkName,
    type: type === 'file' && header.name.endsWith('/') && extended.path === undefined ? 'directory' : type,
    mode: header.mode & 0o7777,
    isPosix: header.isPosix,
    ...content,
  };
  return { entry, finish };
}

function openContent(
  cursor: ByteCursor,
  stored: number,
  { map, taken }: Sparse = { map: undefined, taken: 0 },
): FileBytes & Pick<TarEntry, 'size' | 'end'> & { readonly finish: () => Promise<boolean> } {
  const start = cursor.position - taken;
  const bytes = fileBytes(cursor, stored - taken);
  return {
    size: map?.size ?? stored,
    end: start + stored + padding(stored),
    head: async (length) =>
      map === undefined ? bytes.head(length) : expand(map, await bytes.head(storedLength(map, length)), length),
    at: (offset, length) => (map === undefined ? bytes.at(offset, length) : Promise.resolve(empty)),
    finish: () => cursor.skip(stored - (cursor.position - start) + padding(stored)),
  };
}

/** Returns the next `size` bytes of a stream as a file's. */
export function fileBytes(cursor: ByteCursor, size: number): FileBytes {
  let held: Uint8Array = empty;
  // How far the stream was read.
  let position = 0;
  const head: FileBytes['head'] = async (length) => {
    const missing = Math.min(length, size) - held.length;
    if (missing > 0 && position === held.length) {
      held = joined(held, await cursor.take(missing));
      position = held.length;
    }
    return held.subarray(0, length);
  };
  return {
    head,
    at: async (offset, length) => {
      if (offset <= held.length) return (await head(offset + length)).subarray(offset);
      const wanted = Math.min(length, size - offset);
      if (wanted <= 0 || offset < position) return empty;
      const skipped = offset - position;
      position = size;
      if (!(await cursor.skip(skipped))) return empty;
      const bytes = await cursor.take(wanted);
      position = offset + bytes.length;
      return bytes;
    },
  };
}

function padding(size: number): number {
  return (blockSize - (size % blockSize)) % blockSize;
}

/** A 512-byte tar header block, as POSIX.1-1988 ustar and GNU tar write it. */
interface TarHeader {
  readonly name: string;
  readonly linkName: string;
  readonly mode: number;
  readonly size: number;
  /** The typeflag character; `\0` is given as `0`. */
  readonly type: string;
  readonly isPosix: boolean;
}

const checksumAt = 148;

/** Reads a header block; undefined if the checksum is wrong: the bytes are no header then. */
function readTarHeader(block: Uint8Array): TarHeader | undefined {
  if (block.length < blockSize || !hasValidChecksum(block)) return undefined;
  const size = readNumber(block, 124, 12);
  if (size === undefined) return undefined;
  const isPosix = textField(block, 257, 5) === 'ustar' && block[262] === 0;
  // GNU's old format ("ustar  ") keeps other things where ustar has the prefix.
  const prefix = isPosix ? textField(block, 345, 155) : '';
  const name = textField(block, 0, 100);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkName: textField(block, 157, 100),
    mode: readNumber(block, 100, 8) ?? 0,
    size,
    type: block[156] === 0 ? '0' : String.fromCodePoint(block[156] ?? 0),
    isPosix,
  };
}

function isZeroBlock(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}

function hasValidChecksum(block: Uint8Array): boolean {
  let sum = 0;
  for (let at = 0; at < blockSize; at += 1) {
    sum += at >= checksumAt && at < checksumAt + 8 ? 0x20 : (block[at] ?? 0);
  }
  return readNumber(block, checksumAt, 8) === sum;
}

// Octal, or base-256 if the first bit is set (GNU tar manual, "Extended numeric values"). Refuses negative and inexact
// numbers.
function readNumber(block: Uint8Array, at: number, length: number): number | undefined {
  const first = block[at] ?? 0;
  if (first >= 0x80) {
    let value = first & 0x7f;
    for (let index = at + 1; index < at + length; index += 1) value = value * 256 + (block[index] ?? 0);
    return Number.isSafeInteger(value) ? value : undefined;
  }
  const digits = textField(block, at, length).trim();
  if (digits === '') return 0;
  return /^[0-7]+$/u.test(digits) ? Number.parseInt(digits, 8) : undefined;
}

function textField(block: Uint8Array, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return Buffer.from(end === -1 ? field : field.subarray(0, end)).toString('utf8');
}

/**
 * Reads `<length> <keyword>=<value>\n` records (POSIX.1-2001 pax, "pax Extended Header Keyword/Value Pairs"); stops at
 * the first bad one.
 */
export function readPaxRecords(body: Uint8Array): Extended {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const found: { path?: string; linkpath?: string; size?: number; sparse?: SparseRecords } = {};
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(0x20, at);
    // The limit on headers keeps every record below 10^7 bytes.
    if (space === -1 || space - at > 7) return found;
    const length = Number(bytes.toString('latin1', at, space));
    const end = at + length;
    if (!Number.isInteger(length) || end <= space || bytes[end - 1] !== 0x0a) return found;
    const equals = bytes.indexOf(0x3d, space);
    if (equals === -1 || equals >= end) return found;
    setRecord(found, bytes, { key: space + 1, equals, end: end - 1 });
    at = end;
  }
  return found;
}

const longestKey = 'GNU.sparse.numblocks'.length;

function setRecord(
  found: { path?: string; linkpath?: string; size?: number; sparse?: SparseRecords },
  bytes: Buffer,
  at: { readonly key: number; readonly equals: number; readonly end: number },
): void {
  // Most records are times and attributes: no text is made of them.
  if (at.equals - at.key > longestKey) return;
  const key = bytes.toString('latin1', at.key, at.equals);
  const isSparse = key.startsWith('GNU.sparse.');
  if (key !== 'path' && key !== 'linkpath' && key !== 'size' && !isSparse) return;
  const value = bytes.toString('utf8', at.equals + 1, at.end);
  if (isSparse) found.sparse = withSparseRecord(found.sparse ?? {}, key, value);
  if (key === 'path') found.path = value;
  if (key === 'linkpath') found.linkpath = value;
  if (key === 'size' && /^\d{1,15}$/u.test(value)) found.size = Number(value);
}

const joined = (one: Uint8Array, other: Uint8Array): Uint8Array =>
  one.length === 0 ? other : Buffer.concat([one, other]);

/** Reads a stream of chunks in pieces of a wanted size. Pulls a chunk only if the bytes held do not suffice. */
interface ByteCursor {
  /** Returns the next `length` bytes; fewer only if the stream ends. Holds at most `length` and one chunk. */
  take(length: number): Promise<Uint8Array>;
  /** Skips `length` bytes without holding them; false if the stream ended before. */
  skip(length: number): Promise<boolean>;
  /** Bytes taken or skipped so far. */
  readonly position: number;
}

/** Returns a cursor over `chunks`. The caller closes the iterator. */
export function byteCursor(chunks: AsyncIterator<Uint8Array>): ByteCursor {
  let held: Uint8Array = empty;
  let ended = false;
  let position = 0;

  const pull = async (): Promise<boolean> => {
    if (ended) return false;
    const next = await chunks.next();
    if (next.done === true) {
      ended = true;
      return false;
    }
    held = next.value;
    return true;
  };

  const shift = (length: number): Uint8Array => {
    const piece = held.subarray(0, length);
    held = held.subarray(piece.length);
    position += piece.length;
    return piece;
  };

  return {
    get position() {
      return position;
    },
    async take(length) {
      if (held.length >= length) return shift(length);
      const pieces: Uint8Array[] = [];
      let missing = length;
      while (missing > 0 && (held.length > 0 || (await pull()))) {
        const piece = shift(missing);
        missing -= piece.length;
        pieces.push(piece);
      }
      const [only = empty] = pieces;
      return pieces.length > 1 ? Buffer.concat(pieces) : only;
    },
    async skip(length) {
      let missing = length;
      while (missing > 0) {
        if (held.length === 0 && !(await pull())) return false;
        missing -= shift(missing).length;
      }
      return true;
    },
  };
}
