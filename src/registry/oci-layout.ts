import { constants } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';

import { type ImageConfig, type ImageSource, ImageSourceError, type LookupContext } from '../detection/image-source.ts';
import { chooseImage, type DocumentStore, type StoredDocument } from './choose-image.ts';
import { matchesDigest, parseDigest } from './digest.ts';
import { defaultLimits } from './http/limits.ts';
import { type IndexEntry, parseImageConfig, parseImageDocument } from './manifest.ts';

/** An image in an OCI image layout directory. */
interface LayoutReference {
  readonly directory: string;
  readonly tag?: string;
}

const refName = 'org.opencontainers.image.ref.name';
const indexType = 'application/vnd.oci.image.index.v1+json';
const chunkBytes = 64 * 1024;

/**
 * Reads `oci:DIR` or `oci:DIR:TAG`; the part after the last colon is the tag, unless it has a slash. Undefined if the
 * text does not begin with `oci:`. Throws `ImageSourceError` `invalid-reference` if it names no directory.
 */
export function parseLayoutReference(text: string): LayoutReference | undefined {
  if (!text.startsWith('oci:')) return undefined;
  const rest = text.slice('oci:'.length);
  const colon = rest.lastIndexOf(':');
  const tag = colon === -1 ? '' : rest.slice(colon + 1);
  const hasTag = colon !== -1 && !tag.includes('/');
  const directory = hasTag ? rest.slice(0, colon) : rest;
  if (directory === '' || (hasTag && tag === '')) {
    throw new ImageSourceError(
      'invalid-reference',
      `${JSON.stringify(text)} names no directory: expected oci:DIR[:TAG]`,
    );
  }
  return { directory, ...(hasTag ? { tag } : {}) };
}

/** The files of a layout: of a folder, or of an archive. */
export interface LayoutFiles {
  /** For messages: `oci:DIR`. */
  readonly name: string;
  /** Rejects with `ImageSourceError` `not-found` or `invalid-answer`. */
  open(path: readonly string[], context: LookupContext): Promise<LayoutFile>;
}

interface LayoutFile extends AsyncDisposable {
  /** In bytes. */
  readonly size: number;
  /** Yields `length` bytes from `offset` on; fewer if the file ends before. */
  chunks(
    range: { readonly offset: number; readonly length: number },
    context: LookupContext,
  ): AsyncIterable<Uint8Array>;
}

/**
 * Opens an image in an OCI image layout (image-spec image-layout.md): a tag, `@` and the place of the image in index.json, or undefined for the
 * only one. Verifies manifests and configurations against their digests. Counts bytes in the meter, and no requests.
 */
export function openOciLayout(files: LayoutFiles, tag: string | undefined): ImageSource {
  const name = `${files.name}${tag === undefined ? '' : `:${tag}`}`;
  const configs = new Map<string, ImageConfig>();
  const storeFor = (context: LookupContext): DocumentStore => ({
    name,
    async document(digest) {
      const bytes = await readBlob(files, digest, defaultLimits.manifestBytes, context);
      return { bytes, digest, mediaType: '' };
    },
    config: async ({ digest }) => await readBlob(files, digest, defaultLimits.configBytes, context),
  });
  return {
    async manifest(platform, context) {
      const store = storeFor(context);
      const index = await readFile(files, ['index.json'], defaultLimits.manifestBytes, context);
      const start = await startOf(store, index, tag);
      const chosen = await chooseImage(store, start, platform, defaultLimits.indexDepth);
      if (chosen.config !== undefined) configs.set(chosen.manifest.config.digest, chosen.config);
      return chosen.manifest;
    },
    async config({ config }, context) {
      const known = configs.get(config.digest);
      if (known !== undefined) return known;
      return parseImageConfig(await storeFor(context).config(config), config.mediaType, `${name}: its configuration`)
        .config;
    },
    async *read(blob, offset, length, context) {
      await using file = await files.open(blobPath(blob.digest), context);
      yield* file.chunks({ offset, length }, context);
    },
  };
}

