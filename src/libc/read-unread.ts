import type { BlobReader, Descriptor, LookupContext } from '../detection/image-source.ts';
import { inflatePrefix } from '../inspection/formats/compression.ts';
import { type Head, readContent, searchMarks } from '../inspection/formats/file-content.ts';
import { byteCursor } from '../inspection/formats/tar.ts';
import { readRange } from './blob-windows.ts';
import type { InspectLimits } from './inspect-limits.ts';
import type { FileContent } from './layer-index.ts';

const fileWindow = 24 * 1024;

/** Reads the beginning of a file whose place in the blob a table of contents tells; its chunks are gzip members or zstd frames in a row. */
export async function readUnread(
  source: BlobReader,
  layer: Descriptor,
  place: Extract<FileContent, { kind: 'unread' }>,
  context: LookupContext,
  limits: InspectLimits,
): Promise<FileContent> {
  const length = Math.min(place.length, fileWindow);
  const compressed = await readRange(source, layer, { offset: place.offset, length }, context);
  const chunks = inflatePrefix(once(compressed), { outputBytes: limits.inflatedBytes, ratio: limits.ratio });
  const cursor = byteCursor(chunks);
  let held: Uint8Array = new Uint8Array(0);
  const head: Head = async (wanted) => {
    const missing = Math.min(wanted, place.size) - held.length;
    if (missing > 0) held = Buffer.concat([held, await cursor.take(missing)]);
    return held.subarray(0, wanted);
  };
  try {
    return await searchMarks(await readContent(head, place.size), head, place.size, () => true);
  } finally {
    await chunks.return('end');
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}
