/**
 * Maps of sparse files in tar archives: the archive holds the data, the map says where in the file it goes (GNU tar manual,
 * "Storing Sparse Files": the old GNU format, and pax 0.0, 0.1 and 1.0).
 */

/** Where the stored data of a sparse file goes, in order; zeros are between. */
export interface SparseMap {
  /** Bytes of the whole file. */
  readonly size: number;
  readonly parts: readonly { readonly offset: number; readonly length: number }[];
}

/** What pax headers say of a sparse file. */
export interface SparseRecords {
  readonly name?: string;
  readonly size?: number;
  /** Offsets and lengths by turns; absent if the file's content begins with its map (1.0). */
  readonly numbers?: (number | undefined)[];
}

const blockSize = 512;
// In a header of type S: 4 pairs, and whether more follow; in each block of more: 21 pairs.
const oldHeader = { pairs: 386, count: 4, extended: 482, size: 483 };
const oldBlock = { pairs: 0, count: 21, extended: 504 };

/** Reads a number of `length` bytes at `at` of a block; undefined if these are not one. */
type ReadNumber = (block: Uint8Array, at: number, length: number) => number | undefined;
/** Returns the next `length` bytes; fewer only if the archive ends. */
type Take = (length: number) => Promise<Uint8Array>;

/** Reads the map of a header of type S, and the blocks that go on with it, at most `most` bytes. */
export async function readOldMap(
  header: Uint8Array,
  take: Take,
  readNumber: ReadNumber,
  most: number,
): Promise<SparseMap | 'damaged' | 'cut'> {
  const numbers: (number | undefined)[] = [];
  let block = header;
  let fields: { pairs: number; count: number; extended: number } = oldHeader;
  for (let read = 0; ; read += blockSize) {
    for (let at = fields.pairs; at < fields.pairs + fields.count * 24; at += 12) {
      numbers.push(readNumber(block, at, 12));
    }
    if (block[fields.extended] === 0 || block[fields.extended] === 0x30) break;
    if (read >= most) return 'damaged';
    block = await take(blockSize);
    if (block.length < blockSize) return 'cut';
    fields = oldBlock;
  }
  return mapOf(numbers, readNumber(header, oldHeader.size, 12)) ?? 'damaged';
}

/** Reads the map at the beginning of the content, padded to a block (pax 1.0), at most `most` bytes. */
export async function readContentMap(
  size: number | undefined,
  take: Take,
  most: number,
): Promise<SparseMap | 'damaged' | 'cut'> {
  let text = '';
  let lines: readonly string[] = [];
  for (let read = 0; read < most; read += blockSize) {
    const block = await take(blockSize);
    if (block.length < blockSize) return 'cut';
    text += Buffer.from(block).toString('latin1');
    lines = text.split('\n');
    const count = Number(lines[0]);
    // The piece behind the last line feed may be half a number.
    if (lines.length > 1 && lines.length - 1 >= 1 + 2 * count) {
      return mapOf(lines.slice(1, 1 + 2 * count).map(decimal), size) ?? 'damaged';
    }
    if (lines.length > 1 && !Number.isInteger(count)) return 'damaged';
  }
  return 'damaged';
}

/** Returns the map of the offsets and lengths in `numbers`; undefined if they do not fit a file of `size` bytes. */
export function mapOf(numbers: readonly (number | undefined)[], size: number | undefined): SparseMap | undefined {
  if (size === undefined || numbers.length % 2 !== 0) return undefined;
  const parts: { offset: number; length: number }[] = [];
  let end = 0;
  for (let at = 0; at < numbers.length; at += 2) {
    const [offset, length] = [numbers[at], numbers[at + 1]];
    if (offset === undefined || length === undefined) return undefined;
    // Unused pairs of old headers are zero.
    if (length === 0) continue;
    if (offset < end || offset + length > size) return undefined;
    parts.push({ offset, length });
    end = offset + length;
  }
  return { size, parts };
}

/** Returns `before` with what one more record of a pax header says; adds to its numbers. */
export function withSparseRecord(before: SparseRecords, key: string, value: string): SparseRecords {
  switch (key) {
    case 'GNU.sparse.name':
      return { ...before, name: value };
    case 'GNU.sparse.size':
    case 'GNU.sparse.realsize': {
      const size = decimal(value);
      return size === undefined ? before : { ...before, size };
    }
    case 'GNU.sparse.map':
      return { ...before, numbers: value === '' ? [] : value.split(',').map(decimal) };
    case 'GNU.sparse.offset':
    case 'GNU.sparse.numbytes':
      // Copies would take quadratic time.
      before.numbers?.push(decimal(value));
      return before.numbers === undefined ? { ...before, numbers: [decimal(value)] } : before;
    default:
      return before;
  }
}

function decimal(text: string): number | undefined {
  return /^\d{1,15}$/u.test(text) ? Number(text) : undefined;
}

/** Returns how many stored bytes the first `length` bytes of the file take. */
export function storedLength({ parts }: SparseMap, length: number): number {
  return parts.reduce((sum, part) => sum + Math.max(0, Math.min(part.length, length - part.offset)), 0);
}

/** Returns the first `length` bytes of the file, as far as `stored` has its data. */
export function expand({ size, parts }: SparseMap, stored: Uint8Array, length: number): Uint8Array {
  const bytes = new Uint8Array(Math.min(length, size));
  let at = 0;
  for (const part of parts) {
    if (part.offset >= bytes.length) break;
    const piece = stored.subarray(at, at + Math.min(part.length, bytes.length - part.offset));
    bytes.set(piece, part.offset);
    at += piece.length;
    // The archive ends here.
    if (piece.length < Math.min(part.length, bytes.length - part.offset)) {
      return bytes.subarray(0, part.offset + piece.length);
    }
  }
  return bytes;
}
