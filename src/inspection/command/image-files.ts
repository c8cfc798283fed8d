import type { Located, Unseen } from './outcome.ts';
import { mountOver } from '../../detection/pod/exec-wrappers.ts';
import { endOf } from '../history.ts';
import { type LayerIndex, normalizePath, resolvePath } from '../overlay.ts';
import type { FileAt } from '../shell/run/world.ts';

/** The files of a container, as far as the layers are known: the image's, without those that a volume hides. */
export interface ImageFiles {
  /** Finds the first of these absolute paths that is a file. */
  locate(paths: readonly string[]): Located;
  /** Looks at an absolute path. `wanted`: its text is needed. */
  at(path: string, wanted?: boolean): FileAt;
  /** Returns the known files below a directory whose path ends so, and whether there can be no others. */
  list(directory: string, end: string): { readonly paths: readonly string[]; readonly complete: boolean };
  /** The wanted files that may be in layers which were not read. */
  readonly wanted: readonly Unseen[];
}

/**
 * `mounts`: the directories and files over which the Pod mounts volumes, absolute. `mayFill` reports whether a layer that is not
 * known may hold files of a directory.
 */
export function imageFiles(
  layers: readonly LayerIndex[],
  mounts: readonly string[] = [],
  mayFill: (layer: number, directory: string) => boolean = () => true,
): ImageFiles {
  const hidden = mounts.map((mount) => `/${normalizePath(mount)}`);
  const isMounted = (path: string): boolean => mountOver(`/${path}`, hidden) !== undefined;
  const wanted = new Map<string, Unseen>();
  return {
    locate: (paths) => findFirst(layers, paths, isMounted),
    at(path, isWanted) {
      if (isMounted(normalizePath(path))) return { type: 'unseen' };
      const resolved = resolvePath(layers, path);
      if (isMounted(resolved.path)) return { type: 'unseen' };
      // Archives need not list directories.
      if (resolved.status !== 'found' && layers.some((layer) => layer.hasBelow(resolved.path)))
        return { type: 'directory' };
      if (resolved.status === 'unseen') {
        if (isWanted === true)
          wanted.set(resolved.path, { status: 'unseen', paths: [resolved.path], layers: resolved.layers });
        return { type: 'unseen' };
      }
      if (resolved.status === 'absent') return { type: 'absent' };
      const { node } = resolved;
      if (node.type !== 'file') return node.type === 'directory' ? { type: 'directory' } : { type: 'unseen' };
      const text = 'text' in node.content ? node.content.text : undefined;
      return { type: 'file', executable: node.executable, text, linked: resolved.path !== normalizePath(path) };
    },
    list(directory, end) {
      const below = `${normalizePath(directory)}/`;
      const paths = new Set<string>();
      let isCut = false;
      for (const layer of layers) {
        for (const path of layer.paths()) {
          if (!path.startsWith(below) || !path.endsWith(end) || isMounted(path) || paths.has(`/${path}`)) continue;
          isCut = paths.size >= mostListed;
          if (isCut) break;
          if (resolvePath(layers, path).status === 'found') paths.add(`/${path}`);
        }
      }
      const last = endOf(normalizePath(directory));
      const unknown = layers.flatMap((layer, number) =>
        layer.isKnown(last) || !mayFill(number, normalizePath(directory)) ? [] : [number],
      );
      if (unknown.length > 0) wanted.set(last, { status: 'unseen', paths: [last], layers: unknown.toReversed() });
      return { paths: [...paths].toSorted(), complete: unknown.length === 0 && !isCut };
    },
    get wanted() {
      return [...wanted.values()];
    },
  };
}

const mostListed = 64;

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
    if (resolved.status !== 'found' || resolved.node.type !== 'file') continue;
    const before = unseen.flatMap((earlier) => earlier.layers).filter((layer) => layer !== resolved.layer);
    return {
      status: 'found',
      path: resolved.path,
      content: resolved.node.content,
      layer: resolved.layer,
      origin: resolved.origin,
      doubts: [...new Set([...resolved.doubts, ...before])],
      rivals: [...unseen.flatMap((earlier) => earlier.paths), resolved.path],
    };
  }
  if (unseen.length === 0) return { status: 'absent', name: candidates[0] ?? '' };
  return {
    status: 'unseen',
    paths: unseen.flatMap(({ paths }) => paths),
    layers: [...new Set(unseen.flatMap((one) => one.layers))],
  };
}
