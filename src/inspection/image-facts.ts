import type { DetectRequest } from '../detection/detector.ts';
import type { ImageConfig, ImageManifest } from '../detection/image-source.ts';
import { textBytes } from '../util/memory.ts';
import { buildpacksOf } from './command/launchers/buildpacks.ts';
import type { Buildpacks } from './command/follower.ts';
import type { Chances } from './command/image-files.ts';
import { firstInvocation, type Invocation } from './command/invocation.ts';
import {
  buildpacksLayers,
  fetchesProgram,
  glibcOnMusl,
  type Hint,
  type HistoryLine,
  hintsOf,
  installsPackage,
  layerHistory,
  layerLikelihood,
  likelihood,
  mayFill,
  mayReplace,
} from './history.ts';
import { loaderLibc, showsMusl } from './loader.ts';
import { type LayerIndex, parentOf } from './overlay.ts';
import type { Unreached } from './verdict.ts';

/** What an image's manifest and configuration say, before any layer is read. */
export interface ImageFacts {
  readonly manifest: ImageManifest;
  /** The history line of each layer, base first. */
  readonly history: readonly (HistoryLine | undefined)[];
  readonly hints: readonly Hint[];
  readonly invocation: Invocation;
  /** Where the Pod mounts volumes, absolute. */
  readonly mounts: readonly string[];
  /** What the label of Buildpacks tells. */
  readonly buildpacks: Buildpacks;
  /** The image has an Entrypoint, which names the program unless the Pod has a `command`. */
  readonly hasEntrypoint: boolean;
  readonly glibcOnMusl: 'shim' | 'glibc' | undefined;
}

export function imageFacts(manifest: ImageManifest, config: ImageConfig, request: DetectRequest): ImageFacts {
  const invocation = firstInvocation(config, request);
  const history = layerHistory(manifest, config);
  return {
    manifest,
    history,
    hints: hintsOf(manifest, config),
    invocation,
    mounts: request.mounts ?? [],
    buildpacks: { ...buildpacksOf(config.labels), layers: buildpacksLayers(history) },
    hasEntrypoint: config.entrypoint.length > 0,
    glibcOnMusl: glibcOnMusl(config),
  };
}

/** Reports whether the image's distribution uses musl. Decides by its layers, else its history, else its labels. */
export function isMuslImage(image: ImageFacts, layers: readonly LayerIndex[]): boolean {
  if (showsMusl(layers)) return true;
  const first = layers[0]?.firstDynamic;
  if (first !== undefined && loaderLibc(first.interpreter) === 'glibc') return false;
  const history = image.hints.filter((hint) => hint.source === 'history');
  return (history.length > 0 ? history : image.hints).some((hint) => hint.libc === 'musl');
}

/** Returns how likely a layer holds one of the paths. */
export function likelihoodOf(image: ImageFacts, layer: number, paths: readonly string[]): number {
  return layerLikelihood(image.history[layer], image.manifest.layers[layer]?.size ?? 0, paths, layer === 0);
}

/** Returns what the history says of the layers that are not known. */
export function chancesOf(image: ImageFacts): Chances {
  const directory = (layer: number, path: string): boolean =>
    mayFill(image.history[layer], image.manifest.layers[layer]?.size ?? 0, path, layer === 0);
  const file = (layer: number, path: string): boolean =>
    likelihoodOf(image, layer, [path]) >= likelihood.possible || directory(layer, parentOf(path));
  const named = (layer: number, paths: readonly string[]): boolean =>
    layer > 0 && likelihoodOf(image, layer, paths) >= likelihood.mentioned;
  return { named, file, directory };
}

/** Describes a program that was not reached: it may be at one of `paths`. */
export function unreached(image: ImageFacts, paths: readonly string[]): Unreached {
  return {
    paths,
    copiedIn: image.manifest.layers.some((_, layer) => {
      if (layer === 0) return false;
      const line = image.history[layer];
      if (likelihoodOf(image, layer, paths) >= likelihood.likely || fetchesProgram(line, paths)) return true;
      return mayReplace(line, paths) && !installsPackage(line, paths);
    }),
    twoLibcs: image.glibcOnMusl !== undefined,
  };
}

const objectBytes = 100;

/** Returns about how many bytes a manifest takes in memory. */
export function manifestBytes({ layers, annotations }: ImageManifest): number {
  const texts = layers.flatMap((layer) => [layer.mediaType, layer.digest, ...entriesOf(layer.annotations)]);
  return layers.length * objectBytes + textsBytes([...texts, ...entriesOf(annotations)]);
}

/** Returns about how many bytes a configuration takes in memory. */
export function configBytes({ entrypoint, cmd, env, workingDir, labels, history }: ImageConfig): number {
  const lines = history.map(({ createdBy }) => createdBy);
  // Variables are kept as lines and as names with values.
  return textsBytes([...entrypoint, ...cmd, ...env, ...env, workingDir, ...entriesOf(labels), ...lines]);
}

/** Returns about how many bytes what is known of a configuration takes in memory. */
export function factsBytes({ invocation, history, buildpacks, mounts }: ImageFacts): number {
  // A line is kept as it is and as words.
  const lines = history.reduce((sum, line) => sum + 3 * textBytes(line?.text ?? ''), 0);
  const processes = buildpacks.processes.flatMap(({ type = '', command, args }) => [type, ...command, ...args]);
  const words = [...processes, ...buildpacks.directories, ...buildpacks.layers];
  return lines + textsBytes([...words, ...mounts, ...invocation.argv, ...[...invocation.env].flat()]);
}

const entriesOf = (map: Readonly<Record<string, string>> = {}): string[] => Object.entries(map).flat();

const textsBytes = (texts: readonly string[]): number =>
  texts.reduce((sum, text) => sum + objectBytes + textBytes(text), 0);
