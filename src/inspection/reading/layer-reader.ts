import type {
  BlobReader,
  Descriptor,
  ImageManifest,
  ImageSource,
  LookupContext,
  Meter,
} from '../../detection/image-source.ts';
import { readRange, readWindows } from './blob-reads.ts';
import { type InflateEnd, inflatePrefix, singleChunk } from '../formats/compression.ts';
import { longestScript, longestText, readContent, searchMarks } from '../formats/file-content.ts';
import { byteCursor, fileBytes, readTar, type TarAllowance, type TarEntry } from '../formats/tar.ts';
import { hasToc, readToc } from './layer-toc.ts';
import { type InspectLimits, namesOfFiles, type Resources, tinyLayer } from '../limits.ts';
import { entryBytes, type FileContent, layerIndex, type LayerIndex, type LayerNode } from '../overlay.ts';

/** Reads an image's layers within limits, and holds what is known of them. */
export interface LayerReader {
  /** Base first. */
  readonly layers: readonly LayerIndex[];
  wasRead(layer: number): boolean;
  requestsLeft(): number;
  bytesLeft(): number;
  /** Reports whether enough work is left to look a program up once more. */
  mayLocate(): boolean;
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
  /**
   * Called after each entry; decides whether the scan goes on. `noted`: the file is the one wanted, but not the last. `wanted`:
   * it may be the one, and the scan goes on in any case.
   */
  readonly visit: (path: string, node: LayerNode) => 'stop' | 'noted' | 'wanted' | 'go';
}

/** Returns a reader that has read nothing. `started`: the meter's state when the look-up began. */
export function createLayerReader(
  source: ImageSource,
  manifest: ImageManifest,
  context: LookupContext,
  limits: InspectLimits,
  { started, resources }: { readonly started: Meter; readonly resources: Resources },
): LayerReader {
  const count = { lookups: 0 };
  const layers = manifest.layers.map(() => layerIndex(count));
  const { inflatedBytes, entries, extendedBytes, scriptBytes, textBytes } = limits;
  const left: Allowance = { inflatedBytes, entries, extendedBytes, scriptBytes, textBytes };
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
    mayLocate: () => count.lookups < limits.lookups,
    async read(number, plan) {
      const layer = manifest.layers[number];
      const index = layers[number];
      if (layer === undefined || index === undefined || read.has(number)) return;
      await resources.room();
      const tableFits = layer.size > tinyLayer && requestsLeft() > plan.reserve + 1;
      if (tableFits && hasToc(layer)) {
        read.add(number);
        const table = await readToc(source, layer, context, resources, count);
        if (table !== undefined) {
          layers[number] = table;
          return;
        }
        if (requestsLeft() === 0) return;
      }
      read.add(number);
      const mayOpen = (): boolean => requestsLeft() > plan.reserve;
      await scanPlanned({ source, layer, index, plan, context, limits, left, resources, mayOpen, mayLead });
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
  readonly left: Allowance;
  readonly resources: Resources;
  readonly mayOpen: () => boolean;
  readonly mayLead: () => boolean;
}

async function scanPlanned(scan: Scan): Promise<void> {
  const { source, layer, index, plan, context, limits, mayOpen, mayLead } = scan;
  const state = { received: 0, found: false };
  const visit: Visit = async (path, node, entry) => {
    const next = plan.visit(path, node);
    if (next === 'go') return 'go';
    if (next === 'wanted') {
      await searchIn(index, path, entry, mayLead);
      return 'go';
    }
    const isLast = next === 'stop' || (mayOpen() && (await endsAt(source, layer, entry.end, context)));
    if (isLast && next === 'noted') index.complete = true;
    // Marks are searched for in the bytes already here. An interpreter further on is worth a request.
    state.found = isLast && !isFarOn(index.get(path));
    await searchIn(index, path, entry, mayLead);
    state.found = isLast;
    return isLast ? 'stop' : 'go';
  };
  const goesOn = (): boolean => mayOpen() && (limits.wholeLayers || !state.found);
  const bytes = countBytes(readWindows(source, layer, plan.windows, context, goesOn), state);
  await scanLayer(bytes, visit, scan, () => state.received >= layer.size);
}

// Two blocks of zeros end an archive. Some writers fill it up to 20: links might stand there, too, so it is read on.
const archiveEnd = 2 * 512;

/**
 * Reports whether a layer's archive ends at this offset, by the length that gzip writes at the end of the blob (RFC 1952,
 * ISIZE, modulo 2^32), for one request of 4 bytes. It does not if the layer is compressed in another way, or in parts.
 */
async function endsAt(source: BlobReader, layer: Descriptor, end: number, context: LookupContext): Promise<boolean> {
  if (layer.size < 4) return false;
  const last = await readRange(source, layer, { offset: layer.size - 4, length: 4 }, context);
  return last.length === 4 && (last.readUInt32LE(0) - (end % 2 ** 32) + 2 ** 32) % 2 ** 32 <= archiveEnd;
}

/** Reports whether a program's interpreter is beyond the bytes that were read. */
function isFarOn(node: LayerNode | undefined): boolean {
  if (node?.type !== 'file' || node.content.kind !== 'elf') return false;
  const { finding } = node.content;
  return finding.kind === 'undetermined' && finding.apart !== undefined;
}

async function searchIn(index: LayerIndex, path: string, entry: TarEntry, mayReadOn: () => boolean): Promise<void> {
  const node = index.get(path);
  if (node?.type !== 'file') return;
  const content = await searchMarks(node.content, entry, entry.size, mayReadOn);
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

/** What may still be read of an image's layers; counted down. */
interface Allowance extends TarAllowance {
  inflatedBytes: number;
  scriptBytes: number;
  textBytes: number;
}

/** Called for each path added; decides whether the scan goes on. `entry` gives more of the file's bytes. */
type Visit = (path: string, node: LayerNode, entry: TarEntry) => Promise<'stop' | 'go'>;

const maxName = 2048;
const maxExtendedHeader = 64 * 1024;

/**
 * Reads a layer's bytes into its index until they end, `visit` stops the scan, or a limit is reached. Rejects only with the
 * errors of `bytes`, and with `lookupAbort.noMemory`. `wholeBlob` reports, once the bytes have ended, whether they were the whole blob.
 */
async function scanLayer(
  bytes: AsyncIterable<Uint8Array>,
  visit: Visit,
  { index, limits, left, resources }: Scan,
  wholeBlob: () => boolean,
): Promise<void> {
  const window = { bytes: 0 };
  const hold = (wanted: number): boolean => {
    if (!resources.keep(wanted, 'the window of its compression')) return false;
    window.bytes += wanted;
    return true;
  };
  const inflated = inflatePrefix(bytes, { outputBytes: left.inflatedBytes, ratio: limits.ratio, hold });
  const watched = watchEnd(inflated, left);
  const entries = readTar(watched.bytes, { nameBytes: maxName, headerBytes: maxExtendedHeader, left });
  try {
    for (;;) {
      const next = await entries.next();
      if (next.done === true) {
        const ended = next.value === 'boundary' && watched.end() === 'end' && wholeBlob();
        index.complete = next.value === 'complete' || ended;
        return;
      }
      const node = await nodeOf(next.value, left);
      if (!resources.keep(entryBytes(next.value.name, node), namesOfFiles)) return;
      index.isForeign ||= !next.value.isPosix;
      const path = index.add(next.value.name, node);
      if (path !== undefined && (await visit(path, node, next.value)) === 'stop') return;
      await resources.due();
      if (resources.excess !== undefined) return;
    }
  } finally {
    await entries.return('cut');
    await inflated.return('end');
    resources.give(window.bytes);
  }
}

async function nodeOf(entry: TarEntry, left: Allowance): Promise<LayerNode> {
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
      const mayBeText = executable || isTextName(entry.name);
      const content = await readContent(entry, entry.size, {
        script: Math.min(longestScript, left.scriptBytes),
        text: mayBeText ? Math.min(longestText, left.textBytes) : 0,
      });
      if (content.kind === 'script') left.scriptBytes -= Math.min(longestScript, left.scriptBytes, entry.size);
      if (content.kind === 'plain' && content.text !== undefined) left.textBytes -= entry.size;
      return { type: 'file', content, executable };
    }
    default:
      return { type: 'other' };
  }
}

