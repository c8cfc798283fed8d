import type { Transform } from 'node:stream';
import { constants, createGunzip, createZstdDecompress } from 'node:zlib';

interface InflateLimits {
  /** Most bytes of output. */
  readonly outputBytes: number;
  /**
   * Most bytes of output per byte of input, after the first MiB of output. DEFLATE itself ends at 1032, zstd nowhere.
   */
  readonly ratio: number;
  /** Called as a decoder's window of past output grows beyond 32 KiB; returns false if there is no memory for it. */
  readonly hold?: (bytes: number) => boolean;
}

/** Why the output ended: the input ended (a prefix may end anywhere), is damaged, or a limit was reached. */
export type InflateEnd = 'end' | 'damaged' | 'output-limit' | 'ratio-limit' | 'memory-limit';

type Compression = 'gzip' | 'zstd' | 'none';

// Small pieces of input bound how far the decoder runs ahead of its reader.
const pieceBytes = 4096;
const ratioFloor = 1024 * 1024;
const outputChunk = 32 * 1024;
// RFC 8878 3.1.1.1.2 asks decoders to support windows of 8 MiB; larger ones would let an image take our memory.
const zstdWindowLog = 23;

/** Returns a layer's compression by its first bytes (RFC 1952 2.3.1, RFC 8878 3.1), because media types lie. */
export function compressionOf(prefix: Uint8Array): Compression {
  if (prefix[0] === 0x1f && prefix[1] === 0x8b) return 'gzip';
  if (prefix.length < 4) return 'none';
  const magic = new DataView(prefix.buffer, prefix.byteOffset).getUint32(0, true);
  const skippableFrame = magic >>> 4 === 0x184d_2a5;
  return magic === 0xfd2f_b528 || skippableFrame ? 'zstd' : 'none';
}

/**
 * Inflates `input`, told apart by its magic: gzip (all members), zstd (all frames), or uncompressed. Yields every byte
 * that a cut stream holds; the return value says why the output ended. Pulls input only when the consumer asks for
 * more, and closes it when the consumer leaves. Rejects only with the errors of `input`.
 */
export async function* inflatePrefix(
  input: AsyncIterable<Uint8Array>,
  limits: InflateLimits,
): AsyncGenerator<Uint8Array, InflateEnd, undefined> {
  const counts = { in: 0, out: 0 };
  const output = decode(pieces(input, counts), limits.hold);
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

/** Yields bytes that are in memory already, as a stream. */
export async function* singleChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}

/** Cuts the input into pieces. The first holds the four bytes of the magic, unless the input is shorter. */
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
  hold: InflateLimits['hold'],
): AsyncGenerator<Uint8Array, InflateEnd, undefined> {
  try {
    const first = await input.next();
    if (first.done === true) return 'end';
    const compression = compressionOf(first.value);
    if (compression !== 'none') return yield* decompress(compression, first.value, input, hold);
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
  hold: InflateLimits['hold'] = () => true,
): AsyncGenerator<Uint8Array, InflateEnd, undefined> {
  let window = compression === 'zstd' ? 0 : 2 ** zstdWindowLog;
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
      for await (const output of feed(decoder, state, piece)) {
        // The decoder's window takes memory as it fills.
        if (window < 2 ** zstdWindowLog && !hold(output.length)) return 'memory-limit';
        window += output.length;
        yield output;
      }
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

/** Writes one piece and yields what it inflates to; holds no more than the decoder's own buffer. */
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

// Z_SYNC_FLUSH: a prefix that ends inside the data is no error.
function createDecoder(compression: 'gzip' | 'zstd'): Transform {
  return compression === 'gzip'
    ? createGunzip({ chunkSize: outputChunk, finishFlush: constants.Z_SYNC_FLUSH })
    : createZstdDecompress({ chunkSize: outputChunk, params: { [constants.ZSTD_d_windowLogMax]: zstdWindowLog } });
}
