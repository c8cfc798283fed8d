import type { Descriptor } from '../detection/image-source.ts';
import { layerLikelihood, likelihood } from './history.ts';
import type { Survey } from './layer-reader.ts';
import type { InspectLimits } from './limits.ts';

/** Which layer to read next, and how much of it. */
interface NextRead {
  readonly layer: number;
  readonly windows: readonly number[];
  /** Requests kept for the base layer, which tells much by itself. */
  readonly reserve: number;
}

export interface Candidates {
  /** What is looked for. */
  readonly paths: readonly string[];
  /** Where it may be. */
  readonly layers: readonly number[];
  /** Likelihood below which a layer is not worth a request. */
  readonly atLeast: number;
  /** The base layer would tell something even without what is looked for. */
  readonly baseHelps: boolean;
}

const tinyLayer = 32 * 1024;
const baseReserve = 272 * 1024;
const mostOfUnlikely = 96 * 1024;
// A gzip layer that begins with the program tells in 1-4 KB; zstd gives nothing before a block of up to 128 KiB is there.
const secondZstdWindow = 32 * 1024;
const firstWindow = { gzip: 36 * 1024, zstd: 60 * 1024 };

/** The likeliest layer that was not read, the newest of several; undefined where nothing more can be read. */
export function nextRead(
  survey: Survey,
  layers: readonly Descriptor[],
  history: readonly (string | undefined)[],
  wanted: Candidates,
  limits: InspectLimits,
): NextRead | undefined {
  if (survey.requestsLeft() < 1 || survey.bytesLeft() < 4096) return undefined;
  const ranked = wanted.layers
    .filter((layer) => !survey.wasRead(layer))
    .map((layer) => ({
      layer,
      rank: layerLikelihood(history[layer], layers[layer]?.size ?? 0, wanted.paths, layer === 0),
    }))
    .filter(({ rank }) => rank >= wanted.atLeast)
    .toSorted((one, other) => other.rank - one.rank || sizeRank(layers, wanted, one, other) || other.layer - one.layer);
  const [best] = ranked;
  if (best === undefined) return undefined;
  const baseUnread = wanted.baseHelps && !survey.wasRead(0);
  const baseFirst = baseUnread && survey.requestsLeft() === 1 && best.rank < likelihood.likely;
  const layer = baseFirst ? 0 : best.layer;
  const keepsBase = baseUnread && layer !== 0;
  const left = survey.bytesLeft() - (keepsBase ? baseReserve : 0);
  const single = survey.requestsLeft() - Number(keepsBase) < 2;
  const windows = windowsFor(layers[layer], layer === 0 ? 'base' : best.rank, left, single, limits);
  return { layer, windows, reserve: keepsBase ? 1 : 0 };
}

// Among equals: scripts are in small layers, programs are not.
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
