import type { Found, Located, Unseen } from '../command/outcome.ts';
import { agreedHint, isEndOf, likelihood, mayReplace } from '../history.ts';
import { type ImageFacts, isMuslImage, likelihoodOf, unreached } from '../image-facts.ts';
import { type InspectLimits, tinyLayer } from '../limits.ts';
import { loaderLibc, type LoaderState, resolveLoader } from '../loader.ts';
import type { EntryPlace } from '../overlay.ts';
import { baseLibcApplies } from '../verdict.ts';
import type { LayerReader, ReadPlan } from './layer-reader.ts';
import { type Candidates, nextRead } from './next-read.ts';

/** A file that is looked for. */
export interface Target {
  readonly located: Located;
  readonly loader?: string | undefined;
  /** `file`: a script's text alone matters. `passing`: it is worth less than what is kept for others. */
  readonly weight: 'program' | 'passing' | 'file';
}

/** Reads one more layer or file. */
type Step = () => Promise<void>;

// Holds Alpine's bin/busybox, and Debian's merged bin.
const probeBytes = 16 * 1024;
// A RUN line that replaces or deletes a program in passing leaves a layer of at most this size.
const smallLayer = 64 * 1024;
// Bounds the work for an archive that repeats a wanted path.
const maxLocates = 64;

/** Reports whether a layer's history line names one of the paths, or something that may well replace it. */
export const namesAnother = (image: ImageFacts, layer: number, rivals: readonly string[]): boolean =>
  mayReplace(image.history[layer], rivals) || likelihoodOf(image, layer, rivals) >= likelihood.likely;

/** What a step needs. */
interface Inquiry {
  readonly image: ImageFacts;
  readonly reader: LayerReader;
  readonly limits: InspectLimits;
  readonly look: () => { readonly targets: readonly Target[] };
}

/** Returns the next read that tells more about a program; undefined if all are known or a limit is reached. */
export function nextStep(inquiry: Inquiry, targets: readonly Target[]): Step | undefined {
  for (const target of targets) {
    if (inquiry.reader.requestsLeft() < (target.weight === 'program' ? 1 : 2)) continue;
    const step = targetStep(inquiry, target);
    if (step !== undefined) return step;
  }
  return undefined;
}

function targetStep(inquiry: Inquiry, target: Target): Step | undefined {
  const { located } = target;
  const { reader } = inquiry;
  if (located.status === 'absent' || located.status === 'hidden') return undefined;
  if (located.status === 'unseen') return searchStep(inquiry, located, target.weight);
  if (located.content.kind === 'unread') return () => reader.readFile(located.layer, located.origin);
  return doubtStep(inquiry, located) ?? loaderStep(inquiry, located, target.loader);
}

/** Returns what is at the loader's path; undefined unless the program names glibc's loader. */
export function loaderOf(
  image: ImageFacts,
  reader: LayerReader,
  { content }: Found,
  called?: string,
): LoaderState | undefined {
  if (content.kind !== 'elf' || content.finding.kind !== 'dynamic') return undefined;
  const loader = called ?? content.finding.interpreter;
  return loaderLibc(loader) === 'glibc'
    ? resolveLoader(reader.layers, loader, isMuslImage(image, reader.layers))
    : undefined;
}

function searchStep(inquiry: Inquiry, located: Unseen, weight: Target['weight']): Step | undefined {
  const { image, reader, look } = inquiry;
  const baseHelps = weight !== 'file' && baseLibcApplies(unreached(image, located.paths));
  // The layers that may hold a directory's files were chosen already.
  const atLeast = weight === 'file' && !located.paths.some(isEndOf) ? likelihood.possible : likelihood.unlikely;
  const wanted = { paths: located.paths, layers: located.layers, atLeast, baseHelps };
  // What is found may lead on to another file: the scan goes on for that if it can be in the same layer.
  const isOpen = (target: Target): boolean =>
    (target.located.status === 'unseen' || hasEarlier(target.located)) &&
    (target.weight !== 'passing' || weight === 'passing');
  const locate = (): Located | LoaderState => {
    const { targets } = look();
    const open = targets.find(isOpen)?.located;
    return open ?? (inquiry.limits.wholeLayers ? missingLoader(inquiry, targets) : undefined) ?? nothingMore;
  };
  const elsewhere = located.layers.some(
    (layer) => layer > 0 && likelihoodOf(image, layer, located.paths) >= likelihood.mentioned,
  );
  // If the history puts the program into another layer, the base layer can only give its first executable.
  const isEnough = (layer: number): boolean => layer === 0 && elsewhere && reader.layers[0]?.firstDynamic !== undefined;
  return readStep(inquiry, wanted, { locate, isEnough });
}

/** Returns a loader of glibc's that a scan of a musl image looks for, too: once a layer is read, it is not read again. */
function missingLoader({ image, reader }: Inquiry, targets: readonly Target[]): LoaderState | undefined {
  if (!isMuslImage(image, reader.layers)) return undefined;
  return targets
    .map(({ located, loader }) => (located.status === 'found' ? loaderOf(image, reader, located, loader) : undefined))
    .find((loader) => loader?.status === 'unseen');
}

const hasEarlier = (located: Located): boolean => located.status === 'found' && located.earlier.length > 0;

const nothingMore: Located = { status: 'absent', name: '' };

/**
 * Reads the layers that may well hide the program found: small ones, layers whose history line names it, and in a scan those
 * without a line.
 */
