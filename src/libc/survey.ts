import type { Descriptor, ImageManifest, ImageSource, LookupContext, Meter } from '../detection/image-source.ts';
import { searchMarks } from '../inspection/formats/file-content.ts';
import type { TarEntry } from '../inspection/formats/tar.ts';
import { readWindows } from './blob-windows.ts';
import type { InspectLimits } from './inspect-limits.ts';
import { layerIndex, type LayerIndex, type LayerNode } from './layer-index.ts';
import { readUnread } from './read-unread.ts';
import { scanLayer, type Visit } from './scan-layer.ts';
import { hasToc, readToc } from './toc-reader.ts';

/** What is known of an image's layers, and the ways to know more at a known cost. */
export interface Survey {
  /** Base first. */
  readonly layers: readonly LayerIndex[];
  wasRead(layer: number): boolean;
  requestsLeft(): number;
  bytesLeft(): number;
  /** Reads a layer once, from its table of contents or its beginning. */
  read(layer: number, plan: ReadPlan): Promise<void>;
  /** Reads the first bytes of a file that a table of contents names. */
  readFile(layer: number, path: string): Promise<void>;
}

export interface ReadPlan {
  /** Bytes to ask for, request by request, as long as the scan goes on. */
  readonly windows: readonly number[];
  /** Requests to be left over. */
  readonly reserve: number;
  /** Whether a scan may stop after this entry. */
  readonly visit: (path: string, node: LayerNode) => 'stop' | 'go';
}

const tinyLayer = 32 * 1024;

/** Begins with nothing known. `started`: what the meter said when the look-up began. */
export function createSurvey(
  source: ImageSource,
  manifest: ImageManifest,
  context: LookupContext,
  limits: InspectLimits,
  started: Meter,
): Survey {
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
    if (plan.visit(path, node) === 'go') return 'go';
    // What is at hand is searched, but no further request made for it.
    state.found = true;
    await searchIn(index, path, entry, mayLead);
    return 'stop';
  };
  const goesOn = (): boolean => mayOpen() && (limits.wholeLayers || !state.found);
  const bytes = counted(readWindows(source, layer, plan.windows, context, goesOn), state);
  await scanLayer(bytes, index, visit, limits, () => state.received >= layer.size);
}

async function searchIn(index: LayerIndex, path: string, entry: TarEntry, mayReadOn: () => boolean): Promise<void> {
  const node = index.get(path);
  if (node?.type !== 'file') return;
  const content = await searchMarks(node.content, entry.head, entry.size, mayReadOn);
  if (content !== node.content) index.replace(path, { ...node, content });
}

async function* counted(
  bytes: AsyncIterable<Uint8Array>,
  state: { received: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of bytes) {
    state.received += chunk.length;
    yield chunk;
  }
}
