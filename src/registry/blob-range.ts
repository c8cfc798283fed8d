import { type Descriptor, ImageSourceError, type LookupContext } from '../detection/image-source.ts';
import type { Endpoint } from './endpoint.ts';
import { decodeLayer, labelledCoding } from './http/content-coding.ts';
import type { RegistryLimits } from './http/limits.ts';
import { type FinalResponse, type Retries, statusError } from './http/responses.ts';
import { isReset } from './http/wire-error.ts';
import { describe, type RepositoryRequest, type RequestRepository } from './repository.ts';

/** The bytes of a blob to read. */
interface BlobRange {
  readonly endpoint: Endpoint;
  readonly blob: Descriptor;
  readonly offset: number;
  readonly length: number;
  readonly context: LookupContext;
}

/** Bytes that a part shorter than asked for must have, so that a registry that sends crumbs costs no endless row of requests. */
const LEAST_PART = 64 * 1024;

/** What reading a range needs. */
interface BlobReader {
  readonly send: RequestRepository;
  readonly limits: RegistryLimits;
  /** Origins of registries that refuse `Range`; added to. */
  readonly rangeless: Set<string>;
}

/** The part of the blob that a response holds. */
interface Span {
  /** Bytes to discard before the range begins. */
  readonly skip: number;
  /** Where the body ends inside the blob; absent if the registry does not say. */
  readonly end?: number;
  /** Length of the blob; absent if the registry does not say. */
  readonly total?: number;
}

/**
 * Reads a range of a blob with one request (RFC 9110 section 14). If the registry ignores Range, reads the blob up to
 * the end of the range, provided that this begins within `limits.skipBytes`; if it refuses Range, or sends another part, asks once without
 * it. Requests the rest if the registry sends less than was asked for, and once after a reset. Ends early only if the blob does. Rejects
 * with `ImageSourceError` or the signal's reason.
 */
export async function* readBlobRange(range: BlobRange, reader: BlobReader): AsyncGenerator<Uint8Array> {
  const retries: Retries = { left: 1 };
  let at = range.offset;
  const end = range.offset + range.length;
  while (at < end) {
    const part = await openPart(range, at, retries, reader);
    if (part === undefined) return;
    const from = at;
    try {
      for await (const chunk of cut(part, end - at)) {
        at += chunk.length;
        yield chunk;
      }
      if (isComplete(part.span, at, end)) return;
      if (at === part.span.end && at - from >= LEAST_PART) continue;
      if (retries.left === 0) throw shortBody(part.request, at);
    } catch (error) {
      const wasReset = error instanceof ImageSourceError && isReset(error.cause);
      if (retries.left === 0 || !wasReset) throw error;
    } finally {
      part.response.close();
    }
    retries.left -= 1;
  }
}

/** An open response that holds the rest of a range. */
interface Part {
  readonly request: RepositoryRequest;
  readonly response: FinalResponse;
  readonly span: Span;
  readonly body: AsyncIterable<Uint8Array>;
}

// What registries and stores answer to a Range that they do not serve: giuseppe/crfs-plugin#1 (400), S3's NotImplemented (501).
const refusals = new Set([400, 405, 406, 412, 416, 417, 501]);

/** Opens the part of the range from `at` on; undefined if the blob ends before. */
async function openPart(
  range: BlobRange,
  at: number,
  retries: Retries,
  { send, limits, rangeless }: BlobReader,
): Promise<Part | undefined> {
  const { endpoint, blob } = range;
  const wanted = { first: at, end: range.offset + range.length, size: blob.size };
  if (!rangeless.has(endpoint.origin)) {
    const request = blobRequest(range, retries, { range: `bytes=${at}-${wanted.end - 1}` });
    const response = await send(request);
    if (isPastEnd(response, wanted)) {
      response.close();
      return undefined;
    }
    const span = partOf(response, wanted);
    if (span !== undefined) return await decoded({ request, response, span }, blob, limits);
    if (response.status >= 300 && !refusals.has(response.status)) {
      throw await statusError(response, describe(request), limits);
    }
    response.close();
    rangeless.add(endpoint.origin);
  }
  const request = blobRequest(range, retries, {});
  const response = await send(request);
  if (response.status !== 200 && response.status !== 206) throw await statusError(response, describe(request), limits);
  const span = partOf(response, wanted);
  if (span === undefined) throw otherRange(request, response, at);
  return await decoded({ request, response, span }, blob, limits);
}

function blobRequest(
  { endpoint, blob, context }: BlobRange,
  retries: Retries,
  headers: RepositoryRequest['headers'],
): RepositoryRequest {
  return { endpoint, path: `blobs/${blob.digest}`, kind: 'blob', headers, context, retries };
}

