import { sha256Digest } from './digest.ts';
import { withMediaTypes, type BuiltDescriptor, type BuiltLayer, type MediaTypes } from './layer-builder.ts';

/**
 * Builds container images in memory, byte for byte the same each time. layer-builder.ts builds layers, artifact-builder.ts
 * unusual artifacts.
 */

interface StoredManifest {
  readonly mediaType: string;
  readonly bytes: Buffer;
}

interface BuiltPlatform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly 'os.version'?: string;
}

/** Everything that a registry needs to serve one reference. */
export interface BuiltImage {
  /** Digest of the manifest that the tag points to: the index, if there is one. */
  readonly digest: string;
  readonly mediaType: string;
  /** That manifest and, for an index, its members, by digest. */
  readonly manifests: ReadonlyMap<string, StoredManifest>;
  /** Configs and layers, by digest. */
  readonly blobs: ReadonlyMap<string, Buffer>;
  /** The platform to write into an index. */
  readonly platform?: BuiltPlatform;
}

export interface ImageConfigOptions {
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  /** `NAME=value`. As in Docker, PATH is not added automatically. */
  readonly env?: readonly string[];
  readonly workingDir?: string;
  readonly user?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Oldest first. Default: no history. */
  readonly history?: readonly { readonly createdBy: string; readonly emptyLayer?: boolean }[];
  readonly os?: string;
  readonly architecture?: string;
  readonly variant?: string;
  readonly osVersion?: string;
}

