import { gzipSync, zstdCompressSync } from 'node:zlib';
import { sha256Digest } from './digest.ts';
import { estargz } from './estargz-builder.ts';
import { tar, type TarEntry, type TarOptions } from './tar-builder.ts';
import { zstdChunked } from './zstd-chunked-builder.ts';

export type Compression = 'gzip' | 'zstd' | 'none' | 'estargz' | 'zstd:chunked';
export type MediaTypes = 'oci' | 'docker';

export interface BuiltDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly urls?: readonly string[];
}

export interface BuiltLayer {
  readonly descriptor: BuiltDescriptor;
  readonly bytes: Buffer;
  /** Digest of the uncompressed archive. */
  readonly diffId: string;
}

interface LayerOptions extends TarOptions {
  /** OCI's or Docker's media type names; `image()` converts them if necessary. */
  readonly mediaTypes?: MediaTypes;
}

const OCI_TYPES = { gzip: 'tar+gzip', zstd: 'tar+zstd', none: 'tar', estargz: 'tar+gzip', 'zstd:chunked': 'tar+zstd' };
const DOCKER_TYPES = {
  gzip: 'tar.gzip',
  zstd: 'tar.zstd',
  none: 'tar',
  estargz: 'tar.gzip',
  'zstd:chunked': 'tar.zstd',
};

/** Builds a layer of these entries, in this order. Whiteouts are plain entries named `.wh.NAME` and `.wh..wh..opq`. */
export function layer(
  entries: readonly TarEntry[],
  compression: Compression = 'gzip',
  options: LayerOptions = {},
): BuiltLayer {
  const { bytes, uncompressed, annotations } = compress(entries, compression, options);
  const mediaType = layerMediaType(compression, options.mediaTypes ?? 'oci');
  return {
    descriptor: {
      mediaType,
      digest: sha256Digest(bytes),
      size: bytes.length,
      ...(annotations === undefined ? {} : { annotations }),
    },
    bytes,
    diffId: sha256Digest(uncompressed),
  };
}

/** Returns the layer with Docker's or OCI's media type names. */
export function withMediaTypes(built: BuiltLayer, mediaTypes: MediaTypes): BuiltLayer {
  const { mediaType } = built.descriptor;
  const renamed =
    mediaTypes === 'docker'
      ? mediaType.replace(
          /^application\/vnd\.oci\.image\.layer\.v1\.tar\+?/,
          'application/vnd.docker.image.rootfs.diff.tar.',
        )
      : mediaType.replace(
          /^application\/vnd\.docker\.image\.rootfs\.diff\.tar\.?/,
          'application/vnd.oci.image.layer.v1.tar+',
        );
  return { ...built, descriptor: { ...built.descriptor, mediaType: renamed.replace(/[.+]$/, '') } };
}

function layerMediaType(compression: Compression, mediaTypes: MediaTypes): string {
  return mediaTypes === 'oci'
    ? `application/vnd.oci.image.layer.v1.${OCI_TYPES[compression]}`
    : `application/vnd.docker.image.rootfs.diff.${DOCKER_TYPES[compression]}`;
}

interface Compressed {
  readonly bytes: Buffer;
  readonly uncompressed: Buffer;
  readonly annotations?: Readonly<Record<string, string>>;
}

function compress(entries: readonly TarEntry[], compression: Compression, options: TarOptions): Compressed {
  if (compression === 'estargz') return estargz(entries, options);
  if (compression === 'zstd:chunked') return zstdChunked(entries, options);
  const uncompressed = tar(entries, options);
  if (compression === 'gzip') return { bytes: gzipSync(uncompressed), uncompressed };
  if (compression === 'zstd') return { bytes: zstdCompressSync(uncompressed), uncompressed };
  return { bytes: uncompressed, uncompressed };
}
