import { constants } from 'node:fs';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';

import { ImageSourceError, type LookupContext } from '../detection/image-source.ts';
import { compressionOf, inflatePrefix } from '../inspection/formats/compression.ts';
import { readTar, type TarEntry } from '../inspection/formats/tar.ts';
import { fileProblem } from '../util/files.ts';

/** A tar file, compressed or not, whose files can be read at any place. Nothing of it is unpacked. */
export interface Archive {
  /** For messages: the path as the user gave it. */
  readonly path: string;
  /** Finds a file, along links inside the archive. Throws `ImageSourceError` `not-found` or `invalid-answer`. */
  find(name: string): Span;
  /** Reads a part of a file; fewer bytes if the file or the archive ends before. */
  chunks(file: Span, part: Span, context: LookupContext): AsyncGenerator<Uint8Array>;
  close(): Promise<void>;
}

/** A part of an archive. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

/** Image archives have a few files for each layer. */
const MOST_ENTRIES = 100_000;
const MOST_NAME_BYTES = 4096;
const MOST_HEADER_BYTES = 1 << 20;
const MOST_LINKS = 8;
const CHUNK_BYTES = 64 * 1024;

/** What a compressed archive may inflate to: bytes in all, and for each byte of input. Images of tens of GiB are not for a look. */
const INFLATED = { outputBytes: 16 * 2 ** 30, ratio: 400 } as const;

/**
 * Opens a tar file, and reads the headers of its entries. One that is compressed by gzip or zstd is inflated into a temporary file that has
 * no name, and ends with the process. Rejects with `ImageSourceError` `not-found` or `invalid-answer`, and with the signal's reason.
 */
export async function openArchive(path: string, context: LookupContext): Promise<Archive> {
  const packed = await openFile(path);
  let file = packed;
  try {
    file = await inflated(packed, path, context);
    if (file !== packed) await packed.close();
    const entries = await entriesOf(file, path, context);
    return {
      path,
      find: (name) => findIn(entries, path, name),
      chunks({ offset, length }, part, reading) {
        const from = Math.min(part.offset, length);
        const to = Math.min(part.offset + part.length, length);
        return chunksOf(file, offset + from, offset + to, reading);
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    // Without O_NONBLOCK, opening a named pipe would wait for a writer.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if ((await file.stat()).isFile()) return file;
    await file.close();
  } catch (error) {
    throw new ImageSourceError('not-found', `${path}: ${fileProblem(error)}`, { cause: error });
  }
  throw new ImageSourceError('invalid-answer', `${path} is not a regular file`);
}

/** First bytes of compressed files that are not read: bzip2, xz. */
const OTHER_COMPRESSION = /^(?:BZh|\u00FD7zXZ)/;

/** Returns the file itself if it is not compressed. */
async function inflated(file: FileHandle, path: string, context: LookupContext): Promise<FileHandle> {
  const start = Buffer.alloc(8);
  await file.read(start, 0, start.length, 0);
  if (OTHER_COMPRESSION.test(start.toString('latin1'))) {
    throw new ImageSourceError('invalid-answer', `${path} is compressed by bzip2 or xz: unpack it first`);
  }
  if (compressionOf(start) === 'none') return file;
  const folder = await mkdtemp(join(tmpdir(), 'libc-dns-archive-'));
  const plain = await open(join(folder, 'archive.tar'), 'wx+', 0o600);
  await rm(folder, { recursive: true });
  try {
    const bytes = inflatePrefix(chunksOf(file, 0, Number.POSITIVE_INFINITY, context), INFLATED);
    let next = await bytes.next();
    for (; next.done !== true; next = await bytes.next()) await plain.appendFile(next.value);
    if (next.value === 'end') return plain;
    throw new ImageSourceError('invalid-answer', `${path} cannot be inflated: ${next.value}`);
  } catch (error) {
    await plain.close();
    throw error;
  }
}

async function* chunksOf(
  file: FileHandle,
  from: number,
  end: number,
  { signal, meter }: LookupContext,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = from; at < end;) {
    signal.throwIfAborted();
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, end - at));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) return;
    meter.bytes += bytesRead;
    at += bytesRead;
    yield chunk.subarray(0, bytesRead);
  }
}

