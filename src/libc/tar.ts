import { byteCursor, type ByteCursor } from './byte-cursor.ts';
import { readPaxRecords } from './pax.ts';
import { isZeroBlock, readTarHeader, type TarHeader } from './tar-header.ts';

export interface TarEntry {
  /** As it stands in the archive; `pax` and GNU long names applied. */
  readonly name: string;
  readonly linkName: string;
  readonly type: 'file' | 'hard-link' | 'symlink' | 'directory' | 'other';
  /** Permission bits. */
  readonly mode: number;
  /** Bytes of content the archive claims. */
  readonly size: number;
  /** Offset of the content in the uncompressed archive. */
  readonly offset: number;
  /**
   * The first `length` bytes of the content: fewer where the file is smaller or the archive is cut. Ask for more with a
   * larger `length`; valid until the next entry is read.
   */
  readonly head: (length: number) => Promise<Uint8Array>;
}

export interface TarLimits {
  readonly entries: number;
  /** Longest name, link name and extended header, in bytes. */
  readonly nameBytes: number;
  readonly headerBytes: number;
}

/** Why an archive's entries end. `boundary`: the bytes end between two entries, `cut`: inside one; both as a prefix does. */
export type TarEnd = 'complete' | 'boundary' | 'cut' | 'damaged' | 'entry-limit';

const blockSize = 512;
const types: Readonly<Record<string, TarEntry['type']>> = {
  '0': 'file',
  '7': 'file',
  '1': 'hard-link',
  '2': 'symlink',
  '5': 'directory',
};

/**
 * Reads a tar archive (ustar, GNU, pax: POSIX.1-2001 pax "ustar Interchange Format" and "pax Extended Header") as it
 * streams by. Any prefix of one is read as far as it goes. The generator's return value says why it ended. Rejects only
 * with what `chunks` rejects with.
 */
export async function* readTar(
  chunks: AsyncIterator<Uint8Array>,
  limits: TarLimits,
): AsyncGenerator<TarEntry, TarEnd, undefined> {
  const cursor = byteCursor(chunks);
  let extended: Extended = {};
  for (let count = 0; count < limits.entries; count += 1) {
    const block = await cursor.take(blockSize);
    if (block.length < blockSize) return block.length === 0 ? 'boundary' : 'cut';
    if (isZeroBlock(block)) return 'complete';
    const header = readTarHeader(block);
    if (header === undefined) return 'damaged';
    if (extensionTypes.has(header.type)) {
      const next = await readExtension(cursor, header, extended, limits);
      if (typeof next === 'string') return next;
      extended = next;
      continue;
    }
    const { entry, finish } = openEntry(cursor, header, extended);
    extended = {};
    if (entry.name.length <= limits.nameBytes && entry.linkName.length <= limits.nameBytes) yield entry;
    if (!(await finish())) return 'cut';
  }
  return 'entry-limit';
}

interface Extended {
  readonly path?: string;
  readonly linkpath?: string;
  readonly size?: number;
}

// L and K: GNU's long name and long link name; x: pax for the next entry; g: pax for all, of which none counts here.
const extensionTypes = new Set(['L', 'K', 'x', 'g']);

async function readExtension(
  cursor: ByteCursor,
  header: TarHeader,
  before: Extended,
  limits: TarLimits,
): Promise<Extended | TarEnd> {
  if (header.size > limits.headerBytes) return 'damaged';
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

function openEntry(
  cursor: ByteCursor,
  header: TarHeader,
  extended: Extended,
): { entry: TarEntry; finish: () => Promise<boolean> } {
  const type = types[header.type] ?? 'other';
  // Links and directories have no content, whatever their size says (pax, "size").
  const hasContent = type === 'file' || type === 'other';
  const size = hasContent ? (extended.size ?? header.size) : 0;
  const offset = cursor.position;
  let held: Uint8Array = new Uint8Array(0);
  const entry: TarEntry = {
    name: extended.path ?? header.name,
    linkName: extended.linkpath ?? header.linkName,
    type: type === 'file' && header.name.endsWith('/') && extended.path === undefined ? 'directory' : type,
    mode: header.mode & 0o7777,
    size,
    offset,
    head: async (length) => {
      const missing = Math.min(length, size) - held.length;
      if (missing > 0) held = Buffer.concat([held, await cursor.take(missing)]);
      return held.subarray(0, length);
    },
  };
  return { entry, finish: () => cursor.skip(size - (cursor.position - offset) + padding(size)) };
}

function padding(size: number): number {
  return (blockSize - (size % blockSize)) % blockSize;
}
