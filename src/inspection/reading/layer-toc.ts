import { createHash } from 'node:crypto';

import type { BlobReader, Descriptor, LookupContext } from '../../detection/image-source.ts';
import { itemsOf, parseBoundedJson } from '../../util/json-bounds.ts';
import { isObject } from '../../util/json.ts';
import { readRange } from './blob-reads.ts';
import { inflatePrefix, singleChunk } from '../formats/compression.ts';
import { readTar } from '../formats/tar.ts';
import { namesOfFiles, type Resources } from '../limits.ts';
import { entryBytes, type LayerIndex, layerIndex, type LayerNode, type LookupCount } from '../overlay.ts';

const stargzDigest = 'containerd.io/snapshot/stargz/toc.digest';
const chunkedPosition = 'io.github.containers.zstd-chunked.manifest-position';
const chunkedDigest = 'io.github.containers.zstd-chunked.manifest-checksum';

const footerBytes = 51;
// Holds most eStargz tables whole, which saves a second request.
const tailBytes = 32 * 1024;
// A larger table costs more than it saves: a base layer's first executable is at most 232 KB in.
const maxTableBytes = 192 * 1024;
// Digests hardly compress, so no table of `maxTableBytes` is longer.
const maxTableText = 3 * 1024 * 1024;
const ratio = 400;
const maxEntries = 100_000;
const maxPath = 4096;
// An entry has about ten members, and extended attributes.
const maxEntryText = 64 * 1024;
const entryBounds = { depth: 8, values: 1000 };

/** Reports whether the layer names a table of contents that is worth reading. */
export function hasToc(layer: Descriptor): boolean {
  return layer.annotations?.[stargzDigest] !== undefined || chunkedPlace(layer) !== undefined;
}

/**
 * Reads a layer's table of contents with one request, two if an eStargz table is long. Returns undefined if the table
 * is missing, too long or does not match the manifest's digest; read the layer like any other then.
 */
export async function readToc(
  source: BlobReader,
  layer: Descriptor,
  context: LookupContext,
  resources: Resources,
  count: LookupCount,
): Promise<LayerIndex | undefined> {
  const place = chunkedPlace(layer);
  const held = { bytes: 0 };
  // What is read in pieces is held twice while they are put together.
  const hold: Hold = (bytes) => {
    if (!resources.keep(2 * bytes, 'its table of contents')) return false;
    held.bytes += 2 * bytes;
    return true;
  };
  try {
    const packed =
      place === undefined ? await readStargz(source, layer, context) : await readRange(source, layer, place, context);
    if (packed === undefined || !hold(packed.length)) return undefined;
    const release = await resources.table();
    try {
      const json = await (place === undefined ? stargzText(packed, layer, hold) : chunkedText(packed, layer, hold));
      return json === undefined ? undefined : await indexOfToc(json, layer.size, resources, count);
    } finally {
      release();
    }
  } finally {
    resources.give(held.bytes);
  }
}

/** Counts bytes that are held for a moment; returns false if there is no room for them. */
type Hold = (bytes: number) => boolean;

interface Range {
  readonly offset: number;
  readonly length: number;
}

// `offset:compressed length:length:type`; type 1 is the only one (containers/storage, ManifestTypeCRFS).
function chunkedPlace(layer: Descriptor): Range | undefined {
  const match = /^(\d{1,15}):(\d{1,15}):(\d{1,15}):1$/u.exec(layer.annotations?.[chunkedPosition] ?? '');
  if (match === null) return undefined;
  const [offset = 0, length = 0] = match.slice(1).map(Number);
  return length > 0 && length <= maxTableBytes && offset + length <= layer.size ? { offset, length } : undefined;
}

// The checksum covers the compressed table (containers/storage pkg/chunked/compression_linux.go).
async function chunkedText(packed: Buffer, layer: Descriptor, hold: Hold): Promise<Buffer | undefined> {
  return isDigest(packed, layer.annotations?.[chunkedDigest]) ? await inflate(packed, hold) : undefined;
}

/** Reads the compressed table that the footer points to; undefined without a footer, or if the table is too long. */
async function readStargz(source: BlobReader, layer: Descriptor, context: LookupContext): Promise<Buffer | undefined> {
  const tailStart = Math.max(0, layer.size - tailBytes);
  const tail = await readRange(source, layer, { offset: tailStart, length: layer.size - tailStart }, context);
  const tocStart = stargzTocOffset(tail.subarray(-footerBytes));
  const tocEnd = layer.size - footerBytes;
  if (tocStart === undefined || tocStart >= tocEnd || tocEnd - tocStart > maxTableBytes) return undefined;
  const before =
    tocStart < tailStart
      ? await readRange(source, layer, { offset: tocStart, length: tailStart - tocStart }, context)
      : Buffer.alloc(0);
  return Buffer.concat([before, tail.subarray(Math.max(0, tocStart - tailStart), tail.length - footerBytes)]);
}

