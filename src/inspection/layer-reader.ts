import type {
  BlobReader,
  Descriptor,
  ImageManifest,
  ImageSource,
  LookupContext,
  Meter,
} from '../detection/image-source.ts';
import { readRange, readWindows } from './blob-reads.ts';
import { type InflateEnd, inflatePrefix } from './formats/compression.ts';
import { type Head, readContent, scriptBytes, searchMarks } from './formats/file-content.ts';
import { byteCursor, readTar, type TarEntry } from './formats/tar.ts';
import { hasToc, readToc } from './layer-toc.ts';
import { type InspectLimits, tinyLayer } from './limits.ts';
import { type FileContent, layerIndex, type LayerIndex, type LayerNode } from './overlay.ts';

/** Reads an image's layers within limits, and holds what is known of them. */
export interface LayerReader {
  /** Base first. */
  readonly layers: readonly LayerIndex[];
  wasRead(layer: number): boolean;
  requestsLeft(): number;
  bytesLeft(): number;
  /** Reads a layer by its table of contents or from its beginning. Does nothing the second time. */
  read(layer: number, plan: ReadPlan): Promise<void>;
  /** Reads the first bytes of a file that a table of contents names. */
  readFile(layer: number, path: string): Promise<void>;
}

export interface ReadPlan {
  /** Bytes of each request, in order, as long as the scan goes on. */
  readonly windows: readonly number[];
  /** Requests to keep for later. */
  readonly reserve: number;
  /** Called after each entry; decides whether the scan goes on. `noted`: the file is the one wanted, but not the last. */
  readonly visit: (path: string, node: LayerNode) => 'stop' | 'noted' | 'go';
}

/** Returns a reader that has read nothing. `started` is the meter's state when the look-up began. */
export function createLayerReader(
  source: ImageSource,
  manifest: ImageManifest,
  context: LookupContext,
  limits: InspectLimits,
  started: Meter,
): LayerReader {
  const layers = manifest.layers.map(() => layerIndex());
  const read = new Set<number>();
  const bytesUsed = (): number => context.meter.bytes - started.bytes;
  const requestsLeft = (): number =>
    Math.max(limits.requests - (context.meter.requests - started.requests), limits.leastReads - read.size);
  const mayLead = (): boolean => bytesUsed() < limits.leadBytes;

  return {
    layers,
    wasRead: (layer) => read.has(layer),
    requestsLeft,
    bytesLeft: () => limits.bytes - bytesUsed(),
    async read(number, plan) {
      const layer = manifest.layers[number];
      const index = layers[number];
      if (layer === undefined || index === undefined || read.has(number)) return;
      const tableFits = layer.size > tinyLayer && requestsLeft() > plan.reserve + 1;
      if (tableFits && hasToc(layer)) {
        read.add(number);
        const table = await readToc(source, layer, context);
        if (table !== undefined) {
          layers[number] = table;
          return;
        }
        if (requestsLeft() === 0) return;
      }
      read.add(number);
      const mayOpen = (): boolean => requestsLeft() > plan.reserve;
      await scanPlanned({ source, layer, index, plan, context, limits, mayOpen, mayLead });
    },
    async readFile(number, path) {
      const layer = manifest.layers[number];
      const node = layers[number]?.get(path);
      if (layer === undefined || node?.type !== 'file' || node.content.kind !== 'unread') return;
      const content = await readUnread(source, layer, node.content, context, limits);
      layers[number]?.replace(path, { ...node, content });
    },
  };
}

interface Scan {
  readonly source: ImageSource;
  readonly layer: Descriptor;
  readonly index: LayerIndex;
  readonly plan: ReadPlan;
  readonly context: LookupContext;
  readonly limits: InspectLimits;
  readonly mayOpen: () => boolean;
  readonly mayLead: () => boolean;
}

async function scanPlanned({ source, layer, index, plan, context, limits, mayOpen, mayLead }: Scan): Promise<void> {
  const state = { received: 0, found: false };
  const visit: Visit = async (path, node, entry) => {
    const next = plan.visit(path, node);
    if (next === 'go') return 'go';
    // Searches the bytes already here; makes no further request for it.
    state.found = next === 'stop';
    await searchIn(index, path, entry, mayLead);
    return state.found ? 'stop' : 'go';
  };
  const goesOn = (): boolean => mayOpen() && (limits.wholeLayers || !state.found);
  const bytes = countBytes(readWindows(source, layer, plan.windows, context, goesOn), state);
  await scanLayer(bytes, index, visit, limits, () => state.received >= layer.size);
}

async function searchIn(index: LayerIndex, path: string, entry: TarEntry, mayReadOn: () => boolean): Promise<void> {
  const node = index.get(path);
  if (node?.type !== 'file') return;
  const content = await searchMarks(node.content, entry.head, entry.size, mayReadOn);
  if (content !== node.content) index.replace(path, { ...node, content });
}

