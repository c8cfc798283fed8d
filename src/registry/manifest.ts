import { z } from 'zod';

import { type Descriptor, type ImageConfig, ImageSourceError, type Platform } from '../detection/image-source.ts';
import { parseBoundedJson } from '../util/json-bounds.ts';
import { parseDigest } from './digest.ts';

/** An entry of an index. */
export interface IndexEntry extends Descriptor {
  readonly platform?: Platform;
}

/** A manifest describes an image for one platform, an index names a manifest for each of several. */
type ImageDocument =
  | { readonly kind: 'index'; readonly entries: readonly IndexEntry[] }
  | {
      readonly kind: 'manifest';
      readonly config: Descriptor;
      readonly layers: readonly Descriptor[];
      readonly annotations: Readonly<Record<string, string>>;
    };

const indexTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
const manifestTypes = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];
const configTypes = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
]);

/** The `Accept` header of a manifest request: the types that `parseImageDocument` reads. */
export const acceptedTypes = [...indexTypes, ...manifestTypes].join(', ');

const mostEntries = 1000;
const mostLayers = 1000;
const mostHistory = 5000;
const mostWords = 10_000;

/** A schema for an object of strings; empty for null or undefined. Stops at the first wrong value. */
const stringMap = z.unknown().transform((value, context): Record<string, string> => {
  if (value === null || value === undefined) return {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    context.addIssue({ code: 'custom', message: 'expected an object' });
    return z.NEVER;
  }
  const entries = Object.entries(value);
  const wrong = entries.find(([, text]) => typeof text !== 'string');
  if (wrong === undefined) return Object.fromEntries(entries);
  context.addIssue({ code: 'custom', message: 'expected a string', path: [wrong[0]] });
  return z.NEVER;
});

const digest = z.string().refine((text) => parseDigest(text) !== undefined);
const descriptor = z.object({
  mediaType: z.string().default(''),
  digest,
  size: z.number().int().min(0),
  annotations: stringMap.optional(),
});
// Go's longest name of an architecture has 11 characters. Verdicts keep it.
const platformPart = z.string().max(100);
const platform = z.object({
  os: platformPart.nullish(),
  architecture: platformPart,
  variant: platformPart.nullish(),
});
const entry = descriptor.extend({ platform: platform.nullish().catch(undefined) });
const indexSchema = z.object({ manifests: boundedList(entry, mostEntries).optional() });
const manifestSchema = z.object({
  artifactType: z.string().nullish(),
  config: descriptor,
  layers: boundedList(descriptor, mostLayers).optional(),
  annotations: stringMap.optional(),
});
const headSchema = z.object({
  schemaVersion: z.number().optional().catch(undefined),
  mediaType: z.string().optional().catch(undefined),
  manifests: z.unknown().optional(),
  layers: z.unknown().optional(),
  config: z.unknown().optional(),
  fsLayers: z.unknown().optional(),
});

/**
 * Reads a manifest or index, OCI or Docker schema 2. Decides which by the document's own `mediaType`, else `mediaType`
 * (from the header), else its shape. Throws `ImageSourceError` `not-an-image` for schema 1 and what calls itself another artifact,
 * and `invalid-answer` for other documents and for one that could be both (CVE-2021-41190). `what` names the
 * document in errors.
 */
export function parseImageDocument(bytes: Uint8Array, mediaType: string, what: string): ImageDocument {
  const json = parseJson(bytes, what);
  const head = headSchema.safeParse(json);
  if (!head.success) throw invalid(what, 'it is not a JSON object');
  const kind = kindOf(head.data, mediaType, what);
  if (kind === 'index') {
    const { manifests = [] } = checked(indexSchema, json, what);
    return { kind, entries: manifests.map(toEntry) };
  }
  const manifest = checked(manifestSchema, json, what);
  const isKnown = configTypes.has(manifest.config.mediaType);
  if (manifest.artifactType && !isKnown) throw artifact(what, manifest.artifactType);
  const { config, layers = [], annotations = {} } = manifest;
  return { kind, config: toDescriptor(config), layers: layers.map(toDescriptor), annotations };
}

function kindOf(head: z.infer<typeof headSchema>, header: string, what: string): 'index' | 'manifest' {
  const type = head.mediaType ?? header.replace(/;.*/s, '').trim();
  refuseSchema1(head, type, what);
  const isIndex = head.manifests !== undefined;
  const isManifest = head.layers !== undefined || head.config !== undefined;
  if (isIndex && isManifest) throw invalid(what, 'it is an index and a manifest at once');
  if (indexTypes.includes(type) ? !isManifest : isIndex && !manifestTypes.includes(type)) return 'index';
  if (isManifest && !indexTypes.includes(type)) return 'manifest';
  throw invalid(what, `it is neither an image manifest nor an index (${quote(type)})`);
}