/** Returns the document that the tag names; without a tag the layout's only image. */
async function startOf(store: DocumentStore, index: Uint8Array, tag: string | undefined): Promise<StoredDocument> {
  const document = parseImageDocument(index, indexType, `${store.name}: index.json`);
  const all = document.kind === 'index' ? document.entries : [];
  const entries = tag === undefined ? all : tagged(all, tag);
  const tags = [...new Set(all.flatMap(({ annotations }) => annotations?.[refName] ?? []))].slice(0, 12);
  const has = tags.length === 0 ? 'it has no tags' : `it has ${tags.join(', ')}`;
  const [first] = entries;
  if (first === undefined) throw new ImageSourceError('not-found', `${store.name} is not in the layout: ${has}`);
  if (entries.length === 1) return await store.document(first.digest);
  if (tag === undefined && tags.length > 1) {
    throw new ImageSourceError(
      'invalid-reference',
      `${store.name} holds several images: name one of ${tags.join(', ')}`,
    );
  }
  return indexOf(entries);
}

/** skopeo names an image without a tag by its place: `@0`. */
function tagged(entries: readonly IndexEntry[], tag: string): readonly IndexEntry[] {
  const place = /^@(\d{1,4})$/.exec(tag)?.[1];
  if (place === undefined) return entries.filter(({ annotations }) => annotations?.[refName] === tag);
  return entries.slice(Number(place), Number(place) + 1);
}

function indexOf(manifests: readonly IndexEntry[]): StoredDocument {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests }));
  return { bytes, mediaType: indexType, digest: '' };
}

async function readBlob(files: LayoutFiles, text: string, limit: number, context: LookupContext): Promise<Buffer> {
  const bytes = await readFile(files, blobPath(text), limit, context);
  const digest = parseDigest(text);
  if (digest !== undefined && matchesDigest(bytes, digest)) return bytes;
  throw new ImageSourceError('invalid-answer', `${files.name}: the blob ${text} does not have that digest`);
}

/** Makes a path of a digest. Throws for any other text, so that no `..` gets into a path. */
function blobPath(text: string): string[] {
  const digest = parseDigest(text);
  if (digest === undefined) throw new ImageSourceError('invalid-answer', `${JSON.stringify(text)} is not a digest`);
  return ['blobs', digest.algorithm, digest.hex];
}

async function readFile(
  files: LayoutFiles,
  path: readonly string[],
  limit: number,
  context: LookupContext,
): Promise<Buffer> {
  await using file = await files.open(path, context);
  const { size } = file;
  if (size > limit) {
    throw new ImageSourceError('invalid-answer', `${files.name}: ${path.join('/')} is longer than ${limit} bytes`);
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of file.chunks({ offset: 0, length: size }, context)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/**
 * Returns the files of a folder. They may be symbolic links, which tools that share blobs make, but must lead to a regular file inside
 * the folder.
 */
export function folderFiles(directory: string): LayoutFiles {
  return {
    name: `oci:${directory}`,
    async open(path) {
      const file = await openInside(directory, path);
      const { size } = await file.stat();
      return {
        size,
        chunks: (range, context) => chunksOf(file, range, context),
        [Symbol.asyncDispose]: () => file.close(),
      };
    },
  };
}

async function* chunksOf(
  file: FileHandle,
  { offset, length }: { readonly offset: number; readonly length: number },
  context: LookupContext,
): AsyncGenerator<Uint8Array> {
  let at = offset;
  const end = offset + length;
  while (at < end) {
    context.signal.throwIfAborted();
    const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, end - at));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) return;
    context.meter.bytes += bytesRead;
    at += bytesRead;
    yield chunk.subarray(0, bytesRead);
  }
}

async function openInside(directory: string, path: readonly string[]): Promise<FileHandle> {
  const what = `oci:${directory}: ${path.join('/')}`;
  let file: FileHandle;
  try {
    const root = await realpath(directory);
    const target = await realpath(join(root, ...path));
    if (!target.startsWith(root.endsWith(sep) ? root : `${root}${sep}`)) {
      throw new ImageSourceError('invalid-answer', `${what} leads out of the layout`);
    }
    // Without O_NONBLOCK, opening a named pipe would wait for a writer.
    file = await open(target, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (error instanceof ImageSourceError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    const hint = path[0] === 'index.json' ? ': expected an OCI image layout' : '';
    throw new ImageSourceError('not-found', `${what} cannot be read (${code})${hint}`, { cause: error });
  }
  const stat = await file.stat();
  if (stat.isFile()) return file;
  await file.close();
  throw new ImageSourceError('invalid-answer', `${what} is not a regular file`);
}
