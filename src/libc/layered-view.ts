import { normalizePath } from './image-path.ts';
import type { LayerIndex, LayerNode } from './layer-index.ts';

/** Where a path leads in the layers put together. */
export type Resolution =
  | {
      readonly status: 'found';
      /** After all links. */
      readonly path: string;
      readonly node: Extract<LayerNode, { type: 'file' | 'directory' | 'other' }>;
      readonly layer: number;
      /** Newer layers that are not fully known and may hold another file there. */
      readonly doubts: readonly number[];
    }
  | { readonly status: 'absent'; readonly path: string }
  /** It may be in `layers`, newest first, of which not enough is known. */
  | { readonly status: 'unseen'; readonly path: string; readonly layers: readonly number[] };

// The kernel's own limit (include/linux/namei.h, MAXSYMLINKS).
const maxLinks = 40;

/**
 * Follows an absolute path through the layers (base first), newest first, whiteouts and links honoured. A directory that
 * no layer shows is taken for a plain one.
 */
export function resolvePath(layers: readonly LayerIndex[], path: string): Resolution {
  const pending = normalizePath(path).split('/').toReversed();
  let at = '';
  let links = 0;
  // Each link brings at most as many components as a path may have, so this ends.
  for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
    const next = at === '' ? part : `${at}/${part}`;
    const found = newest(layers, next);
    const link = linkTarget(found.node, at);
    if (link !== undefined) {
      links += 1;
      if (links > maxLinks) return { status: 'absent', path: next };
      pending.push(...normalizePath(link).split('/').toReversed());
      at = '';
    } else if (pending.length === 0) {
      return conclude(next, found);
    } else {
      at = next;
    }
  }
  return { status: 'absent', path: normalizePath(path) };
}

function linkTarget(node: LayerNode | undefined, directory: string): string | undefined {
  if (node?.type === 'hard-link') return node.target;
  if (node?.type !== 'symlink') return undefined;
  return node.target.startsWith('/') ? node.target : `${directory}/${node.target}`;
}

function conclude(path: string, { node, layer, unknown }: Newest): Resolution {
  if (node === undefined) {
    return unknown.length > 0 ? { status: 'unseen', path, layers: unknown } : { status: 'absent', path };
  }
  if (node.type === 'symlink' || node.type === 'hard-link') return { status: 'absent', path };
  return { status: 'found', path, node, layer, doubts: unknown };
}

interface Newest {
  readonly node: LayerNode | undefined;
  readonly layer: number;
  readonly unknown: readonly number[];
}

/** The newest entry at exactly this path, and the layers above it (or all, if none) that might have one. */
function newest(layers: readonly LayerIndex[], path: string): Newest {
  const unknown: number[] = [];
  for (let layer = layers.length - 1; layer >= 0; layer -= 1) {
    const index = layers[layer];
    if (index === undefined) continue;
    const node = index.get(path);
    if (node !== undefined) return { node, layer, unknown };
    if (index.hides(path)) break;
    if (!index.isKnown(path)) unknown.push(layer);
  }
  return { node: undefined, layer: -1, unknown };
}
