import { textBytes } from '../util/memory.ts';
import { printable } from '../util/text.ts';
import type { ElfFinding } from './formats/elf.ts';
import type { StaticJudgement } from './formats/static-marks.ts';

/** Where a path leads in the merged layers. */
export type Resolution =
  | {
      readonly status: 'found';
      /** The path once every symbolic link is followed. */
      readonly path: string;
      readonly node: Extract<LayerNode, { type: 'file' | 'directory' | 'other' }>;
      /** Where the entry with the bytes is: `layer` has it at `origin`, which is not `path` if that is a hard link. */
      readonly layer: number;
      readonly origin: string;
      /** The entries that led there: links, and the one with the bytes. */
      readonly entries: readonly EntryPlace[];
      /** Newer layers that are not fully known and may hold another file at the path. */
      readonly doubts: readonly number[];
    }
  | { readonly status: 'absent'; readonly path: string }
  /** One of `layers`, newest first, may hold it: too little of them is known. */
  | { readonly status: 'unseen'; readonly path: string; readonly layers: readonly number[] };

/** An entry of a layer's archive. */
export interface EntryPlace {
  readonly layer: number;
  readonly path: string;
}

// The kernel's own limit (include/linux/namei.h, MAXSYMLINKS).
const maxLinks = 40;

/**
 * Resolves an absolute path in the merged layers (base first), component by component as path_resolution(7) says: `..` is
 * the parent of where a link led. Honours whiteouts and links. Assumes that a directory which no layer lists is a plain one,
 * unless `..` follows.
 */
export function resolvePath(layers: readonly LayerIndex[], path: string): Resolution {
  return resolveWithin(layers, path, { left: maxLinks, followed: [] });
}

interface Links {
  left: number;
  readonly followed: EntryPlace[];
}

function resolveWithin(layers: readonly LayerIndex[], path: string, links: Links): Resolution {
  const pending = componentsOf(path).toReversed();
  let at = '';
  // Layers that may have a link at `at`.
  let unknown: readonly number[] = [];
  // Ends: links and components of a path are both bounded.
  for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
    if (part === '..') {
      if (unknown.length > 0) return { status: 'unseen', path: at, layers: unknown };
      at = parentOf(at);
      continue;
    }
    const next = at === '' ? part : `${at}/${part}`;
    const found = newest(layers, next);
    if (found.node?.type === 'symlink') {
      if (--links.left < 0) return { status: 'absent', path: next };
      links.followed.push({ layer: found.layer, path: next });
      pending.push(...componentsOf(found.node.target).toReversed());
      if (found.node.target.startsWith('/')) at = '';
      unknown = [];
    } else {
      at = next;
      unknown = found.node === undefined ? found.unknown : [];
    }
  }
  return at === '' ? { status: 'absent', path: '' } : conclude(layers, at, links);
}

function conclude(layers: readonly LayerIndex[], path: string, links: Links): Resolution {
  const { node, layer, unknown } = newest(layers, path);
  if (node === undefined) {
    return unknown.length > 0 ? { status: 'unseen', path, layers: unknown } : { status: 'absent', path };
  }
  if (node.type === 'symlink') return { status: 'absent', path };
  links.followed.push({ layer, path });
  if (node.type !== 'hard-link') {
    return { status: 'found', path, node, layer, origin: path, entries: links.followed, doubts: unknown };
  }
  if (--links.left < 0) return { status: 'absent', path };
  // The link was made to the file that stood there when its layer was unpacked; newer layers change only the other name.
  const target = resolveWithin(layers.slice(0, layer + 1), node.target, links);
  if (target.status !== 'found') return target;
  return { ...target, path, doubts: [...unknown, ...target.doubts] };
}

interface Newest {
  readonly node: LayerNode | undefined;
  readonly layer: number;
  readonly unknown: readonly number[];
}

/**
 * Returns the newest entry at exactly this path, and the newer layers that may have one (all layers if no entry is
 * known).
 */
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
  /** A `#!` script. `whole`: the text is all of it. */
  | { readonly kind: 'script'; readonly text: string; readonly whole: boolean }
  /** Neither; its text is kept if a script may read it. */
  | { readonly kind: 'plain'; readonly text?: string }
  /** Only the table of contents lists it; its bytes begin at `offset` of the blob. */
  | { readonly kind: 'unread'; readonly offset: number; readonly length: number; readonly size: number };

