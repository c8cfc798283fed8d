import type { BlobReader, Descriptor, LookupContext } from '../../detection/image-source.ts';

/**
 * Reads a blob from its start, window by window. Requests a window only when the consumer has used up the one before
 * and `mayOpen` allows it; the first window needs no permission.
 */
export async function* readWindows(
  source: BlobReader,
  blob: Descriptor,
  windows: readonly number[],
  context: LookupContext,
  mayOpen: () => boolean,
): AsyncGenerator<Uint8Array, void, undefined> {
  let offset = 0;
  for (const length of windows) {
    if (offset > 0 && !mayOpen()) return;
    let received = 0;
    for await (const chunk of source.read(blob, offset, length, context)) {
      // A registry may send more than the request asked for.
      const wanted = chunk.subarray(0, length - received);
      received += wanted.length;
      yield wanted;
      if (received >= length) break;
    }
    offset += received;
    if (received < length) return;
  }
}

/** Reads `[offset, offset + length)` of a blob into memory; fewer bytes if the blob ends before. */
export async function readRange(
  source: BlobReader,
  blob: Descriptor,
  range: { readonly offset: number; readonly length: number },
  context: LookupContext,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let received = 0;
  for await (const chunk of source.read(blob, range.offset, range.length, context)) {
    chunks.push(chunk.subarray(0, range.length - received));
    received += chunk.length;
    if (received >= range.length) break;
  }
  return Buffer.concat(chunks);
}
