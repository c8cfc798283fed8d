import { isLinkedToBase } from './known-programs.ts';
import type { Located, Unseen } from './outcome.ts';
import { mountOver } from '../../detection/pod/exec-wrappers.ts';
import { endOf } from '../history.ts';
import { type LayerIndex, normalizePath, parentOf, type Resolution, resolvePath } from '../overlay.ts';
import { matches, readPattern } from '../shell/run/values.ts';
import type { FileAt } from '../shell/run/world.ts';
import { compareText } from '../../util/text.ts';

/** The files of a container, as far as the layers are known: the image's, without those that a volume hides. */
export interface ImageFiles {
  /** Finds the first of these absolute paths that is a file. */
  locate(paths: readonly string[]): Located;
  /** Looks at an absolute path. `wanted`: its text is needed. */
  at(path: string, wanted?: boolean): FileAt;
  /** Returns the known files below a directory whose path ends so, and whether there can be no others. */
  list(directory: string, end: string): { readonly paths: readonly string[]; readonly complete: boolean };
  /** Returns known paths that match an absolute pattern, at most 16 or `most`, and whether there can be no others. */
  matching(
    pattern: string,
    options?: { readonly most?: number; readonly wanted?: boolean },
  ): { readonly paths: readonly string[]; readonly complete: boolean };
  /** Reports whether the history of a layer that was not read names one of these paths, or brings the directory. */
  isNamed(file: Unseen): boolean;
  /** The wanted files that may be in layers which were not read. */
  readonly wanted: readonly Unseen[];
  /** The same of files that were only asked about, such as by `[ -x FILE ]`. */
  readonly asked: readonly Unseen[];
}

/** Reports whether a layer that is not known may hold a file, or files of a directory. */
export interface Chances {
  /** Reports whether its history names the file. */
  readonly named: (layer: number, paths: readonly string[]) => boolean;
  readonly file: (layer: number, path: string) => boolean;
  readonly directory: (layer: number, path: string) => boolean;
}

const anything: Chances = { named: () => false, file: () => true, directory: () => true };

/** `mounts`: the directories and files over which the Pod mounts volumes, absolute. */
export function imageFiles(
  layers: readonly LayerIndex[],
  mounts: readonly string[] = [],
  chances: Chances = anything,
): ImageFiles {
  const hidden = mounts.map((mount) => `/${normalizePath(mount)}`);
  const isMounted = (path: string): boolean => mountOver(`/${path}`, hidden) !== undefined;
  const isOver = (path: string): boolean => isMounted(path) || hidden.some((mount) => mount.startsWith(`/${path}/`));
  const wanted = new Map<string, Unseen>();
  const asked = new Map<string, Unseen>();
  const note = (path: string, unknown: readonly number[], isWanted: boolean): void => {
    const which = isWanted ? wanted : asked;
    if (which.size < mostListed) which.set(path, { status: 'unseen', paths: [path], layers: unknown });
  };
  const unknownLayers = (directory: string): readonly number[] => layersWithMore(layers, directory, chances);
  return {
    locate: (paths) => findFirst(layers, paths, isMounted),
    at(given, isWanted) {
      if (isMounted(normalizePath(given))) return { type: 'unseen' };
      const resolved = resolvePath(layers, given);
      if (isMounted(resolved.path)) return { type: 'unseen' };
      // Archives need not list directories.
      if (resolved.status !== 'found' && layers.some((layer) => layer.hasBelow(resolved.path)))
        return { type: 'directory', path: `/${resolved.path}` };
      if (resolved.status === 'unseen') {
        const unknown = resolved.layers.filter((layer) => chances.file(layer, resolved.path));
        if (unknown.length === 0) return { type: 'absent' };
        note(resolved.path, unknown, isWanted === true);
        return { type: 'unseen' };
      }
      if (resolved.status === 'absent') return { type: 'absent' };
      return fileAt(resolved, isLink(layers, normalizePath(given), resolved.path));
    },
    isNamed: (file) => file.layers.some((layer) => chances.named(layer, file.paths)),
    list(directory, end) {
      const { paths, isCut, unseen } = filesBelow(layers, directory, end, isMounted);
      const path = normalizePath(directory);
      const unknown = unknownLayers(path);
      const links = unseen.filter((one) => one.layers.some((layer) => chances.file(layer, one.path)));
      const open = [...(unknown.length > 0 ? [{ path: endOf(path), layers: unknown }] : []), ...links];
      for (const one of open) note(one.path, one.layers, true);
      return { paths: [...paths].toSorted(), complete: open.length === 0 && !isCut && !isOver(path) };
    },
    matching(pattern, { most = mostMatches, wanted: isWanted = false } = {}) {
      const folder = normalizePath(folderOf(pattern));
      const isUnder = hidden.some((mount) => mount === `/${folder}` || mount.startsWith(`/${folder}/`));
      if (isUnder || isMounted(folder) || resolvePath(layers, folder).path !== folder) return nothingKnown;
      const unknown = unknownLayers(folder);
      if (unknown.length > 0) note(endOf(folder), unknown, isWanted);
      const found = pathsMatching(layers, pattern.split('/').slice(1), most);
      return { ...found, complete: found.complete && unknown.length === 0 };
    },
    get wanted() {
      return [...wanted.values()];
    },
    get asked() {
      return [...asked.values()];
    },
  };
}

