import { type Descriptor, ImageSourceError, type LookupContext } from '../detection/image-source.ts';
import type { Endpoint } from './endpoint.ts';
import { type FinalAnswer, type Retries, statusError } from './http/answers.ts';
import type { RegistryLimits } from './http/limits.ts';
import { isReset } from './http/wire-error.ts';
import { describe, type RepositoryRequest, type RequestRepository } from './repository.ts';

/** Bytes of a blob that are asked for. */
interface BlobRange {
  readonly endpoint: Endpoint;
  readonly blob: Descriptor;
  readonly offset: number;
  readonly length: number;
  readonly context: LookupContext;
}

/** What an answer holds of the blob. */
interface Span {
  /** Bytes to throw away before the range begins. */
  readonly skip: number;
  /** Where the body ends inside the blob, if the registry says so. */
  readonly end?: number;
  /** Length of the blob, if the registry says so. */
  readonly total?: number;
}

/**
 * Reads a range of a blob, with one request (RFC 9110 section 14). A registry that ignores Range and sends the whole blob is
 * read as far as needed, where the range begins within `limits.skipBytes`. After a reset the rest is asked for once
 * more. Ends early only where the blob ends. Rejects with `ImageSourceError` or the signal's reason.
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
    const answer = await send(request);
    const span = await spanOf(answer, request, at, limits);
    if (span === undefined) return;
    try {
      for await (const chunk of cut(answer, span.skip, end - at)) {
        at += chunk.length;
        yield chunk;
      }
      if (isComplete(span, at, end)) return;
      if (retries.left === 0) throw shortBody(request, at);
    } catch (error) {
      const wasReset = error instanceof ImageSourceError && isReset(error.cause);
      if (retries.left === 0 || !wasReset) throw error;
    } finally {
      answer.close();
    }
    retries.left -= 1;
  }
}

function rangeRequest(range: BlobRange, at: number, end: number, retries: Retries): RepositoryRequest {
  const { endpoint, blob, context } = range;
  const headers = { range: `bytes=${at}-${end - 1}` };
  return { endpoint, path: `blobs/${blob.digest}`, kind: 'blob', headers, context, retries };
}

/** Undefined where the blob ends before the range begins. */
async function spanOf(
  answer: FinalAnswer,
  request: RepositoryRequest,
  at: number,
  limits: RegistryLimits,
): Promise<Span | undefined> {
  const { status, headers } = answer;
  if (status === 206) return partialSpan(answer, request, at);
  if (status === 416) {
    answer.close();
    return undefined;
  }
  if (status !== 200) throw await statusError(answer, describe(request), limits);
  const total = contentLength(headers['content-length']);
  if (at > limits.skipBytes) {
    answer.close();
    const message = `${describe(request)}: ${answer.url.host} ignores Range, and byte ${at} is too far in to read up to`;
    throw new ImageSourceError('invalid-answer', message);
  }
  return { skip: at, ...(total === undefined ? {} : { end: total, total }) };
}

function partialSpan(answer: FinalAnswer, request: RepositoryRequest, at: number): Span {
  const range = answer.headers['content-range'] ?? '';
  const [, first = '', last = '', length = ''] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(range) ?? [];
  const end = Number(last) + 1;
  const total = length === '*' ? undefined : Number(length);
  if (first === '' || Number(first) !== at || end <= at || (total !== undefined && end > total)) {
    answer.close();
    const message = `${describe(request)}: ${answer.url.host} answered with other bytes than those asked for`;
    throw new ImageSourceError('invalid-answer', `${message}: expected Content-Range: bytes ${at}-…`);
  }
  return { skip: 0, end, ...(total === undefined ? {} : { total }) };
}

function contentLength(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}

/** Whether nothing is left to read: the range is full, or the blob is at its end. */
function isComplete({ end: bodyEnd, total }: Span, at: number, end: number): boolean {
  if (at >= end || (total !== undefined && at >= total)) return true;
  // Fewer bytes than announced are a broken answer; a short announcement is the blob's end only where nobody knows better.
  return total === undefined && (bodyEnd === undefined || at === bodyEnd);
}

function shortBody(request: RepositoryRequest, at: number): ImageSourceError {
  const message = `${describe(request)}: ${request.endpoint.host} stopped at byte ${at}, before the range was full`;
  return new ImageSourceError('invalid-answer', message);
}

/** Leaves out the first `skip` bytes and everything after `length` more. */
async function* cut(answer: FinalAnswer, skip: number, length: number): AsyncGenerator<Uint8Array> {
  // A body that ends with the range is read to its end, for then its connection serves again.
  const endsWithRange = contentLength(answer.headers['content-length']) === skip + length;
  let before = skip;
  let left = length;
  for await (const chunk of answer.body) {
    const part = chunk.subarray(Math.min(before, chunk.length)).subarray(0, left);
    before -= Math.min(before, chunk.length);
    left -= part.length;
    if (part.length > 0) yield part;
    if (left === 0 && !endsWithRange) return;
  }
}
