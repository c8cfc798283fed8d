import { gzipSync } from 'node:zlib';
import { sha256Digest } from './digest.ts';
import { tarPart, TAR_END, type TarEntry, type TarOptions, type TarPart } from './tar-builder.ts';

/**
 * Builds eStargz layers (stargz-snapshotter docs/estargz.md): one gzip member per file payload, a table of contents as the last
 * tar entry, and a footer of 51 bytes with its offset.
 */

const TOC_NAME = 'stargz.index.json';
const NO_PREFETCH_LANDMARK = '.no.prefetch.landmark';
const CHUNK_SIZE = 4 << 20;

interface TocEntry {
  readonly name: string;
  readonly type: string;
  readonly size?: number;
  readonly linkName?: string;
  readonly mode?: number;
  readonly offset?: number;
  readonly digest?: string;
  readonly chunkOffset?: number;
  readonly chunkSize?: number;
  readonly chunkDigest?: string;
}

export interface TocLayer {
  readonly bytes: Buffer;
  readonly uncompressed: Buffer;
  readonly annotations: Readonly<Record<string, string>>;
}

export function estargz(entries: readonly TarEntry[], options: TarOptions): TocLayer {
  const writer = new MemberWriter();
  const toc: TocEntry[] = [];
  const landmark: TarEntry = { path: NO_PREFETCH_LANDMARK, content: Buffer.from([0x0f]), mode: 0o644 };
  for (const entry of [landmark, ...entries]) toc.push(...writeEntry(writer, tarPart(entry, options)));
  writer.endMember();

  const tocOffset = writer.offset;
  const json = Buffer.from(JSON.stringify({ version: 1, entries: toc }));
  const { header, content, padding } = tarPart({ path: TOC_NAME, content: json, mode: 0o444 });
  for (const piece of [header, content, padding, TAR_END]) writer.write(piece);
  writer.endMember();

  return {
    bytes: Buffer.concat([...writer.members, footer(tocOffset)]),
    uncompressed: Buffer.concat(writer.plain),
    annotations: {
      'containerd.io/snapshot/stargz/toc.digest': sha256Digest(json),
      'io.containers.estargz.uncompressed-size': String(writer.plain.reduce((sum, piece) => sum + piece.length, 0)),
    },
  };
}

/** Collects bytes into gzip members and knows the offset of the next one. */
class MemberWriter {
  readonly members: Buffer[] = [];
  readonly plain: Buffer[] = [];
  offset = 0;
  #open: Buffer[] = [];

  write(piece: Buffer): void {
    this.#open.push(piece);
    this.plain.push(piece);
  }

  endMember(): void {
    if (this.#open.length === 0) return;
    const member = gzipSync(Buffer.concat(this.#open));
    this.members.push(member);
    this.offset += member.length;
    this.#open = [];
  }
}

/** A payload starts a new member; the padding and headers after it belong to the same member. */
function writeEntry(writer: MemberWriter, { entry, name, header, content, padding }: TarPart): TocEntry[] {
  const type = { file: 'reg', dir: 'dir', symlink: 'symlink', hardlink: 'hardlink', fifo: 'fifo' }[
    entry.type ?? 'file'
  ];
  const common = {
    name,
    type,
    mode: entry.mode ?? 0o755,
    ...(entry.target === undefined ? {} : { linkName: entry.target }),
  };
  writer.write(header);
  if (type !== 'reg') return [common];
  const chunks: TocEntry[] = [];
  for (let at = 0; at < content.length; at += CHUNK_SIZE) {
    const chunk = content.subarray(at, at + CHUNK_SIZE);
    writer.endMember();
    const first =
      at === 0 ? { ...common, size: content.length, digest: sha256Digest(content) } : { name, type: 'chunk' };
    const size = chunk.length === CHUNK_SIZE ? { chunkSize: CHUNK_SIZE } : {};
    const place = { offset: writer.offset, ...(at === 0 ? {} : { chunkOffset: at }) };
    chunks.push({ ...first, ...place, ...size, chunkDigest: sha256Digest(chunk) });
    writer.write(chunk);
  }
  writer.write(padding);
  return chunks.length === 0 ? [{ ...common, digest: sha256Digest(content) }] : chunks;
}

/** Returns an empty gzip member whose extra field `SG` holds the offset of the table of contents. */
function footer(tocOffset: number): Buffer {
  const subfield = Buffer.from(`${tocOffset.toString(16).padStart(16, '0')}STARGZ`);
  const gzipHeader = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff]);
  const extra = Buffer.from([subfield.length + 4, 0, 0x53, 0x47, subfield.length, 0]);
  const emptyStoredBlock = Buffer.from([1, 0, 0, 0xff, 0xff]);
  return Buffer.concat([gzipHeader, extra, subfield, emptyStoredBlock, Buffer.alloc(8)]);
}