function doubtStep(inquiry: Inquiry, located: Found): Step | undefined {
  const { image, limits, look } = inquiry;
  const layers = located.doubts.filter((layer) => {
    const isSmall = (image.manifest.layers[layer]?.size ?? 0) <= smallLayer && layer > 0;
    const isRead = isSmall || (limits.wholeLayers && image.history[layer] === undefined);
    const mayHold = isRead && likelihoodOf(image, layer, located.rivals) >= likelihood.possible;
    return mayHold || namesAnother(image, layer, located.rivals);
  });
  const wanted = { paths: located.rivals, layers, atLeast: likelihood.possible, baseHelps: false };
  return readStep(inquiry, wanted, {
    isWhole: limits.wholeLayers,
    locate: () => {
      const all = look().targets.map((target) => target.located);
      const again = all.find(
        (one) => one.status === 'found' && one.path === located.path && one.layer === located.layer,
      );
      return again?.status === 'found' ? { status: 'unseen', paths: wanted.paths, layers: again.doubts } : nothingMore;
    },
  });
}

/** Checks that glibc's loader is no musl shim, unless the image's history and labels agree on glibc. */
function loaderStep(inquiry: Inquiry, located: Found, called: string | undefined): Step | undefined {
  const { image, reader } = inquiry;
  const loader = loaderOf(image, reader, located, called);
  if (loader === undefined || loader.status === 'absent') return undefined;
  const muslImage = isMuslImage(image, reader.layers);
  if (loader.status === 'seen') {
    const { unread } = loader;
    return unread === undefined || !muslImage ? undefined : () => reader.readFile(unread.layer, unread.path);
  }
  if (muslImage) {
    const wanted = { ...loader, atLeast: likelihood.possible, baseHelps: false };
    const locate = (): LoaderState => loaderOf(image, reader, located, called) ?? { status: 'absent' };
    return readStep(inquiry, wanted, { locate });
  }
  if (agreedHint(image.hints)?.libc === 'glibc' || reader.wasRead(0) || reader.bytesLeft() < probeBytes)
    return undefined;
  return () => reader.read(0, { windows: [probeBytes], reserve: 0, visit: () => 'go' });
}

/** What a read looks for. */
interface Goal {
  readonly locate: () => Located | LoaderState;
  /** Reports whether a layer has told enough, although it does not hold the file. */
  readonly isEnough?: (layer: number) => boolean;
  /** It is read to its end: any file on the way to the program may be in it. */
  readonly isWhole?: boolean;
}

function readStep({ image, reader, limits }: Inquiry, wanted: Candidates, goal: Goal): Step | undefined {
  const next = nextRead(reader, image, wanted, limits);
  if (next === undefined) return undefined;
  const isWhole = goal.isWhole === true || (image.manifest.layers[next.layer]?.size ?? 0) <= tinyLayer;
  const done = isWhole ? neverDone : layerDone(reader, next.layer, goal);
  const mayRepeat = (path: string): boolean => mayHoldAnother(image, reader, { layer: next.layer, path });
  const visit = stopAt(next.layer, wanted.paths, goal, done, mayRepeat);
  // A tiny layer comes in one request, so it is scanned to its end.
  const visitWhole: typeof visit = (path, node) => (visit(path, node) === 'go' ? 'go' : 'wanted');
  return () => reader.read(next.layer, { ...next, visit: isWhole ? visitWhole : visit });
}

/**
 * Reports whether the rest of an archive may have one more entry of a path that it has shown. A distribution's base is its root
 * file system, packed by tar.
 */
export function mayHoldAnother(image: ImageFacts, reader: LayerReader, { layer, path }: EntryPlace): boolean {
  const index = reader.layers[layer];
  if (index === undefined || index.complete) return false;
  if (index.isForeign && (layer > 0 || image.history[0] === undefined)) return true;
  return index.irregular && !index.isKnown(path);
}

type Done = (wanted: readonly string[]) => boolean;

const neverDone: Done = () => false;

/** Returns a test for a layer that has nothing more for the goal. */
function layerDone(reader: LayerReader, layer: number, { isEnough }: Goal): Done {
  if (isEnough?.(layer) === true) return () => true;
  const index = reader.layers[layer];
  const baseMay = layer === 0 && isEnough !== undefined;
  return (wanted) => (baseMay ? isEnough(layer) : index !== undefined && wanted.every((path) => index.isKnown(path)));
}

/** Stops a scan once the file is found or the layer has nothing more for it. */
function stopAt(
  layer: number,
  paths: readonly string[],
  goal: Goal,
  done: Done,
  mayRepeat: (path: string) => boolean,
): ReadPlan['visit'] {
  let wanted = paths;
  let locates = 0;
  const noted: string[] = [];
  return (path, node) => {
    const matters = wanted.some((one) => one.startsWith(path) && (one[path.length] ?? '/') === '/');
    if (matters && node.type !== 'directory' && locates < maxLocates) {
      locates += 1;
      const state = goal.locate();
      if (state.status === 'found' && state.earlier.length > 0) {
        wanted = state.earlier;
        return done(wanted) ? 'stop' : 'go';
      }
      if (state.status !== 'unseen' || !state.layers.includes(layer)) {
        if (!mayRepeat(path)) return 'stop';
        noted.push(path);
        return 'noted';
      }
      wanted = state.paths;
    }
    return done(wanted) && !noted.some(mayRepeat) ? 'stop' : 'go';
  };
}