/** Reports whether a file may be one that scripts source, or that tells a supervisor what to start. */
function isTextName(path: string): boolean {
  if (/(?:^|\/)(?:usr\/share|usr\/include|node_modules|site-packages|dist-packages)\//u.test(path)) return false;
  return (
    /\.(?:sh|bash|envsh|env|conf|ini|cfg|inc)$/u.test(path) ||
    /(?:^|\/)(?:services?|layers|compose|process-compose)(?:\/[^/]+)?\.(?:toml|ya?ml)$|^layers\/config\/metadata\.toml$/u.test(
      path,
    ) ||
    /^layers\/[^/]+\/[^/]+\/(?:env|env\.launch|profile\.d)\//u.test(path) ||
    /(?:^|\/)(?:docker-)?(?:entry|start|run|launch|init|boot)[\w-]{0,40}\.(?:py|rb|pl|m?js)$/u.test(path) ||
    /(?:^|\/)(?:package\.json|crontab|etc\/cron\.d\/[\w.-]+|cron(?:tab)?s\/[\w.-]+)$/u.test(path) ||
    /(?:^|\/)(?:Procfile|envvars|run|profile|\.(?:bash_)?profile|\.bash_login|\.bashrc|bash_env|dinit\.d\/[\w.@-]+|etc\/(?:default|sysconfig|profile\.d)\/[\w.-]+)$/u.test(
      path,
    )
  );
}

/** Notes how the bytes end, and counts them. */
function watchEnd(
  inflated: AsyncGenerator<Uint8Array, InflateEnd>,
  left: Allowance,
): {
  bytes: AsyncIterator<Uint8Array>;
  end: () => InflateEnd | undefined;
} {
  let end: InflateEnd | undefined;
  return {
    end: () => end,
    bytes: {
      async next() {
        const next = await inflated.next();
        if (next.done !== true) {
          left.inflatedBytes -= next.value.length;
          return next;
        }
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
  const bytes = fileBytes(byteCursor(chunks), place.size);
  try {
    return await searchMarks(await readContent(bytes, place.size), bytes, place.size, () => true);
  } finally {
    await chunks.return('end');
  }
}
