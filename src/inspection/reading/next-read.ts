import type { Descriptor } from '../../detection/image-source.ts';
import { likelihood } from '../history.ts';
import { type ImageFacts, likelihoodOf } from '../image-facts.ts';
import type { LayerReader } from './layer-reader.ts';
import { type InspectLimits, tinyLayer } from '../limits.ts';

/** Which layer to read next, and how much of it. */
interface NextRead {
  readonly layer: number;
  readonly windows: readonly number[];
  /** Requests kept for the base layer. */
  readonly reserve: number;
}

/** A wanted file, and the layers that may hold it. */
export interface Candidates {
  /** Any of these paths will do. */
  readonly paths: readonly string[];
  readonly layers: readonly number[];
  /** Layers below this likelihood are not worth a request. */
  readonly atLeast: number;
  /** The base layer helps even if it does not hold the file. */
  readonly baseHelps: boolean;
}

const baseReserve = 272 * 1024;
const mostOfUnlikely = 96 * 1024;
// 1-4 KB decide a gzip layer that begins with the program; zstd gives nothing before a whole block of up to 128 KiB.
const secondZstdWindow = 32 * 1024;
const firstWindow = { gzip: 36 * 1024, zstd: 60 * 1024 };

/** Returns the likeliest unread layer, the newest of equals; undefined if nothing more can be read. */
export function nextRead(
  reader: LayerReader,
  image: ImageFacts,
  wanted: Candidates,
  limits: InspectLimits,
): NextRead | undefined {
  const { layers } = image.manifest;
  if (reader.requestsLeft() < 1 || reader.bytesLeft() < 4096) return undefined;
  // A scan has requests for tiny layers that the history says nothing good of.
  const isSpare = (layer: number): boolean => limits.wholeLayers && (layers[layer]?.size ?? 0) <= tinyLayer;
  const ranked = wanted.layers
    .filter((layer) => !reader.wasRead(layer))
    .map((layer) => ({ layer, rank: likelihoodOf(image, layer, wanted.paths) }))
    .filter(({ layer, rank }) => rank >= wanted.atLeast || isSpare(layer))
    .toSorted((one, other) => other.rank - one.rank || sizeRank(layers, wanted, one, other) || other.layer - one.layer);
  const [best] = ranked;
  if (best === undefined) return undefined;
  const baseUnread = wanted.baseHelps && !reader.wasRead(0);
  const baseFirst = baseUnread && reader.requestsLeft() === 1 && best.rank < likelihood.likely;
  const layer = baseFirst ? 0 : best.layer;
  const keepsBase = baseUnread && layer !== 0;
  const left = reader.bytesLeft() - (keepsBase ? baseReserve : 0);
  const single = reader.requestsLeft() - Number(keepsBase) < 2;
  const windows = windowsFor(layers[layer], layer === 0 ? 'base' : best.rank, left, single, limits);
  return { layer, windows, reserve: keepsBase ? 1 : 0 };
}

// Among equals, a script is more likely in a small layer.
function sizeRank(
  layers: readonly Descriptor[],
  { paths }: Candidates,
  one: { readonly layer: number },
  other: { readonly layer: number },
): number {
  const isTiny = (layer: number): number => Number((layers[layer]?.size ?? 0) <= tinyLayer);
  const wantsScript = paths.some((path) => /\.sh$|entrypoint|start|init$|run$/u.test(path));
  return wantsScript ? isTiny(other.layer) - isTiny(one.layer) : 0;
}

function windowsFor(
  blob: Descriptor | undefined,
  rank: number | 'base',
  left: number,
  single: boolean,
  limits: InspectLimits,
): readonly number[] {
  const size = blob?.size ?? 0;
  if (limits.wholeLayers) return [left];
  if (size <= tinyLayer) return [Math.min(Math.max(size, 1), left)];
  const isZstd = blob?.mediaType.includes('zstd') === true;
  const first = firstWindow[isZstd ? 'zstd' : 'gzip'];
  const most = rank === 'base' || rank >= likelihood.likely ? left : Math.min(left, mostOfUnlikely);
  if (most <= first || single) return [most];
  const second = isZstd ? Math.min(most - first, secondZstdWindow) : most - first;
  return [first, second, most - first - second].filter((length) => length > 0);
}
