/** One 512-byte tar header block, as POSIX.1-1988 ustar and GNU tar write it. */
export interface TarHeader {
  readonly name: string;
  readonly linkName: string;
  readonly mode: number;
  readonly size: number;
  /** The typeflag character; `\0` is given as `0`. */
  readonly type: string;
}

const checksumAt = 148;
const blockSize = 512;

/** Reads a header block; undefined where the checksum is wrong, so that the bytes are no header. */
export function readTarHeader(block: Uint8Array): TarHeader | undefined {
  if (block.length < blockSize || !hasValidChecksum(block)) return undefined;
  const size = readNumber(block, 124, 12);
  if (size === undefined) return undefined;
  const magic = text(block, 257, 5);
  // GNU's old format ("ustar  ") keeps other things where ustar has the prefix.
  const prefix = magic === 'ustar' && block[262] === 0 ? text(block, 345, 155) : '';
  const name = text(block, 0, 100);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkName: text(block, 157, 100),
    mode: readNumber(block, 100, 8) ?? 0,
    size,
    type: block[156] === 0 ? '0' : String.fromCodePoint(block[156] ?? 0),
  };
}

/** Whether the block is all zeros: two of them end an archive. */
export function isZeroBlock(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}

function hasValidChecksum(block: Uint8Array): boolean {
  let sum = 0;
  for (let at = 0; at < blockSize; at += 1) {
    sum += at >= checksumAt && at < checksumAt + 8 ? 0x20 : (block[at] ?? 0);
  }
  return readNumber(block, checksumAt, 8) === sum;
}

// Octal, or base-256 where the first bit is set (GNU tar manual, "Extended numeric values"). Negative and inexact are refused.
function readNumber(block: Uint8Array, at: number, length: number): number | undefined {
  const first = block[at] ?? 0;
  if (first >= 0x80) {
    let value = first & 0x7f;
    for (let index = at + 1; index < at + length; index += 1) value = value * 256 + (block[index] ?? 0);
    return Number.isSafeInteger(value) ? value : undefined;
  }
  const digits = text(block, at, length).trim();
  if (digits === '') return 0;
  return /^[0-7]+$/u.test(digits) ? Number.parseInt(digits, 8) : undefined;
}

function text(block: Uint8Array, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return Buffer.from(end === -1 ? field : field.subarray(0, end)).toString('utf8');
}
