import { printable } from '../util/text.ts';
import type { Script } from './command/script.ts';
import type { ElfFinding } from './formats/elf.ts';
import type { StaticJudgement } from './formats/static-marks.ts';

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

/** What a file's first bytes say. */
export type FileContent =
  | { readonly kind: 'elf'; readonly finding: ElfFinding; readonly judgement?: StaticJudgement }
  | { readonly kind: 'script'; readonly script: Script }
  | { readonly kind: 'plain' }
  /** Only a table of contents names it; its bytes can be had at `offset` of the blob. */
  | { readonly kind: 'unread'; readonly offset: number; readonly length: number; readonly size: number };

export type LayerNode =
  | { readonly type: 'file'; readonly content: FileContent; readonly executable: boolean }
  | { readonly type: 'symlink'; readonly target: string }
  | { readonly type: 'hard-link'; readonly target: string }
  | { readonly type: 'directory' }
  | { readonly type: 'other' };

/** What is known of one layer's entries. */
export interface LayerIndex {
  /** Adds an entry as the archive names it, whiteouts included; returns its normalized path, none for whiteouts. */
  add(name: string, node: LayerNode): string | undefined;
  /** Replaces what is known of a path that is there. */
  replace(path: string, node: LayerNode): void;
  get(path: string): LayerNode | undefined;
  /** The layer deletes this path of older layers, by itself or with a directory above it. */
  hides(path: string): boolean;
  /** Nothing more can be in it at this path: it was read to its end, or is in order and was read past there. */
  isKnown(path: string): boolean;
  /** It was read to its end. */
  complete: boolean;
  /** Entries in the archive's order. */
  readonly nodes: ReadonlyMap<string, LayerNode>;
}

// Fewer entries may stand in order by chance.
const minOrdered = 24;

/** An empty index: nothing is known of the layer. Whiteouts: OCI image-spec layer.md, "Whiteouts" and "Opaque Whiteout". */
export function layerIndex(): LayerIndex {
  const nodes = new Map<string, LayerNode>();
  const removed = new Set<string>();
  const opaque = new Set<string>();
  let last = '';
  let ordered = true;
  let count = 0;

  return {
    complete: false,
    nodes,
    add(name, node) {
      const path = normalizePath(name);
      const base = path.slice(path.lastIndexOf('/') + 1);
      if (base.startsWith('.wh.')) {
        if (base === '.wh..wh..opq') opaque.add(parentOf(path));
        else removed.add(normalizePath(`${parentOf(path)}/${base.slice(4)}`));
        return undefined;
      }
      count += 1;
      ordered &&= last === '' || isInOrder(last, path);
      last = path;
      nodes.set(path, node);
      return path;
    },
    replace: (path, node) => {
      nodes.set(path, node);
    },
    get: (path) => nodes.get(path),
    hides(path) {
      if (removed.size === 0 && opaque.size === 0) return false;
      for (let at: string = path; ; at = parentOf(at)) {
        if (removed.has(at) || (at !== path && opaque.has(at))) return true;
        if (at === '') return false;
      }
    },
    isKnown(path) {
      if (this.complete) return true;
      return ordered && count >= minOrdered && !isInOrder(last, path);
    },
  };
}

/** Paths inside images: components joined by `/`, with no leading slash; the root is the empty string. */

const maxComponents = 64;
const maxShown = 200;

/** A path in that form: `.`, `..` and doubled slashes resolved by name; `..` does not climb above the root (path_resolution(7)). */
export function normalizePath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/', maxComponents)) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

/** The directory a path stands in. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash === -1 ? '' : path.slice(0, slash);
}

/** Whether `later` does not come before `earlier` where each directory is listed by name, as Docker and `tar --sort=name` do. */
export function isInOrder(earlier: string, later: string): boolean {
  const before = earlier.split('/');
  const after = later.split('/');
  for (let at = 0; at < before.length; at += 1) {
    const one = before[at];
    const other = after[at];
    if (other === undefined || one === undefined) return false;
    if (one !== other) return Buffer.compare(Buffer.from(one), Buffer.from(other)) < 0;
  }
  return true;
}

/** A path, or another name that an image has chosen, for people: one line of at most 200 characters. */
export const shownName = (name: string): string => printable(name, maxShown);
