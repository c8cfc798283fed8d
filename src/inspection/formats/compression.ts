import type { Transform } from 'node:stream';
import { constants, createGunzip, createZstdDecompress } from 'node:zlib';

interface InflateLimits {
  /** Most bytes given out. */
  readonly outputBytes: number;
  /** Most bytes given out per byte read, once the first MiB is out. DEFLATE's own limit is 1032, zstd has none. */
  readonly ratio: number;
}

/** Why no more bytes come: the input ended (a prefix ends anywhere), it is damaged, or a limit was met. */
export type InflateEnd = 'end' | 'damaged' | 'output-limit' | 'ratio-limit';

type Compression = 'gzip' | 'zstd' | 'none';

// Small inputs at a time bound how far the decoder runs ahead of its reader.
const pieceBytes = 4096;
const ratioFloor = 1024 * 1024;
const outputChunk = 32 * 1024;
// 8 MiB windows are what RFC 8878 3.1.1.1.2 asks decoders to support; larger ones are an attack on memory.
const zstdWindowLog = 23;

/** Tells a layer's compression from its first bytes (RFC 1952 2.3.1, RFC 8878 3.1); media types lie. */
export function compressionOf(prefix: Uint8Array): Compression {
  if (prefix[0] === 0x1f && prefix[1] === 0x8b) return 'gzip';
  if (prefix.length < 4) return 'none';
  const magic = new DataView(prefix.buffer, prefix.byteOffset).getUint32(0, true);
  const skippableFrame = magic >>> 4 === 0x184d_2a5;
  return magic === 0xfd2f_b528 || skippableFrame ? 'zstd' : 'none';
}

/**
 * Inflates `input` as far as it goes: gzip (all members), zstd (all frames) or as it is, told apart by magic. A cut
 * stream gives every byte that can be inflated; the generator's return value says why it ended. Pulls input only when
 * its reader asks for more, and leaves it when left. Rejects only with what `input` rejects with.
 */
export async function* inflatePrefix(
  input: AsyncIterable<Uint8Array>,
  limits: InflateLimits,
): AsyncGenerator<Uint8Array, InflateEnd, undefined> {
  const counts = { in: 0, out: 0 };
  const output = decode(pieces(input, counts));
  try {
    for (;;) {
      const next = await output.next();
      if (next.done === true) return next.value;
      const left = limits.outputBytes - counts.out;
      counts.out += next.value.length;
      yield next.value.subarray(0, left);
      if (counts.out >= limits.outputBytes) return 'output-limit';
      if (counts.out > ratioFloor && counts.out > counts.in * limits.ratio) return 'ratio-limit';
    }
  } finally {
    await output.return('end');
  }
}

/** Cuts the input into pieces; the first has at least the four bytes of the magic, where there are so many. */
async function* pieces(
  input: AsyncIterable<Uint8Array>,
  counts: { in: number },
): AsyncGenerator<Uint8Array, undefined, undefined> {
  let start: Uint8Array | undefined = new Uint8Array(0);
  for await (const chunk of input) {
    counts.in += chunk.length;
    let rest = chunk;
    if (start !== undefined) {
      rest = Buffer.concat([start, chunk]);
      start = rest.length < 4 ? rest : undefined;
      if (start !== undefined) continue;
    }
    for (let at = 0; at < rest.length; at += pieceBytes) yield rest.subarray(at, at + pieceBytes);
  }
  if (start !== undefined && start.length > 0) yield start;
  return undefined;
}

async function* decode(
  input: AsyncGenerator<Uint8Array, undefined>,
): AsyncGenerator<Uint8Array, InflateEnd, undefined> {
  try {
    const first = await input.next();
    if (first.done === true) return 'end';
    const compression = compressionOf(first.value);
    if (compression !== 'none') return yield* decompress(compression, first.value, input);
    yield first.value;
    yield* input;
    return 'end';
  } finally {
    await input.return(undefined);
  }
}

async function* decompress(
  compression: 'gzip' | 'zstd',
  first: Uint8Array,
  input: AsyncGenerator<Uint8Array, undefined>,
): AsyncGenerator<Uint8Array, InflateEnd, undefined> {
  const decoder = createDecoder(compression);
  const state: DecoderState = { failed: false, wake: () => undefined };
  decoder.on('error', () => {
    state.failed = true;
    state.wake();
  });
  decoder.on('readable', () => state.wake());
  decoder.on('end', () => state.wake());
  try {
    let piece: Uint8Array | undefined = first;
    while (piece !== undefined) {
      yield* feed(decoder, state, piece);
      if (state.failed) return 'damaged';
      if (decoder.readableEnded) return 'end';
      piece = (await input.next()).value;
    }
    return 'end';
  } finally {
    decoder.destroy();
  }
}

interface DecoderState {
  failed: boolean;
  wake: () => void;
}

/** Writes one piece and gives out what it inflates to, holding no more than the decoder's own buffer. */
async function* feed(
  decoder: Transform,
  state: DecoderState,
  piece: Uint8Array,
): AsyncGenerator<Uint8Array, void, undefined> {
  let consumed = false;
  decoder.write(piece, () => {
    consumed = true;
    state.wake();
  });
  for (;;) {
    const woken = new Promise<void>((resolve) => {
      state.wake = resolve;
    });
    const output = decoder.read() as Buffer | null;
    if (output !== null) yield output;
    else if (consumed || state.failed || decoder.readableEnded) return;
    else await woken;
  }
}

// Without a final flush error: the end of the input is not the end of the data.
function createDecoder(compression: 'gzip' | 'zstd'): Transform {
  return compression === 'gzip'
    ? createGunzip({ chunkSize: outputChunk, finishFlush: constants.Z_SYNC_FLUSH })
    : createZstdDecompress({ chunkSize: outputChunk, params: { [constants.ZSTD_d_windowLogMax]: zstdWindowLog } });
}
