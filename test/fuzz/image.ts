import { gzipSync, zstdCompressSync } from 'node:zlib';

import { type Descriptor, type ImageSource, ImageSourceError } from '../../src/detection/image-source.ts';
import { parseImageConfig, parseImageDocument } from '../../src/registry/manifest.ts';
import { asObject, asText, isObject } from '../../src/util/json.ts';
import { sha256Digest } from '../support/digest.ts';
import { elf } from '../support/elf-builder.ts';
import { tar } from '../support/tar-builder.ts';

export const platform = { os: 'linux', architecture: 'amd64' };
export const program: Buffer = elf({ interpreter: '/lib/ld-musl-x86_64.so.1' });

const ociLayer = 'application/vnd.oci.image.layer.v1.tar+gzip';
const ociConfig = 'application/vnd.oci.image.config.v1+json';
const ociManifest = 'application/vnd.oci.image.manifest.v1+json';

export interface Layer {
  readonly bytes: Uint8Array;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The bytes that a registry would send. */
export interface Image {
  readonly config: Uint8Array;
  readonly layers: readonly Layer[];
  /** In place of one that names the layers. */
  readonly manifest?: Uint8Array;
}

export const plainLayer: Layer = {
  bytes: gzipSync(
    tar([
      { path: 'bin/sh', type: 'symlink', target: 'busybox' },
      { path: 'bin/busybox', content: program },
      { path: 'entry.sh', content: '#!/bin/sh\nset -e\nexec "$@"\n' },
      { path: 'app', content: program },
    ]),
  ),
};

/** Serves an image from memory; its bytes are read as a registry's answers are. */
export function sourceOf({ config, layers, manifest }: Image): ImageSource {
  const described = layers.map(({ bytes, annotations = {} }): Descriptor => {
    return {
      mediaType: ociLayer,
      digest: sha256Digest(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)),
      size: bytes.length,
      annotations,
    };
  });
  const blobs = new Map(described.map(({ digest }, index) => [digest, layers[index]?.bytes]));
  const named = { mediaType: ociConfig, digest: sha256Digest(Buffer.from(config)), size: config.length };
  const usual = { schemaVersion: 2, mediaType: ociManifest, config: named, layers: described };
  const bytes = manifest ?? Buffer.from(JSON.stringify(usual));
  return {
    async manifest() {
      const document = parseImageDocument(bytes, ociManifest, 'the image');
      if (document.kind === 'index') throw new ImageSourceError('no-platform', 'the image is an index');
      return { digest: sha256Digest(Buffer.from(bytes)), platform, ...document };
    },
    async config(_, { meter }) {
      meter.requests += 1;
      return parseImageConfig(config, '', 'the configuration').config;
    },
    async *read({ digest }, offset, length, { meter }) {
      meter.requests += 1;
      const blob = (blobs.get(digest) ?? plainLayer.bytes).subarray(offset, offset + length);
      for (let at = 0; at < blob.length; at += 16_384) {
        const chunk = blob.subarray(at, at + 16_384);
        meter.bytes += chunk.length;
        yield chunk;
      }
    },
  };
}

/** Builds a layer of a recipe: `{ compression, entries: [{ path, type, target, content, times }] }`. */
export function layerOf(recipe: unknown): Layer {
  const { compression, entries } = isObject(recipe) ? recipe : { compression: 'none', entries: recipe };
  const bytes = archiveOf(Array.isArray(entries) ? entries : [entries]);
  if (compression === 'gzip') return { bytes: gzipSync(bytes) };
  return { bytes: compression === 'zstd' ? zstdCompressSync(bytes) : bytes };
}

const mostArchive = 32 << 20;
const types = ['file', 'dir', 'symlink', 'hardlink', 'fifo'] as const;

/** `times` makes copies, which a number at the end of their paths tells apart. The content `elf` is a program. */
function archiveOf(recipes: readonly unknown[]): Buffer {
  const parts: Buffer[] = [];
  let size = 0;
  for (const recipe of recipes) {
    const { path, type: given, target, content, times } = asObject(recipe);
    const type = types.find((name) => name === given) ?? 'file';
    const copies = typeof times === 'number' ? Math.min(times, 100_000) : 1;
    const bytes = content === 'elf' ? program : asText(content);
    for (let copy = 0; copy < copies && size < mostArchive; copy += 1) {
      const name = `${asText(path)}${copy === 0 ? '' : copy}`;
      const part = tar([{ path: name, type, content: bytes, target: asText(target) }]).subarray(0, -1024);
      parts.push(part);
      size += part.length;
    }
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

/** Builds a zstd:chunked layer whose table of contents is `text`. */
export function layerWithContents(text: Uint8Array): Layer {
  const table = zstdCompressSync(text);
  // Readers refuse what inflates to 400 times its size.
  const filler = Buffer.alloc(Math.max(0, Math.ceil(text.length / 390) - table.length)).map(
    (_, at) => (at * 7919) >> 3,
  );
  const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
  skippable.writeUInt32LE(filler.length, 4);
  const packed = Buffer.concat([skippable, filler, table]);
  const position = `40000:${packed.length}:${text.length}:1`;
  const annotations = { 'io.github.containers.zstd-chunked.manifest-position': position };
  return { bytes: Buffer.concat([Buffer.alloc(40_000, 0xff), packed]), annotations };
}