const mostListed = 64;

/** Returns the layers that may hold more files of a directory, newest first. */
const layersWithMore = (layers: readonly LayerIndex[], directory: string, chances: Chances): readonly number[] =>
  layers
    .flatMap((layer, at) => (layer.isKnown(endOf(directory)) || !chances.directory(at, directory) ? [] : [at]))
    .toReversed();

/** Reports whether a path is a link itself, which leads to `target`: a link to a directory above it does not count. */
function isLink(layers: readonly LayerIndex[], path: string, target: string): boolean {
  if (path === target) return false;
  const directory = resolvePath(layers, parentOf(path)).path;
  return target !== normalizePath(`${directory}/${path.slice(path.lastIndexOf('/') + 1)}`);
}

function fileAt({ node, path }: Extract<Resolution, { status: 'found' }>, linked: boolean): FileAt {
  if (node.type !== 'file')
    return node.type === 'directory' ? { type: 'directory', path: `/${path}` } : { type: 'unseen' };
  const text = 'text' in node.content ? node.content.text : undefined;
  return { type: 'file', executable: node.executable, text, linked, path: `/${path}` };
}

interface Below {
  readonly paths: ReadonlySet<string>;
  /** There are more. */
  readonly isCut: boolean;
  /** Files to which links below the directory may lead. */
  readonly unseen: readonly Extract<Resolution, { status: 'unseen' }>[];
}

function filesBelow(
  layers: readonly LayerIndex[],
  directory: string,
  end: string,
  isMounted: (path: string) => boolean,
): Below {
  const below = `${normalizePath(directory)}/`;
  const paths = new Set<string>();
  const unseen: Extract<Resolution, { status: 'unseen' }>[] = [];
  for (const layer of layers) {
    for (const path of layer.paths()) {
      const file = path.startsWith(below) ? ending(layer, path, end) : undefined;
      if (file === undefined || isMounted(file) || paths.has(`/${file}`)) continue;
      if (paths.size >= mostListed) return { paths, isCut: true, unseen };
      const resolved = resolvePath(layers, file);
      if (resolved.status === 'found') paths.add(`/${file}`);
      else if (resolved.status === 'unseen' && unseen.length < mostListed) unseen.push(resolved);
    }
  }
  return { paths, isCut: false, unseen };
}

/** Returns the path if it ends so, or the file of that name in the directory to which a link leads: `/etc/service/web/run`. */
function ending(layer: LayerIndex, path: string, end: string): string | undefined {
  if (path.endsWith(end)) return path;
  return end.startsWith('/') && layer.get(path)?.type === 'symlink' ? path + end : undefined;
}

const nothingKnown = { paths: [], complete: false };
const mostMatches = 16;