/** What was asked for, in bytes of the blob: from `first` up to `end`. `size` is the blob's in its manifest. */
interface Wanted {
  readonly first: number;
  readonly end: number;
  readonly size: number;
}

function isPastEnd({ status, headers }: FinalResponse, { first, size }: Wanted): boolean {
  const total = /^bytes \*\/(\d{1,15})$/.exec(headers['content-range'] ?? '')?.[1];
  return status === 416 && first >= (total === undefined ? size : Number(total));
}

/**
 * Returns the part that a response holds, by its Content-Range whatever the status, else by its length; undefined if the range cannot be
 * read from it.
 */
function partOf({ status, headers }: FinalResponse, wanted: Wanted): Span | undefined {
  if (status !== 200 && status !== 206) return undefined;
  const range = headers['content-range'];
  if (range !== undefined) return namedPart(range, wanted);
  const { first, end, size } = wanted;
  const length = contentLength(headers['content-length']);
  const isPart = length !== size && length === Math.min(end, size) - first;
  // Without a Content-Range a body is the whole blob (RFC 9110 section 15.3.1), unless it is as long as the part.
  if (isPart) return { skip: 0, end: first + length, total: size };
  const isUnclear = status === 206 && first > 0 && length !== size;
  if (isUnclear || /^multipart\//i.test(headers['content-type'] ?? '')) return undefined;
  return { skip: first, ...(length === undefined ? {} : { end: length, total: length }) };
}

function namedPart(range: string, { first: wanted }: Wanted): Span | undefined {
  const [, first = '', last = '', length = ''] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(range) ?? [];
  const end = Number(last) + 1;
  const total = length === '*' ? undefined : Number(length);
  if (first === '' || Number(first) > wanted || end <= wanted || (total !== undefined && end > total)) return undefined;
  return { skip: wanted - Number(first), end, ...(total === undefined ? {} : { total }) };
}

/** Undoes a content coding. Throws `ImageSourceError` if too much would have to be skipped. */
async function decoded(part: Omit<Part, 'body'>, blob: Descriptor, limits: RegistryLimits): Promise<Part> {
  const { request, response, span } = part;
  const { host } = response.url;
  if (span.skip > limits.skipBytes) {
    response.close();
    const message = `${describe(request)}: ${host} ignores Range, and byte ${span.skip} is too far into the blob`;
    throw new ImageSourceError('invalid-answer', message);
  }
  const label = labelledCoding(response.headers['content-encoding']);
  const isFromStart = response.headers['content-range'] === undefined;
  // As long as the blob is, the body is the blob: stores keep the label of a file that is compressed itself.
  if (label === undefined || span.total === blob.size || !isFromStart) return { ...part, body: response.body };
  const options = { mediaType: blob.mediaType, most: blob.size + limits.skipBytes, host };
  const { body, isDecoded } = await decodeLayer(response.body, label, options);
  return { ...part, body, span: isDecoded ? { skip: span.skip, total: blob.size } : span };
}

function contentLength(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}

/** Reports whether nothing is left to read: the range is full, or the blob is at its end. */
function isComplete({ end: bodyEnd, total }: Span, at: number, end: number): boolean {
  if (at >= end || (total !== undefined && at >= total)) return true;
  // Fewer bytes than announced are an error. A short announcement means the end of the blob only if its length is
  // unknown.
  return total === undefined && (bodyEnd === undefined || at === bodyEnd);
}

function otherRange(request: RepositoryRequest, response: FinalResponse, at: number): ImageSourceError {
  response.close();
  const message = `${describe(request)}: ${response.url.host} sent another range than requested`;
  return new ImageSourceError('invalid-answer', `${message}: expected byte ${at}, with or without a Range`);
}

function shortBody(request: RepositoryRequest, at: number): ImageSourceError {
  const message = `${describe(request)}: ${request.endpoint.host} stopped at byte ${at}, before the range was full`;
  return new ImageSourceError('invalid-answer', message);
}

/** Yields `length` bytes of the body after those to skip. */
async function* cut({ response, body, span }: Part, length: number): AsyncGenerator<Uint8Array> {
  // Reads a body that ends with the range to its end, so that the connection can be reused.
  const endsWithRange = contentLength(response.headers['content-length']) === span.skip + length;
  let before = span.skip;
  let left = length;
  for await (const chunk of body) {
    const part = chunk.subarray(Math.min(before, chunk.length)).subarray(0, left);
    before -= Math.min(before, chunk.length);
    left -= part.length;
    if (part.length > 0) yield part;
    if (left === 0 && !endsWithRange) return;
  }
}
