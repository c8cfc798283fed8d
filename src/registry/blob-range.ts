import { type Descriptor, ImageSourceError, type LookupContext } from '../detection/image-source.ts';
import type { Endpoint } from './endpoint.ts';
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
 * the end of the range, provided that this begins within `limits.skipBytes`. Requests the rest once more after a reset.
 * Ends early only if the blob does. Rejects with `ImageSourceError` or the signal's reason.
 */
export async function* readBlobRange(
  range: BlobRange,
  send: RequestRepository,
  limits: RegistryLimits,
): AsyncGenerator<Uint8Array> {
  const retries: Retries = { left: 1 };
  let at = range.offset;
  const end = range.offset + range.length;
  while (at < end) {
    const request = rangeRequest(range, at, end, retries);
    const response = await send(request);
    const span = await spanOf(response, request, at, limits);
    if (span === undefined) return;
    try {
      for await (const chunk of cut(response, span.skip, end - at)) {
        at += chunk.length;
        yield chunk;
      }
      if (isComplete(span, at, end)) return;
      if (retries.left === 0) throw shortBody(request, at);
    } catch (error) {
      const wasReset = error instanceof ImageSourceError && isReset(error.cause);
      if (retries.left === 0 || !wasReset) throw error;
    } finally {
      response.close();
    }
    retries.left -= 1;
  }
}

function rangeRequest(range: BlobRange, at: number, end: number, retries: Retries): RepositoryRequest {
  const { endpoint, blob, context } = range;
  const headers = { range: `bytes=${at}-${end - 1}` };
  return { endpoint, path: `blobs/${blob.digest}`, kind: 'blob', headers, context, retries };
}

/** Returns the part that a response holds; undefined if the blob ends before the range begins. */
async function spanOf(
  response: FinalResponse,
  request: RepositoryRequest,
  at: number,
  limits: RegistryLimits,
): Promise<Span | undefined> {
  const { status, headers } = response;
  if (status === 206) return partialSpan(response, request, at);
  if (status === 416) {
    response.close();
    return undefined;
  }
  if (status !== 200) throw await statusError(response, describe(request), limits);
  const total = contentLength(headers['content-length']);
  if (at > limits.skipBytes) {
    response.close();
    const message = `${describe(request)}: ${response.url.host} ignores Range, and byte ${at} is too far into the blob`;
    throw new ImageSourceError('invalid-answer', message);
  }
  return { skip: at, ...(total === undefined ? {} : { end: total, total }) };
}

function partialSpan(response: FinalResponse, request: RepositoryRequest, at: number): Span {
  const range = response.headers['content-range'] ?? '';
  const [, first = '', last = '', length = ''] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(range) ?? [];
  const end = Number(last) + 1;
  const total = length === '*' ? undefined : Number(length);
  if (first === '' || Number(first) !== at || end <= at || (total !== undefined && end > total)) {
    response.close();
    const message = `${describe(request)}: ${response.url.host} sent another range than requested`;
    throw new ImageSourceError('invalid-answer', `${message}: expected Content-Range: bytes ${at}-…`);
  }
  return { skip: 0, end, ...(total === undefined ? {} : { total }) };
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

function shortBody(request: RepositoryRequest, at: number): ImageSourceError {
  const message = `${describe(request)}: ${request.endpoint.host} stopped at byte ${at}, before the range was full`;
  return new ImageSourceError('invalid-answer', message);
}

/** Yields `length` bytes of the body after the first `skip`. */
async function* cut(response: FinalResponse, skip: number, length: number): AsyncGenerator<Uint8Array> {
  // Reads a body that ends with the range to its end, so that the connection can be reused.
  const endsWithRange = contentLength(response.headers['content-length']) === skip + length;
  let before = skip;
  let left = length;
  for await (const chunk of response.body) {
    const part = chunk.subarray(Math.min(before, chunk.length)).subarray(0, left);
    before -= Math.min(before, chunk.length);
    left -= part.length;
    if (part.length > 0) yield part;
    if (left === 0 && !endsWithRange) return;
  }
}
