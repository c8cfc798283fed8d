import {
  type Descriptor,
  type ImageConfig,
  type ImageManifest,
  ImageSourceError,
  type Platform,
} from '../detection/image-source.ts';
import { normalizePlatform, platformName } from '../detection/platform.ts';
import { type IndexEntry, isIndexType, parseImageConfig, parseImageDocument } from './manifest.ts';

/** The bytes of a manifest or index, its digest verified. */
export interface StoredDocument {
  readonly bytes: Uint8Array;
  /** As the store gives it; empty if it gives none. */
  readonly mediaType: string;
  readonly digest: string;
}

/** A source of documents: a registry's repository, or a directory. */
export interface DocumentStore {
  /** Names the image in errors. */
  readonly name: string;
  /** Fetches the manifest or index of a digest. */
  readonly document: (digest: string) => Promise<StoredDocument>;
  /** Fetches a configuration's bytes, verified. */
  readonly config: (descriptor: Descriptor) => Promise<Uint8Array>;
}

/** The chosen image; with its configuration if that had to be read to choose it. */
interface ChosenImage {
  readonly manifest: ImageManifest;
  readonly config?: ImageConfig;
}

const attestation = 'vnd.docker.reference.type';
const mostUnmarked = 3;

/**
 * Finds the image for `platform` in the document that a reference names. Takes the best entry of an index, except
 * attestations and other operating systems; reads entries without a platform if no other fits. Takes an image outside
 * an index as it is, with the platform in its configuration, because a node would run it too. Rejects with
 * `ImageSourceError` `no-platform`, `not-an-image` or `invalid-answer`, and with the errors of the store.
 */
export async function chooseImage(
  store: DocumentStore,
  start: StoredDocument,
  platform: Platform,
  depth: number,
): Promise<ChosenImage> {
  const document = parseImageDocument(start.bytes, start.mediaType, store.name);
  if (document.kind === 'manifest') {
    const { kind: _, ...parts } = document;
    const read = parseImageConfig(
      await store.config(parts.config),
      parts.config.mediaType,
      `${store.name}: its configuration`,
    );
    return { config: read.config, manifest: { ...parts, digest: start.digest, platform: read.platform } };
  }
  return await chooseEntry(store, document.entries, platform, depth);
}

async function chooseEntry(
  store: DocumentStore,
  entries: readonly IndexEntry[],
  platform: Platform,
  depth: number,
): Promise<ChosenImage> {
  const images = entries.filter((entry) => entry.annotations?.[attestation] === undefined);
  const best = bestEntry(images, platform);
  if (best?.platform !== undefined && !isIndexType(best.mediaType)) {
    const { bytes, mediaType, digest } = await store.document(best.digest);
    const document = parseImageDocument(bytes, mediaType || best.mediaType, store.name);
    if (document.kind === 'manifest') {
      const { kind: _, ...parts } = document;
      return { manifest: { ...parts, digest, platform: best.platform } };
    }
  }
  const unmarked = best === undefined ? images.filter((entry) => entry.platform === undefined) : [best];
  for (const entry of unmarked.slice(0, mostUnmarked)) {
    if (depth === 0) throw new ImageSourceError('invalid-answer', `${store.name}: its indexes are nested too deeply`);
    const found = await tryEntry(store, entry, platform, depth - 1);
    if (found !== undefined) return found;
  }
  throw new ImageSourceError('no-platform', `${store.name} has nothing for ${platformName(platform)}${offers(images)}`);
}

/** Reads an entry; undefined if it turns out to be for another platform, or no image. */
async function tryEntry(
  store: DocumentStore,
  entry: IndexEntry,
  platform: Platform,
  depth: number,
): Promise<ChosenImage | undefined> {
  try {
    const found = await chooseImage(store, await store.document(entry.digest), platform, depth);
    return platformRank(platform, found.manifest.platform) === undefined ? undefined : found;
  } catch (error) {
    const skipped = error instanceof ImageSourceError && /^(?:no-platform|not-an-image)$/.test(error.code);
    if (skipped) return undefined;
    throw error;
  }
}

function bestEntry(entries: readonly IndexEntry[], platform: Platform): IndexEntry | undefined {
  let best: IndexEntry | undefined;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const entry of entries) {
    const rank = entry.platform === undefined ? undefined : platformRank(platform, entry.platform);
    if (rank === undefined || rank >= bestRank) continue;
    best = entry;
    bestRank = rank;
  }
  return best;
}

function offers(entries: readonly IndexEntry[]): string {
  const names = new Set(
    entries.flatMap((entry) => (entry.platform === undefined ? [] : platformName(entry.platform).slice(0, 40))),
  );
  names.delete('unknown/unknown');
  return names.size === 0 ? '' : `: it has ${[...names].slice(0, 12).join(', ')}`;
}

/**
 * Returns how well an image for `offered` runs on `wanted`: 0 is best; undefined if it does not run. The order is
 * containerd's (platforms/compare.go): the same platform; then older variants, newest first; then what the processor
 * also runs, 386 on amd64 and 32-bit ARM on arm64. Another variant of the same architecture comes last: the node's
 * variant is unknown before the Pod is scheduled, and a libc does not depend on it.
 */
export function platformRank(wanted: Platform, offered: Platform): number | undefined {
  const want = normalizePlatform(wanted);
  const offer = normalizePlatform(offered);
  if (want.os !== offer.os) return undefined;
  const order = runnable(want);
  const found = order.findIndex(
    ({ architecture, variant }) => architecture === offer.architecture && variant === offer.variant,
  );
  if (found !== -1) return found;
  return want.architecture === offer.architecture ? order.length : undefined;
}

function runnable(want: Platform): Platform[] {
  const like = (architecture: string, variants: readonly string[]): Platform[] =>
    variants.map((variant) => ({ os: want.os, architecture, ...(variant === '' ? {} : { variant }) }));
  const version = Number(/^v(\d+)$/.exec(want.variant ?? '')?.[1] ?? 0);
  const arm = ['v8', 'v7', 'v6', 'v5'];
  switch (want.architecture) {
    case 'amd64':
      return [
        want,
        ...like(
          'amd64',
          ['v4', 'v3', 'v2'].filter((v) => Number(v.slice(1)) < version),
        ),
        ...like('amd64', ['']),
        ...like('386', ['']),
      ];
    case 'arm64':
      return [want, ...like('arm64', ['']), ...like('arm', arm)];
    case 'arm':
      return [
        want,
        ...like(
          'arm',
          arm.filter((v) => Number(v.slice(1)) < version),
        ),
      ];
    default:
      return [want];
  }
}