export type LayerNode =
  | { readonly type: 'file'; readonly content: FileContent; readonly executable: boolean }
  | { readonly type: 'symlink'; readonly target: string }
  | { readonly type: 'hard-link'; readonly target: string }
  | { readonly type: 'directory' }
  | { readonly type: 'other' };

/** The known entries of one layer. */
export interface LayerIndex {
  /** Adds an entry by its name in the archive. Returns the normalized path; undefined for a whiteout. */
  add(name: string, node: LayerNode): string | undefined;
  /** Replaces the entry at a path. */
  replace(path: string, node: LayerNode): void;
  get(path: string): LayerNode | undefined;
  /** Reports whether the layer takes this path from older layers: deletes it or a directory above it, or has a file there. */
  hides(path: string): boolean;
  /**
   * Reports whether the layer can hold nothing more at this path: it was read to its end, or is sorted and was read
   * past it.
   */
  isKnown(path: string): boolean;
  /** The layer was read to its end. */
  complete: boolean;
  /**
   * No builder wrote the archive: a file stands before its directory, or twice. A later entry may replace one that was seen
   * (OCI image-spec layer.md forbids that; runtimes unpack it, and the last entry counts).
   */
  readonly irregular: boolean;
  /**
   * It has headers of GNU's format, or older. The builders of Dockerfiles, ko, jib and apko write POSIX's, and each path once. What
   * may write a path twice writes GNU's: `tar -r`, `tar -A`, Bazel's pkg_tar.
   */
  isForeign: boolean;
  /** Reports whether an entry stands below this path. */
  hasBelow(path: string): boolean;
  /** Returns the paths of the entries, in the archive's order. */
  paths(): Iterable<string>;
  /** The first dynamic program that was added, Go programs and libraries aside; undefined if none was. */
  readonly firstDynamic: { readonly path: string; readonly interpreter: string } | undefined;
}

/** Counts look-ups in layers, so that links without end cost a bounded time. */
export interface LookupCount {
  lookups: number;
}

// Fewer entries may be sorted by chance.
const minOrdered = 24;

/**
 * Returns an empty index. Whiteouts follow OCI image-spec layer.md, "Whiteouts" and "Opaque Whiteout". Adds each
 * look-up to `count`.
 */
export function layerIndex(count: LookupCount = { lookups: 0 }): LayerIndex {
  const nodes = new Map<string, LayerNode>();
  const folders = new Set<string>();
  const removed = new Set<string>();
  const opaque = new Set<string>();
  let last = '';
  let ordered = true;
  let irregular = false;
  let added = 0;
  let first: LayerIndex['firstDynamic'];
  const set = (path: string, node: LayerNode): void => {
    nodes.set(path, node);
    for (let at = parentOf(path); at !== '' && !folders.has(at); at = parentOf(at)) folders.add(at);
    first ??= asDynamic(path, node);
  };
  const place = keepingHardLinks(nodes, set);

  return {
    complete: false,
    isForeign: false,
    get irregular() {
      return irregular;
    },
    get firstDynamic() {
      return first;
    },
    add(name, node) {
      const path = normalizePath(name);
      const base = path.slice(path.lastIndexOf('/') + 1);
      if (base.startsWith('.wh.')) {
        if (base === '.wh..wh..opq') opaque.add(parentOf(path));
        else removed.add(normalizePath(`${parentOf(path)}/${base.slice(4)}`));
        return undefined;
      }
      added += 1;
      ordered &&= last === '' || isInOrder(last, path);
      last = path;
      irregular ||= isNoDirectory(nodes.get(path)) || !hasDirectory(nodes, path);
      place(path, node);
      return path;
    },
    replace: set,
    hasBelow: (path) => folders.has(path),
    paths: () => nodes.keys(),
    get(path) {
      count.lookups += 1;
      return nodes.get(path);
    },
    hides(path) {
      for (let at: string = path; at !== ''; at = parentOf(at)) {
        count.lookups += 1;
        if (removed.has(at)) return true;
        if (at !== path && (opaque.has(at) || isNoDirectory(nodes.get(at)))) return true;
      }
      return opaque.has('');
    },
    isKnown(path) {
      return this.complete || (ordered && added >= minOrdered && !isInOrder(last, path));
    },
  };
}