type Entry = Span | { readonly leadsTo: string };

/** Reads the headers alone: what is between them is passed over. The first of two entries of a name counts, as for skopeo. */
async function entriesOf(file: FileHandle, path: string, context: LookupContext): Promise<ReadonlyMap<string, Entry>> {
  const entries = new Map<string, Entry>();
  const left = { entries: MOST_ENTRIES, extendedBytes: 16 * MOST_HEADER_BYTES };
  const limits = { nameBytes: MOST_NAME_BYTES, headerBytes: MOST_HEADER_BYTES, left };
  const { size } = await file.stat();
  for (let at = 0; at <= size;) {
    const tar = readTar(headersFrom(file, at, context), limits);
    const { value, done } = await tar.next();
    if (done === true) {
      if (entries.size > 0 && (value === 'complete' || value === 'boundary')) return entries;
      break;
    }
    await tar.return('boundary');
    left.entries -= 1;
    const name = plainName(value.name);
    if (!entries.has(name)) entries.set(name, entryOf(value, name, at));
    at += value.end;
  }
  const why = entries.size === 0 ? 'is not a tar file' : 'is a tar file that is damaged, cut off or too large';
  throw new ImageSourceError('invalid-answer', `${path} ${why}`);
}

/** Headers are small and far apart. */
const HEADER_CHUNK_BYTES = 4096;

async function* headersFrom(file: FileHandle, from: number, context: LookupContext) {
  yield* chunksOf(file, from, from + HEADER_CHUNK_BYTES, context);
  yield* chunksOf(file, from + HEADER_CHUNK_BYTES, Number.POSITIVE_INFINITY, context);
}

const BLOCK_BYTES = 512;

function entryOf({ type, size, end, linkName }: TarEntry, name: string, at: number): Entry {
  if (type === 'symlink') return { leadsTo: plainName(posix.join(posix.dirname(name), linkName)) };
  if (type === 'hard-link') return { leadsTo: plainName(linkName) };
  return { offset: at + end - Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES, length: type === 'file' ? size : 0 };
}

/** A path from the root of the archive. */
const plainName = (name: string): string => posix.normalize(`/${name}`).slice(1);

/** By the file that only one kind of archive has: what to write for the other. */
const OTHER_KIND: ReadonlyMap<string, string> = new Map([
  ['manifest.json', ', as docker save writes it: if it is an OCI archive, write oci-archive:FILE'],
  ['index.json', ', as an OCI archive has it: if docker save wrote it, write docker-archive:FILE'],
]);

function findIn(entries: ReadonlyMap<string, Entry>, path: string, name: string): Span {
  let at = plainName(name);
  for (let links = 0; links <= MOST_LINKS; links += 1) {
    const entry = entries.get(at);
    if (entry === undefined) {
      throw new ImageSourceError('not-found', `${path} has no ${JSON.stringify(at)}${OTHER_KIND.get(at) ?? ''}`);
    }
    if ('offset' in entry) return entry;
    at = entry.leadsTo;
  }
  throw new ImageSourceError('invalid-answer', `${path}: ${JSON.stringify(name)} leads along too many links`);
}

/** Reads a small file of an archive. Rejects with `ImageSourceError` `invalid-answer` if it is longer than `most` bytes. */
export async function readWhole(archive: Archive, name: string, most: number, context: LookupContext): Promise<Buffer> {
  const span = archive.find(name);
  if (span.length > most) {
    throw new ImageSourceError(
      'invalid-answer',
      `${archive.path}: ${JSON.stringify(name)} is longer than ${most} bytes`,
    );
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive.chunks(span, { offset: 0, length: span.length }, context)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (bytes.length === span.length) return bytes;
  throw new ImageSourceError('invalid-answer', `${archive.path}: ${JSON.stringify(name)} is cut off`);
}