interface ImageOptions {
  readonly layers: readonly BuiltLayer[];
  readonly config?: ImageConfigOptions;
  readonly mediaTypes?: MediaTypes;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface IndexOptions {
  readonly mediaTypes?: MediaTypes;
  /** Adds a buildkit attestation for the first member, before or after all members. */
  readonly attestation?: 'first' | 'last';
  readonly annotations?: Readonly<Record<string, string>>;
}

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json';
const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
const DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json';

/** Builds an image for one platform (default linux/amd64). Layers oldest first. */
export function image({ layers, config = {}, mediaTypes = 'oci', annotations }: ImageOptions): BuiltImage {
  const named = layers.map((built) => withMediaTypes(built, mediaTypes));
  const configBytes = json(configFile(config, named));
  return manifestOf({
    mediaType: mediaTypes === 'oci' ? OCI_MANIFEST : DOCKER_MANIFEST,
    config: blobDescriptor(mediaTypes === 'oci' ? OCI_CONFIG : DOCKER_CONFIG, configBytes),
    configBytes,
    layers: named,
    platform: {
      os: config.os ?? 'linux',
      architecture: config.architecture ?? 'amd64',
      ...(config.variant === undefined ? {} : { variant: config.variant }),
      ...(config.osVersion === undefined ? {} : { 'os.version': config.osVersion }),
    },
    ...(annotations === undefined ? {} : { annotations }),
  });
}

interface ManifestParts {
  readonly mediaType: string;
  readonly config: BuiltDescriptor;
  readonly configBytes: Buffer;
  readonly layers: readonly BuiltLayer[];
  readonly platform?: BuiltPlatform;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly artifactType?: string;
}

/** Builds a schema 2 manifest of anything, for artifacts that are not images. */
export function manifestOf(parts: ManifestParts): BuiltImage {
  const { mediaType, config, configBytes, layers, platform, annotations, artifactType } = parts;
  const bytes = json({
    schemaVersion: 2,
    mediaType,
    ...(artifactType === undefined ? {} : { artifactType }),
    config,
    layers: layers.map(({ descriptor }) => descriptor),
    ...(annotations === undefined ? {} : { annotations }),
  });
  const digest = sha256Digest(bytes);
  const held = layers.filter(({ bytes: layerBytes }) => layerBytes.length > 0);
  return {
    digest,
    mediaType,
    manifests: new Map([[digest, { mediaType, bytes }]]),
    blobs: new Map([[config.digest, configBytes], ...held.map((l) => [l.descriptor.digest, l.bytes] as const)]),
    ...(platform === undefined ? {} : { platform }),
  };
}

/** Builds an index (OCI) or manifest list (Docker) of images, or of indexes. */
export function index(members: readonly BuiltImage[], options: IndexOptions = {}): BuiltImage {
  const { mediaTypes = 'oci', attestation, annotations } = options;
  const all: readonly IndexMember[] = withAttestation(
    members.map((member) => ({ member })),
    attestation,
  );
  const mediaType = mediaTypes === 'oci' ? OCI_INDEX : DOCKER_LIST;
  const bytes = json({
    schemaVersion: 2,
    mediaType,
    manifests: all.map(({ member, annotations: said }) => ({
      mediaType: member.mediaType,
      digest: member.digest,
      size: rootManifest(member).bytes.length,
      ...(member.platform === undefined ? {} : { platform: member.platform }),
      ...(said === undefined ? {} : { annotations: said }),
    })),
    ...(annotations === undefined ? {} : { annotations }),
  });
  const digest = sha256Digest(bytes);
  return {
    digest,
    mediaType,
    manifests: new Map([[digest, { mediaType, bytes }], ...all.flatMap(({ member }) => Array.from(member.manifests))]),
    blobs: new Map(all.flatMap(({ member }) => Array.from(member.blobs))),
  };
}

/** Returns the manifest that the image's digest names. */
export function rootManifest(built: BuiltImage): StoredManifest {
  const manifest = built.manifests.get(built.digest);
  if (manifest === undefined) throw new Error(`${built.digest} is not among the image's own manifests`);
  return manifest;
}

/** Returns the bytes of a full copy. */
export function totalSize(built: BuiltImage): number {
  const manifests = [...built.manifests.values()].map(({ bytes }) => bytes.length);
  return [...manifests, ...[...built.blobs.values()].map(({ length }) => length)].reduce((sum, size) => sum + size, 0);
}

export function blobDescriptor(mediaType: string, bytes: Buffer): BuiltDescriptor {
  return { mediaType, digest: sha256Digest(bytes), size: bytes.length };
}

export function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

interface IndexMember {
  readonly member: BuiltImage;
  readonly annotations?: Readonly<Record<string, string>>;
}

function withAttestation(members: readonly IndexMember[], where: 'first' | 'last' | undefined): readonly IndexMember[] {
  const [subject] = members;
  if (where === undefined || subject === undefined) return members;
  const member = attestationOf(subject.member);
  const annotations = {
    'vnd.docker.reference.digest': subject.member.digest,
    'vnd.docker.reference.type': 'attestation-manifest',
  };
  return where === 'first' ? [{ member, annotations }, ...members] : [...members, { member, annotations }];
}

/** Builds buildkit's attestation of an image (docs/attestations/attestation-storage.md): a manifest for `unknown/unknown`. */
function attestationOf(subject: BuiltImage): BuiltImage {
  const bytes = json({ _type: 'https://in-toto.io/Statement/v0.1', subject: [{ digest: subject.digest }] });
  const statement: BuiltLayer = {
    descriptor: {
      ...blobDescriptor('application/vnd.in-toto+json', bytes),
      annotations: { 'in-toto.io/predicate-type': 'https://slsa.dev/provenance/v0.2' },
    },
    bytes,
    diffId: sha256Digest(bytes),
  };
  const configBytes = json(configFile({ os: 'unknown', architecture: 'unknown' }, [statement]));
  return manifestOf({
    mediaType: OCI_MANIFEST,
    config: blobDescriptor(OCI_CONFIG, configBytes),
    configBytes,
    layers: [statement],
    platform: { os: 'unknown', architecture: 'unknown' },
  });
}

function configFile(config: ImageConfigOptions, layers: readonly BuiltLayer[]): object {
  const created = '1970-01-01T00:00:00Z';
  const run = {
    ...(config.env === undefined ? {} : { Env: config.env }),
    ...(config.entrypoint === undefined ? {} : { Entrypoint: config.entrypoint }),
    ...(config.cmd === undefined ? {} : { Cmd: config.cmd }),
    ...(config.workingDir === undefined ? {} : { WorkingDir: config.workingDir }),
    ...(config.user === undefined ? {} : { User: config.user }),
    ...(config.labels === undefined ? {} : { Labels: config.labels }),
  };
  return {
    created,
    architecture: config.architecture ?? 'amd64',
    ...(config.variant === undefined ? {} : { variant: config.variant }),
    os: config.os ?? 'linux',
    ...(config.osVersion === undefined ? {} : { 'os.version': config.osVersion }),
    config: run,
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    ...(config.history === undefined
      ? {}
      : {
          history: config.history.map(({ createdBy, emptyLayer }) => ({
            created,
            created_by: createdBy,
            ...(emptyLayer === true ? { empty_layer: true } : {}),
          })),
        }),
  };
}
