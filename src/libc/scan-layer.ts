import { type InflateEnd, inflatePrefix } from '../inspection/formats/compression.ts';
import { readContent, scriptBytes } from '../inspection/formats/file-content.ts';
import { readTar, type TarEntry } from '../inspection/formats/tar.ts';
import type { LayerIndex, LayerNode } from './layer-index.ts';

export interface ScanLimits {
  /** Most bytes that are inflated from one layer. */
  readonly inflatedBytes: number;
  /** Most bytes inflated per byte read. */
  readonly ratio: number;
  readonly entries: number;
}

/** Called for each path that is added; says whether the scan may stop there. `entry` reads on in the file. */
export type Visit = (path: string, node: LayerNode, entry: TarEntry) => Promise<'stop' | 'go'>;

const maxName = 2048;
const maxExtendedHeader = 64 * 1024;
// Parsing takes a hundred times as long as inflating: a layer of nothing but scripts is not parsed to its end.
const maxScripts = 256 * 1024;

/**
 * Reads a layer's bytes into `index`, as far as they go or until `visit` stops it. Rejects only with what `bytes` rejects with.
 * `wholeBlob` tells, once the bytes have ended, whether they were the whole blob.
 */
export async function scanLayer(
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
