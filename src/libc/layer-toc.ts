import { layerIndex, type LayerIndex, type LayerNode } from './layer-index.ts';

/**
 * A layer's table of contents, as eStargz (stargz-snapshotter docs/estargz.md) and zstd:chunked (containers/storage
 * pkg/chunked/internal) share it: `{ version, entries: [{ name, type, linkName, size, offset, mode, ... }] }`.
 */

const maxEntries = 100_000;
const maxPath = 4096;

/** The index that a table gives: complete, its files unread. Undefined where the text is no such table. `end` is the blob's size. */
export function indexOfToc(json: string, end: number): LayerIndex | undefined {
  const entries = readEntries(json);
  if (entries === undefined || entries.length > maxEntries) return undefined;
  const index = layerIndex();
  for (const entry of entries) {
    const name = textField(entry, 'name');
    const node = nodeOf(entry, end);
    if (name !== undefined && name.length <= maxPath && node !== undefined) index.add(name, node);
  }
  index.complete = true;
  return index;
}

function readEntries(json: string): readonly unknown[] | undefined {
  try {
    const toc: unknown = JSON.parse(json);
    const entries = field(toc, 'entries');
    return Array.isArray(entries) ? entries : undefined;
  } catch {
    return undefined;
  }
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
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function textField(value: unknown, name: string): string | undefined {
  const found = field(value, name);
  return typeof found === 'string' ? found : undefined;
}

function countField(value: unknown, name: string): number | undefined {
  const found = field(value, name);
  return typeof found === 'number' && Number.isSafeInteger(found) && found >= 0 ? found : undefined;
}
