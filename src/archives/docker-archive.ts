import { z } from 'zod';

import { type Descriptor, type ImageSource, ImageSourceError, type LookupContext } from '../detection/image-source.ts';
import { chooseImage } from '../registry/choose-image.ts';
import { sha256Of } from '../registry/digest.ts';
import { defaultLimits } from '../registry/http/limits.ts';
import { parseImageConfig } from '../registry/manifest.ts';
import { canonicalName } from '../registry/reference.ts';
import { parseBoundedJson } from '../util/json-bounds.ts';
import { type Archive, readWhole, type Span } from './archive.ts';

/** What `docker save` writes into manifest.json: https://github.com/moby/docker-image-spec/blob/main/spec.md#combined-image-json--filesystem-changeset-format. */
const manifestSchema = z
  .array(
    z.object({
      Config: z.string(),
      RepoTags: z.array(z.string()).max(1000).nullish(),
      Layers: z.array(z.string()).max(1000).nullish(),
    }),
  )
  .min(1)
  .max(1000);
const rootSchema = z.object({ rootfs: z.object({ diff_ids: z.array(z.string()).max(1000).nullish() }) });

type Saved = z.infer<typeof manifestSchema>[number];

const MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const CONFIG = 'application/vnd.docker.container.image.v1+json';
/** skopeo's, whether a layer is compressed or not. Readers look at the bytes. */
const LAYER = 'application/vnd.docker.image.rootfs.diff.tar.gzip';

/**
 * Opens an image in an archive of `docker save` or `podman save`. `which` names it: a tag, or `@` and its place; undefined for the only one.
 * The archive has no manifest of the image: the one that skopeo would make of it stands in, so that digests compare.
 */
export function openDockerArchive(open: (context: LookupContext) => Promise<Archive>, which?: string): ImageSource {
  let image: SavedImage | undefined;
  const find = async (context: LookupContext): Promise<SavedImage> => {
    image ??= await findImage(await open(context), which, context);
    return image;
  };
  return {
    async manifest(platform, context) {
      const { name, config, manifest: bytes } = await find(context);
      const store = { name, document: noDocument, config: async () => config };
      const start = { bytes, mediaType: MANIFEST, digest: sha256Of(bytes) };
      return (await chooseImage(store, start, platform, 0)).manifest;
    },
    async config(_, context) {
      const { name, config } = await find(context);
      return parseImageConfig(config, CONFIG, `${name}: its configuration`).config;
    },
    async *read({ digest }, offset, length, context) {
      const { name, archive, layers } = await find(context);
      const span = layers.get(digest);
      if (span === undefined) throw new ImageSourceError('not-found', `${name} has no layer ${digest}`);
      yield* archive.chunks(span, { offset, length }, context);
    },
  };
}

/** An image of an archive. */
interface SavedImage {
  /** For messages. */
  readonly name: string;
  readonly archive: Archive;
  readonly config: Buffer;
  readonly manifest: Buffer;
  /** By digest. */
  readonly layers: ReadonlyMap<string, Span>;
}

async function findImage(archive: Archive, which: string | undefined, context: LookupContext): Promise<SavedImage> {
  const name = `docker-archive:${archive.path}`;
  const saved = chooseSaved(await savedIn(archive, context), which, name);
  const config = await readWhole(archive, saved.Config, defaultLimits.configBytes, context);
  return { name, archive, config, ...manifestOf(archive, saved, config) };
}

function noDocument(): never {
  throw new ImageSourceError('invalid-answer', 'an archive of docker save has no other documents');
}

async function savedIn(archive: Archive, context: LookupContext): Promise<readonly Saved[]> {
  const bytes = await readWhole(archive, 'manifest.json', defaultLimits.manifestBytes, context);
  const read = manifestSchema.safeParse(parseBoundedJson(bytes));
  if (read.success) return read.data;
  throw new ImageSourceError('invalid-answer', `${archive.path}: its manifest.json is not one of docker save`);
}

function chooseSaved(all: readonly Saved[], which: string | undefined, name: string): Saved {
  const place = /^@(\d{1,4})$/.exec(which ?? '')?.[1];
  const found = which === undefined ? all : place === undefined ? all.filter(isTagged(which)) : [all[Number(place)]];
  const [first] = found;
  if (first !== undefined && found.length === 1) return first;
  const tags = all.flatMap(({ RepoTags }) => RepoTags ?? []).slice(0, 12);
  const has = tags.length === 0 ? `@0 to @${all.length - 1}` : tags.join(', ');
  if (which === undefined) {
    throw new ImageSourceError('invalid-reference', `${name} holds several images: name one of ${has}`);
  }
  throw new ImageSourceError('not-found', `${name}:${which} is not in the archive: it has ${has}`);
}

function isTagged(which: string): (saved: Saved) => boolean {
  const wanted = canonicalName(which);
  return ({ RepoTags }) => (RepoTags ?? []).some((tag) => nameOrNone(tag) === wanted);
}

/** The tags are the archive's: one that is no reference is nobody's. */
function nameOrNone(tag: string): string | undefined {
  try {
    return canonicalName(tag);
  } catch {
    return undefined;
  }
}

/** Returns the manifest that skopeo makes of an archive (byte for byte if its layers are not compressed), and where the layers are. */
function manifestOf(archive: Archive, { Layers }: Saved, config: Buffer): Pick<SavedImage, 'manifest' | 'layers'> {
  const root = rootSchema.safeParse(parseBoundedJson(config));
  const ids = (root.success && root.data.rootfs.diff_ids) || [];
  const paths = Layers ?? [];
  if (ids.length !== paths.length) {
    const counts = `${paths.length} layers, and its configuration ${ids.length}`;
    throw new ImageSourceError('invalid-answer', `${archive.path}: the image has ${counts}`);
  }
  const layers = new Map(paths.map((path, index) => [ids[index] ?? '', archive.find(path)]));
  const described = ids.map((digest): Descriptor => ({
    mediaType: LAYER,
    size: layers.get(digest)?.length ?? 0,
    digest,
  }));
  const about = { mediaType: CONFIG, size: config.length, digest: sha256Of(config) };
  const manifest = { schemaVersion: 2, mediaType: MANIFEST, config: about, layers: described };
  return { manifest: Buffer.from(JSON.stringify(manifest)), layers };
}