async function stargzText(packed: Buffer, layer: Descriptor, hold: Hold): Promise<Buffer | undefined> {
  const json = await tocText(packed, hold);
  return json !== undefined && isDigest(json, layer.annotations?.[stargzDigest]) ? json : undefined;
}

/**
 * Returns the offset in an eStargz footer: an empty gzip member with the extra field `SG` (docs/estargz.md, "Footer").
 */
function stargzTocOffset(footer: Buffer): number | undefined {
  if (footer.length < footerBytes) return undefined;
  const isSubfield = footer.subarray(12, 16).equals(Buffer.from([0x53, 0x47, 22, 0]));
  const text = /^(?<offset>[0-9a-f]{16})STARGZ$/u.exec(footer.toString('latin1', 16, 38));
  const offset = Number.parseInt((isSubfield && text?.groups?.['offset']) || '', 16);
  return Number.isSafeInteger(offset) ? offset : undefined;
}

// eStargz keeps the table in a gzip member of its own, as a tar entry.
async function tocText(member: Buffer, hold: Hold): Promise<Buffer | undefined> {
  const inflated = await inflate(member, hold);
  if (inflated === undefined) return undefined;
  const left = { entries: 4, extendedBytes: 4096 };
  const entries = readTar(singleChunk(inflated), { nameBytes: maxPath, headerBytes: 4096, left });
  for await (const entry of entries) {
    if (entry.name === 'stargz.index.json') return Buffer.from(await entry.head(maxTableText));
  }
  return undefined;
}

async function inflate(bytes: Buffer, hold: Hold): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of inflatePrefix(singleChunk(bytes), { outputBytes: maxTableText, ratio })) {
    if (!hold(chunk.length)) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function isDigest(bytes: Uint8Array, digest: string | undefined): boolean {
  if (digest === undefined) return true;
  const [algorithm = '', hex = ''] = digest.split(':', 2);
  if (algorithm !== 'sha256' && algorithm !== 'sha512') return false;
  return createHash(algorithm).update(bytes).digest('hex') === hex;
}

/**
 * Returns the index of a table: complete, its files unread; undefined if `json` is no such table, or too large. `end` is the
 * blob's size. eStargz (stargz-snapshotter docs/estargz.md) and zstd:chunked (containers/storage pkg/chunked/internal) share
 * the format: `{ version, entries: [{ name, type, linkName, size, offset, mode, ... }] }`. Parses entry by entry, so that a
 * table of 3 MiB is never in memory as objects, and gives the thread to others between them.
 */
export async function indexOfToc(
  json: Uint8Array,
  end: number,
  resources: Pick<Resources, 'keep' | 'due' | 'excess'>,
  count?: LookupCount,
): Promise<LayerIndex | undefined> {
  const index = layerIndex(count);
  const items = itemsOf(json, 'entries');
  for (let entries = 0; entries < maxEntries; entries += 1) {
    const next = items.next();
    if (next.done === true) {
      index.complete = next.value === 'whole';
      return index.complete ? index : undefined;
    }
    const entry = next.value.length > maxEntryText ? undefined : parseBoundedJson(next.value, entryBounds);
    if (entry === undefined) return undefined;
    const name = textField(entry, 'name');
    const node = nodeOf(entry, end);
    if (name !== undefined && name.length <= maxPath && node !== undefined) {
      if (!resources.keep(entryBytes(name, node), namesOfFiles)) return undefined;
      index.add(name, node);
    }
    await resources.due();
    if (resources.excess !== undefined) return undefined;
  }
  return undefined;
}

function nodeOf(entry: unknown, end: number): LayerNode | undefined {
  const link = textField(entry, 'linkName') ?? '';
  switch (textField(entry, 'type')) {
    case 'reg':
      return fileNode(entry, end);
    case 'symlink':
      return { type: 'symlink', target: link.slice(0, maxPath) };
    case 'hardlink':
      return { type: 'hard-link', target: link.slice(0, maxPath) };
    case 'dir':
      return { type: 'directory' };
    case 'chunk':
      return undefined;
    default:
      return { type: 'other' };
  }
}

function fileNode(entry: unknown, end: number): LayerNode {
  const size = countField(entry, 'size') ?? 0;
  const offset = countField(entry, 'offset');
  const executable = ((countField(entry, 'mode') ?? 0) & 0o111) !== 0;
  if (size === 0 || offset === undefined || offset >= end)
    return { type: 'file', content: { kind: 'plain' }, executable };
  const stop = Math.min(countField(entry, 'endOffset') ?? end, end);
  return { type: 'file', content: { kind: 'unread', offset, length: Math.max(stop - offset, 1), size }, executable };
}

function field(value: unknown, name: string): unknown {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

function textField(value: unknown, name: string): string | undefined {
  const found = field(value, name);
  return typeof found === 'string' ? found : undefined;
}

function countField(value: unknown, name: string): number | undefined {
  const found = field(value, name);
  return typeof found === 'number' && Number.isSafeInteger(found) && found >= 0 ? found : undefined;
}
