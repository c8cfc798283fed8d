import { zstdCompressSync } from 'node:zlib';
import { sha256Digest } from './digest.ts';
import type { TocLayer } from './estargz-builder.ts';
import { tarPart, TAR_END, type TarEntry, type TarOptions, type TarPart } from './tar-builder.ts';

/**
 * Builds zstd:chunked layers (containers/storage pkg/chunked/internal/minimal): a zstd frame for each chunk of a file, then
 * skippable frames with the compressed manifest, the compressed tar-split data and a footer. Annotations hold their offsets.
 */

const PREFIX = 'io.github.containers.zstd-chunked';
const MANIFEST_TYPE_CRFS = 1;
const SKIPPABLE_HEADER = 8;
const HOLE_THRESHOLD = 1 << 10;
const DATA_CHUNK = 64 << 10;

interface FileMetadata {
  readonly type: string;
  readonly name: string;
  readonly linkName?: string;
  readonly mode?: number;
  readonly size?: number;
  readonly digest?: string;
  readonly offset?: number;
  readonly endOffset?: number;
  readonly chunkSize?: number;
  readonly chunkOffset?: number;
  readonly chunkDigest?: string;
  readonly chunkType?: 'zeros';
}

export function zstdChunked(entries: readonly TarEntry[], options: TarOptions): TocLayer {
  const frames: Buffer[] = [];
  const parts = entries.map((entry) => tarPart(entry, options));
  const metadata: FileMetadata[] = [];
  let offset = 0;
  let pending: Buffer[] = [];
  const addFrame = (content: Buffer): number => {
    const frame = zstdCompressSync(content);
    frames.push(frame);
    offset += frame.length;
    return offset - frame.length;
  };
  for (const part of parts) {
    pending.push(part.header);
    if (part.content.length === 0) metadata.push(describe(part));
    else {
      addFrame(Buffer.concat(pending));
      const chunks = splitIntoChunks(part.content);
      const offsets = chunks.map(({ content }) => addFrame(content));
      metadata.push(...describeChunks(part, chunks, [...offsets, offset]));
      pending = [part.padding];
    }
  }
  addFrame(Buffer.concat([...pending, TAR_END]));

  const tables = tablesFor(metadata, parts, offset);
  const plain = parts.flatMap(({ header, content, padding }) => [header, content, padding]);
  return {
    bytes: Buffer.concat([...frames, ...tables.frames]),
    uncompressed: Buffer.concat([...plain, TAR_END]),
    annotations: tables.annotations,
  };
}

interface Chunk {
  readonly start: number;
  readonly content: Buffer;
  readonly zeros: boolean;
}

/** Splits off runs of zeros and cuts the rest at a fixed length (the real encoder cuts by content). */
function splitIntoChunks(content: Buffer): Chunk[] {
  const chunks: Chunk[] = [];
  const addData = (from: number, to: number): void => {
    for (let at = from; at < to; at += DATA_CHUNK) {
      chunks.push({ start: at, content: content.subarray(at, Math.min(to, at + DATA_CHUNK)), zeros: false });
    }
  };
  let dataFrom = 0;
  for (let at = content.indexOf(0); at !== -1;) {
    let end = at + 1;
    while (end < content.length && content[end] === 0) end += 1;
    if (end - at >= HOLE_THRESHOLD) {
      addData(dataFrom, at);
      chunks.push({ start: at, content: content.subarray(at, end), zeros: true });
      dataFrom = end;
    }
    at = content.indexOf(0, end);
  }
  addData(dataFrom, content.length);
  return chunks;
}

/**
 * Returns a file's entry, then one for each further chunk; a file in one chunk has no chunk fields. `offsets` holds where each
 * chunk's frame begins, and where the last one ends.
 */
function describeChunks(part: TarPart, chunks: readonly Chunk[], offsets: readonly number[]): FileMetadata[] {
  const endOffset = offsets[chunks.length] ?? 0;
  return chunks.map(({ start, content, zeros }, index) => {
    const offset = offsets[index] ?? 0;
    const inChunks = { chunkSize: content.length, chunkDigest: sha256Digest(content) };
    return Object.assign(
      index === 0 ? { ...describe(part), endOffset } : { type: 'chunk', name: part.name, chunkOffset: start },
      chunks.length === 1 ? { offset } : { offset, ...inChunks },
      chunks.length > 1 && zeros ? { chunkType: 'zeros' as const } : {},
    );
  });
}

function describe({ entry, name, content }: TarPart): FileMetadata {
  const type = { file: 'reg', dir: 'dir', symlink: 'symlink', hardlink: 'hardlink', fifo: 'fifo' }[
    entry.type ?? 'file'
  ];
  const common = { type, name, mode: entry.mode ?? 0o755 };
  if (entry.target !== undefined) return { ...common, linkName: entry.target };
  return content.length === 0 ? common : { ...common, size: content.length, digest: sha256Digest(content) };
}

interface Tables {
  readonly frames: Buffer[];
  readonly annotations: Record<string, string>;
}

function tablesFor(metadata: FileMetadata[], parts: readonly TarPart[], offset: number): Tables {
  const tarSplit = tarSplitData(parts);
  const manifest = Buffer.from(
    JSON.stringify({ version: 1, entries: metadata, tarSplitDigest: sha256Digest(tarSplit.compressed) }),
  );
  const compressed = zstdCompressSync(manifest);
  const manifestOffset = offset + SKIPPABLE_HEADER;
  const tarSplitOffset = manifestOffset + compressed.length + SKIPPABLE_HEADER;
  const manifestPlace = [manifestOffset, compressed.length, manifest.length, MANIFEST_TYPE_CRFS];
  const tarSplitPlace = [tarSplitOffset, tarSplit.compressed.length, tarSplit.plainLength];
  return {
    frames: [
      skippable(compressed),
      skippable(tarSplit.compressed),
      skippable(footer([...manifestPlace, ...tarSplitPlace])),
    ],
    annotations: {
      [`${PREFIX}.manifest-checksum`]: sha256Digest(compressed),
      [`${PREFIX}.manifest-position`]: manifestPlace.join(':'),
      [`${PREFIX}.tarsplit-position`]: tarSplitPlace.join(':'),
    },
  };
}

/** Returns the data that tar-split needs to rebuild the archive: the raw headers as segments, the files by name. */
function tarSplitData(parts: readonly TarPart[]): { compressed: Buffer; plainLength: number } {
  const lines = parts.flatMap(({ name, header, content, padding }, index) => [
    { type: 2, payload: header.toString('base64'), position: 3 * index },
    { type: 1, name, size: content.length, payload: null, position: 3 * index + 1 },
    { type: 2, payload: padding.toString('base64'), position: 3 * index + 2 },
  ]);
  const plain = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return { compressed: zstdCompressSync(plain), plainLength: plain.length };
}

function footer(fields: readonly number[]): Buffer {
  const bytes = Buffer.alloc(64);
  fields.forEach((field, index) => bytes.writeBigUInt64LE(BigInt(field), 8 * index));
  bytes.write('GNUlInUx', 56, 'latin1');
  return bytes;
}

function skippable(data: Buffer): Buffer {
  const header = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
  header.writeUInt32LE(data.length, 4);
  return Buffer.concat([header, data]);
}
