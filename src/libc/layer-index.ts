import type { Script } from '../inspection/command/script.ts';
import type { ElfFinding } from '../inspection/formats/elf.ts';
import type { StaticJudgement } from '../inspection/formats/static-marks.ts';
import { isInOrder, normalizePath, parentOf } from './image-path.ts';

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