/**
 * Returns a function that adds an entry to `nodes` by `set`. A later entry of a path is another file: the hard links to what
 * stood there keep that.
 */
function keepingHardLinks(
  nodes: ReadonlyMap<string, LayerNode>,
  set: (path: string, node: LayerNode) => void,
): (path: string, node: LayerNode) => void {
  // The hard links to each path.
  const links = new Map<string, string[]>();
  const place = (path: string, node: LayerNode): void => {
    set(path, node);
    if (node.type !== 'hard-link') return;
    const target = normalizePath(node.target);
    const known = links.get(target);
    if (known === undefined) links.set(target, [path]);
    else known.push(path);
  };
  return (path, node) => {
    const old = nodes.get(path);
    const [heir, ...others] = (links.get(path) ?? []).filter((link) => leadsTo(nodes.get(link), path));
    links.delete(path);
    if (heir !== undefined && old !== undefined) {
      place(heir, old);
      for (const other of others) place(other, { type: 'hard-link', target: heir });
    }
    place(path, node);
  };
}

function leadsTo(node: LayerNode | undefined, path: string): boolean {
  return node?.type === 'hard-link' && normalizePath(node.target) === path;
}

function hasDirectory(nodes: ReadonlyMap<string, LayerNode>, path: string): boolean {
  const directory = parentOf(path);
  return directory === '' || nodes.get(directory)?.type === 'directory';
}

function isNoDirectory(node: LayerNode | undefined): boolean {
  return node !== undefined && node.type !== 'directory';
}

// Measured: a map's place and an object, without their texts.
const placeBytes = 120;

/** Returns about how many bytes an index keeps for an entry. */
export function entryBytes(name: string, node: LayerNode): number {
  const bytes = placeBytes + textBytes(name);
  if (node.type === 'symlink' || node.type === 'hard-link') return bytes + textBytes(node.target);
  return node.type === 'file' ? bytes + contentBytes(node.content) : bytes;
}

function contentBytes(content: FileContent): number {
  if ('text' in content) return textBytes(content.text ?? '');
  return content.kind === 'elf' && content.finding.kind === 'dynamic' ? textBytes(content.finding.interpreter) : 0;
}

function asDynamic(path: string, node: LayerNode): LayerIndex['firstDynamic'] {
  if (node.type !== 'file' || !node.executable || node.content.kind !== 'elf') return undefined;
  const { finding } = node.content;
  if (finding.kind !== 'dynamic' || finding.go || /\.so(?:\.|$)/u.test(path)) return undefined;
  return { path, interpreter: finding.interpreter };
}

const maxComponents = 64;
const maxShown = 200;

/** Returns the names in a path, `..` included. */
function componentsOf(path: string): readonly string[] {
  return path.split('/', maxComponents).filter((part) => part !== '' && part !== '.');
}

/**
 * Returns a path as this file keeps them: components joined by `/`, no leading slash, the root empty. Resolves `.`,
 * `..` and doubled slashes by name; `..` does not climb above the root (path_resolution(7)).
 */
export function normalizePath(path: string): string {
  const parts: string[] = [];
  for (const part of componentsOf(path)) {
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}

/** Returns the directory that holds a path. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash === -1 ? '' : path.slice(0, slash);
}

/**
 * Reports whether `later` may follow `earlier` in an archive sorted by name, as Docker and `tar --sort=name` write
 * them.
 */
export function isInOrder(earlier: string, later: string): boolean {
  const length = Math.min(earlier.length, later.length);
  let at = 0;
  while (at < length && earlier.charCodeAt(at) === later.charCodeAt(at)) at += 1;
  // One is the beginning of the other: a directory comes before what it holds.
  if (at === length) return earlier.length <= later.length;
  if (earlier[at] === '/' || later[at] === '/') return earlier[at] === '/';
  // Bytes of UTF-8 sort like code points, which UTF-16 code units do not.
  return (earlier.codePointAt(at) ?? 0) < (later.codePointAt(at) ?? 0);
}

/** Makes a path, or another text from an image, safe to print: one line of at most 200 characters. */
export const shownName = (name: string): string => printable(name, maxShown);