async function* countBytes(
  bytes: AsyncIterable<Uint8Array>,
  state: { received: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of bytes) {
    state.received += chunk.length;
    yield chunk;
  }
}

interface ScanLimits {
  /** Most bytes inflated from one layer. */
  readonly inflatedBytes: number;
  /** Most bytes inflated per byte read. */
  readonly ratio: number;
  readonly entries: number;
}

/** Called for each path added; decides whether the scan goes on. `entry` gives more of the file's bytes. */
type Visit = (path: string, node: LayerNode, entry: TarEntry) => Promise<'stop' | 'go'>;

const maxName = 2048;
const maxExtendedHeader = 64 * 1024;
// Parsing takes a hundred times as long as inflating: this bounds a layer of nothing but scripts.
const maxScripts = 256 * 1024;

/**
 * Reads a layer's bytes into `index` until they end or `visit` stops the scan. Rejects only with the errors of `bytes`.
 * `wholeBlob` reports, once the bytes have ended, whether they were the whole blob.
 */
async function scanLayer(
  bytes: AsyncIterable<Uint8Array>,
  index: LayerIndex,
  visit: Visit,
  limits: ScanLimits,
  wholeBlob: () => boolean,
): Promise<void> {
  const inflated = inflatePrefix(bytes, { outputBytes: limits.inflatedBytes, ratio: limits.ratio });
  const watched = watchEnd(inflated);
  const entries = readTar(watched.bytes, {
    entries: limits.entries,
    nameBytes: maxName,
    headerBytes: maxExtendedHeader,
  });
  const scripts = { left: maxScripts };
  try {
    for (;;) {
      const next = await entries.next();
      if (next.done === true) {
        const ended = next.value === 'boundary' && watched.end() === 'end' && wholeBlob();
        index.complete = next.value === 'complete' || ended;
        return;
      }
      if ((await addEntry(next.value, index, visit, scripts)) === 'stop') return;
    }
  } finally {
    await entries.return('cut');
    await inflated.return('end');
  }
}

async function addEntry(
  entry: TarEntry,
  index: LayerIndex,
  visit: Visit,
  scripts: { left: number },
): Promise<'stop' | 'go'> {
  const node = await nodeOf(entry, scripts);
  const path = index.add(entry.name, node);
  return path === undefined ? 'go' : visit(path, node, entry);
}

async function nodeOf(entry: TarEntry, scripts: { left: number }): Promise<LayerNode> {
  switch (entry.type) {
    case 'symlink':
      return { type: 'symlink', target: entry.linkName };
    case 'hard-link':
      return { type: 'hard-link', target: entry.linkName };
    case 'directory':
      return { type: 'directory' };
    case 'file': {
      const executable = (entry.mode & 0o111) !== 0;
      if (entry.size === 0) return { type: 'file', content: { kind: 'plain' }, executable };
      const content = await readContent(entry.head, entry.size, Math.min(scriptBytes, scripts.left));
      if (content.kind === 'script') scripts.left -= Math.min(scriptBytes, entry.size);
      return { type: 'file', content, executable };
    }
    default:
      return { type: 'other' };
  }
}

function watchEnd(inflated: AsyncGenerator<Uint8Array, InflateEnd>): {
  bytes: AsyncIterator<Uint8Array>;
  end: () => InflateEnd | undefined;
} {
  let end: InflateEnd | undefined;
  return {
    end: () => end,
    bytes: {
      async next() {
        const next = await inflated.next();
        if (next.done !== true) return next;
        end = next.value;
        return { done: true, value: undefined };
      },
    },
  };
}

const fileWindow = 24 * 1024;

/** Reads the beginning of a file at the place that a table of contents gives: gzip members or zstd frames in a row. */
async function readUnread(
  source: BlobReader,
  layer: Descriptor,
  place: Extract<FileContent, { kind: 'unread' }>,
  context: LookupContext,
  limits: InspectLimits,
): Promise<FileContent> {
  const length = Math.min(place.length, fileWindow);
  const compressed = await readRange(source, layer, { offset: place.offset, length }, context);
  const chunks = inflatePrefix(singleChunk(compressed), { outputBytes: limits.inflatedBytes, ratio: limits.ratio });
  const cursor = byteCursor(chunks);
  let held: Uint8Array = new Uint8Array(0);
  const head: Head = async (wanted) => {
    const missing = Math.min(wanted, place.size) - held.length;
    if (missing > 0) held = Buffer.concat([held, await cursor.take(missing)]);
    return held.subarray(0, wanted);
  };
  try {
    return await searchMarks(await readContent(head, place.size), head, place.size, () => true);
  } finally {
    await chunks.return('end');
  }
}

async function* singleChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}
