import { promisify } from 'node:util';
import {
  brotliDecompress,
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
  gunzip,
  gunzipSync,
  inflate,
  zstdDecompress,
} from 'node:zlib';
import { pipeline, Readable, type Transform } from 'node:stream';

import { ImageSourceError, type ReadingBudget } from '../../detection/image-source.ts';

type Coding = 'gzip' | 'zstd' | 'deflate' | 'br';

const names: Readonly<Record<string, Coding>> = {
  gzip: 'gzip',
  'x-gzip': 'gzip',
  zstd: 'zstd',
  deflate: 'deflate',
  br: 'br',
};
const zstdParams = { [constants.ZSTD_d_windowLogMax]: 23 };
const decoders: Readonly<Record<Coding, (bytes: Uint8Array, options: { maxOutputLength: number }) => Promise<Buffer>>> =
  {
    gzip: promisify(gunzip),
    zstd: async (bytes, options) => await promisify(zstdDecompress)(bytes, { ...options, params: zstdParams }),
    deflate: promisify(inflate),
    br: promisify(brotliDecompress),
  };
const streams: Readonly<Record<Coding, () => Transform>> = {
  gzip: createGunzip,
  zstd: () => createZstdDecompress({ params: zstdParams }),
  deflate: createInflate,
  br: createBrotliDecompress,
};

const mostCodings = 2;
/** Enough to hold the header of a gzip file and the first bytes of its content. */
const startBytes = 512;

/**
 * Returns the coding that a `Content-Encoding` header says was applied last; undefined if it names none that we can undo. Object stores keep
 * `aws-chunked` of an upload, and labels of files that are compressed themselves: a label is only a hint.
 */
export function labelledCoding(header: string | undefined): Coding | undefined {
  return codingsIn(header).at(-1);
}

function codingsIn(header = ''): Coding[] {
  return header
    .slice(0, 100)
    .toLowerCase()
    .split(/[\s,]+/)
    .flatMap((name) => names[name] ?? []);
}

function magicOf(bytes: Uint8Array): Coding | undefined {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return 'gzip';
  const isZstd = bytes[0] === 0x28 && bytes[1] === 0xb5 && bytes[2] === 0x2f && bytes[3] === 0xfd;
  return isZstd ? 'zstd' : undefined;
}

/**
 * Returns a body as its content shows it: as it came if `isRight` accepts that, else without the codings that it begins with or that the
 * header names, at most two of them. Returns the body as it came if none is right. Results hold at most `limit` bytes. Rejects with
 * `ImageSourceError` `shed` if the look-up may not keep so much.
 */
export async function decodeBody(
  body: Buffer,
  header: string | undefined,
  { limit, budget }: { readonly limit: number; readonly budget?: ReadingBudget | undefined },
  isRight: (bytes: Buffer) => boolean,
): Promise<Buffer> {
  const labels = codingsIn(header);
  let bytes = body;
  for (let count = 0; count <= mostCodings; count += 1) {
    if (isRight(bytes)) return bytes;
    const label = labels.pop();
    const coding = magicOf(bytes) ?? label;
    if (coding === undefined) return body;
    const from = bytes;
    const decoded = await within(budget, limit, async () => await decoders[coding](from, { maxOutputLength: limit }));
    if (decoded === undefined) return body;
    bytes = decoded;
  }
  return body;
}

/** Returns what is decoded, with `limit` bytes counted while it is; undefined if it cannot be. */
async function within(
  budget: ReadingBudget | undefined,
  limit: number,
  decode: () => Promise<Buffer>,
): Promise<Buffer | undefined> {
  if (budget?.keep(limit, 'answers of its registry') === false) {
    throw new ImageSourceError('shed', "an answer in a content coding takes more memory than is left of its image's");
  }
  try {
    return await decode();
  } catch {
    return undefined;
  } finally {
    budget?.give(limit);
  }
}

/** Reports whether a body may be JSON, which no coding leaves to look like it. */
export function beginsLikeJson(bytes: Uint8Array): boolean {
  const first = bytes.find((byte) => byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d);
  return first === undefined || first === 0x7b || first === 0x5b || first === 0x22;
}

/**
 * Returns the coding that a layer's body was sent in; undefined if these are the stored bytes. `start` is how it begins. A layer that is
 * compressed itself was sent in gzip only if compressed bytes come out of it.
 */
function layerCoding(start: Uint8Array, label: Coding, mediaType: string): Coding | undefined {
  const magic = magicOf(start);
  if (label === 'deflate' || label === 'br') return magic === undefined ? label : undefined;
  if (magic !== label) return undefined;
  if (!/gzip|zstd/.test(mediaType)) return label;
  return label === 'gzip' && magicInside(start) !== undefined ? label : undefined;
}

/** Returns what the content of the beginning of a gzip file begins with. */
function magicInside(start: Uint8Array): Coding | undefined {
  try {
    const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 1 << 20 };
    return magicOf(gunzipSync(start.subarray(0, 1024), options));
  } catch {
    return undefined;
  }
}

/** A layer's body, and whether a coding was undone: its length then says nothing about the layer's. */
interface DecodedLayer {
  readonly body: AsyncIterable<Uint8Array>;
  readonly isDecoded: boolean;
}

/**
 * Undoes the coding of a body that begins with a layer's first byte, if its bytes show one. `most` bounds the bytes read. The body rejects
 * with `ImageSourceError` `invalid-answer` if it cannot be decoded.
 */
export async function decodeLayer(
  body: AsyncIterable<Uint8Array>,
  label: Coding,
  { mediaType, most, host }: { readonly mediaType: string; readonly most: number; readonly host: string },
): Promise<DecodedLayer> {
  const chunks = body[Symbol.asyncIterator]();
  const held: Uint8Array[] = [];
  let read = 0;
  const next = async (): Promise<boolean> => {
    const result = await chunks.next();
    if (result.done === true) return false;
    held.push(result.value);
    read += result.value.length;
    return true;
  };
  const heldBytes = (): number => held.reduce((sum, { length }) => sum + length, 0);
  while (heldBytes() < startBytes && (await next()));
  const coding = layerCoding(Buffer.concat(held), label, mediaType);
  const rest = async function* (): AsyncGenerator<Uint8Array> {
    try {
      do {
        if (coding !== undefined && read > most)
          throw new ImageSourceError('invalid-answer', `${host} sends more than it should`);
        yield* held.splice(0);
      } while (await next());
    } finally {
      await chunks.return?.();
    }
  };
  if (coding === undefined) return { body: rest(), isDecoded: false };
  return { body: undo(rest(), coding, host), isDecoded: true };
}

async function* undo(body: AsyncIterable<Uint8Array>, coding: Coding, host: string): AsyncGenerator<Uint8Array> {
  const decoder = pipeline(Readable.from(body), streams[coding](), () => {});
  try {
    for await (const chunk of decoder) yield chunk as Uint8Array;
  } catch (error) {
    // Errors of zlib have a number; errors of the body are ours, or the signal's reason.
    if (typeof (error as NodeJS.ErrnoException).errno !== 'number') throw error;
    const message = `${host} sent a body that is not in the content coding that it names`;
    throw new ImageSourceError('invalid-answer', message, { cause: error });
  }
}