/** Returns what stands in front of the name that holds a pattern's first `*`, `?` or `[`: a folder, with its slash. */
export const folderOf = (pattern: string): string =>
  pattern.slice(0, pattern.lastIndexOf('/', pattern.search(/[*?[]/u)) + 1);

function pathsMatching(
  layers: readonly LayerIndex[],
  segments: readonly string[],
  most: number,
): ReturnType<ImageFiles['matching']> {
  const patterns = segments.map((segment) => readPattern([{ text: segment, quoted: false }]));
  const prefix = segments
    .slice(
      0,
      segments.findIndex((segment) => /[*?[]/u.test(segment)),
    )
    .join('/');
  const found = new Set<string>();
  for (const path of layers.flatMap((layer) => [...layer.paths()])) {
    if (!path.startsWith(prefix)) continue;
    const parts = path.split('/', segments.length);
    const shorter = parts.join('/');
    if (parts.length < segments.length || found.has(shorter)) continue;
    const isMatch = patterns.every(
      (pattern, at) => isShown(parts[at], segments[at]) && matches(pattern, parts[at] ?? ''),
    );
    if (!isMatch || !isThere(layers, shorter)) continue;
    if (found.size === most) return { paths: sorted(found), complete: false };
    found.add(shorter);
  }
  return { paths: sorted(found), complete: true };
}

const sorted = (found: ReadonlySet<string>): readonly string[] =>
  [...found].map((path) => `/${path}`).toSorted(compareText);

// A leading dot is matched by a dot alone.
const isShown = (name = '', pattern = ''): boolean => !name.startsWith('.') || pattern.startsWith('.');

const isThere = (layers: readonly LayerIndex[], path: string): boolean =>
  resolvePath(layers, path).status === 'found' || layers.some((layer) => layer.hasBelow(path) && !layer.hides(path));

/**
 * Reports whether a layer that has a program may have another of its name in a directory which PATH names before. Distributions
 * do not: their own directories have each name once, and /usr/local is empty.
 */
function mayStandBefore(path: string, layer: number): boolean {
  const slash = path.lastIndexOf('/');
  const isUsual = /^(?:usr\/local\/|usr\/)?s?bin$/u.test(path.slice(0, slash));
  return !isUsual || (layer === 0 && path.startsWith('usr/local/') && !isLinkedToBase(path.slice(slash + 1)));
}

function findFirst(
  layers: readonly LayerIndex[],
  candidates: readonly string[],
  isMounted: (path: string) => boolean,
): Located {
  const unseen: Unseen[] = [];
  for (const candidate of candidates) {
    const resolved = resolvePath(layers, candidate);
    if (isMounted(normalizePath(candidate)) || isMounted(resolved.path)) {
      return { status: 'hidden', why: `${candidate}, over which the Pod mounts a volume` };
    }
    if (resolved.status === 'unseen') unseen.push({ ...resolved, paths: [resolved.path] });
    if (resolved.status !== 'found') continue;
    if (resolved.node.type !== 'file') {
      // A newer layer may have put a program in a folder's place.
      const { doubts, path } = resolved;
      if (doubts.length > 0) unseen.push({ status: 'unseen', paths: [path], layers: doubts });
      continue;
    }
    const earlier = unseen.filter((one) => one.layers.includes(resolved.layer)).flatMap(({ paths }) => paths);
    const before = unseen.flatMap((one) => one.layers).filter((layer) => layer !== resolved.layer);
    return {
      status: 'found',
      path: resolved.path,
      content: resolved.node.content,
      layer: resolved.layer,
      origin: resolved.origin,
      entries: resolved.entries,
      doubts: [...new Set([...resolved.doubts, ...before])],
      rivals: [...unseen.flatMap((one) => one.paths), resolved.path],
      earlier: earlier.filter((path) => mayStandBefore(path, resolved.layer)),
    };
  }
  if (unseen.length === 0) return { status: 'absent', name: candidates[0] ?? '' };
  return {
    status: 'unseen',
    paths: unseen.flatMap(({ paths }) => paths),
    layers: [...new Set(unseen.flatMap((one) => one.layers))],
  };
}