function refuseSchema1({ schemaVersion, fsLayers }: z.infer<typeof headSchema>, type: string, what: string): void {
  if (schemaVersion !== 1 && fsLayers === undefined && !/distribution\.manifest\.v1\+/.test(type)) return;
  const message = `${what} is in image format schema 1, which runtimes no longer run: push it again with a current tool`;
  throw new ImageSourceError('not-an-image', message);
}

/** Reports whether a media type is that of an index. */
export function isIndexType(mediaType: string): boolean {
  return indexTypes.includes(mediaType);
}

const words = boundedList(z.string(), mostWords).optional();
const historyEntry = z.object({ created_by: z.string().nullish(), empty_layer: z.boolean().nullish() });
const configSchema = z.object({
  os: platformPart.nullish(),
  architecture: platformPart.nullish(),
  variant: platformPart.nullish(),
  config: z
    .object({
      Entrypoint: words,
      Cmd: words,
      Env: words,
      WorkingDir: z.string().nullish(),
      User: z.string().nullish(),
      Labels: stringMap.optional(),
    })
    .nullish(),
  history: boundedList(historyEntry, mostHistory).optional(),
});
const rootfsSchema = z.object({ rootfs: z.looseObject({}) });

/**
 * Reads an image's configuration and the platform in it. A configuration of another type than an image's is read if it has a `rootfs`, which
 * the OCI image specification requires: old registries and clients give any type (moby/moby#30083), and Helm charts have none. Throws
 * `ImageSourceError` `not-an-image` or `invalid-answer`.
 */
export function parseImageConfig(
  bytes: Uint8Array,
  mediaType: string,
  what: string,
): { config: ImageConfig; platform: Platform } {
  const json = parseJson(bytes, what);
  if (!configTypes.has(mediaType) && !rootfsSchema.safeParse(json).success)
    throw artifact(what, mediaType || 'of no type');
  const { config, history = [], os, architecture, variant } = checked(configSchema, json, what);
  return {
    platform: toPlatform({ os, architecture: architecture || 'unknown', variant }),
    config: {
      ...runConfig(config ?? {}),
      history: history.map((line) => ({ createdBy: line.created_by ?? '', emptyLayer: line.empty_layer ?? false })),
    },
  };
}

type RunConfig = NonNullable<z.infer<typeof configSchema>['config']>;

const runConfig = (config: RunConfig): Omit<ImageConfig, 'history'> => ({
  entrypoint: config.Entrypoint ?? [],
  cmd: config.Cmd ?? [],
  env: config.Env ?? [],
  workingDir: config.WorkingDir ?? '',
  user: config.User ?? '',
  labels: config.Labels ?? {},
});

function parseJson(bytes: Uint8Array, what: string): unknown {
  const json = parseBoundedJson(bytes);
  if (json === undefined) throw invalid(what, 'it is not JSON, or too large for a manifest');
  return json;
}

function checked<T extends z.ZodType>(schema: T, json: unknown, what: string): z.infer<T> {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const path = result.error.issues[0]?.path.join('.') ?? '';
  throw invalid(what, `its ${quote(path)} is missing or not what the OCI image specification says`);
}

function toDescriptor({ annotations, ...rest }: z.infer<typeof descriptor>): Descriptor {
  return { ...rest, ...(annotations ? { annotations } : {}) };
}

function toEntry({ platform: given, ...rest }: z.infer<typeof entry>): IndexEntry {
  // Without an architecture its configuration tells. Go writes what is missing as an empty text.
  return { ...toDescriptor(rest), ...(given?.architecture ? { platform: toPlatform(given) } : {}) };
}

function toPlatform({ os, architecture, variant }: z.infer<typeof platform>): Platform {
  // containerd takes an empty one for the node's own (platforms: normalizeOS).
  return { os: os || 'linux', architecture, ...(variant ? { variant } : {}) };
}

function artifact(what: string, type: string): ImageSourceError {
  return new ImageSourceError('not-an-image', `${what} is no container image but an artifact: ${quote(type)}`);
}

function invalid(what: string, why: string): ImageSourceError {
  return new ImageSourceError('invalid-answer', `${what} cannot be read: ${why}`);
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}

/**
 * Returns a schema for a list of at most `most` items; empty for null or undefined, as Go writes an empty one. Unlike
 * zod's array it stops at the first wrong item: a report on a million of them takes seconds and gigabytes.
 */
function boundedList<T>(item: z.ZodType<T>, most: number): z.ZodPipe<z.ZodUnknown, z.ZodTransform<T[]>> {
  return z.unknown().transform((value, context): T[] => {
    const items: T[] = [];
    if (value === null || value === undefined) return items;
    if (!Array.isArray(value) || value.length > most) {
      context.addIssue({ code: 'custom', message: `expected a list of at most ${most} items` });
      return z.NEVER;
    }
    for (const [index, given] of value.entries()) {
      const result = item.safeParse(given);
      if (!result.success) {
        const path = [index, ...(result.error.issues[0]?.path ?? [])];
        context.addIssue({ code: 'custom', message: 'not what was expected', path });
        return z.NEVER;
      }
      items.push(result.data);
    }
    return items;
  });
}
