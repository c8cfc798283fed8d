import { z } from 'zod';

import { type ImageSourceCode, ImageSourceError, type LookupContext } from '../../detection/image-source.ts';
import { sleep } from '../../util/abort.ts';
import { parseBoundedJson } from '../../util/json-bounds.ts';
import type { Exchange, HttpRequest, HttpResponse } from './exchange.ts';
import type { RegistryLimits } from './limits.ts';
import { isReset } from './wire-error.ts';

/** A response after redirects. */
export interface FinalResponse extends HttpResponse {
  /** It came from another scheme, host or port than the request named. */
  readonly foreign: boolean;
}

/** How many retries one operation has left, over all its requests. */
export interface Retries {
  left: number;
}

const redirects = new Set([301, 302, 303, 307, 308]);
const temporary = new Set([429, 502, 503, 504]);

/**
 * Sends a request and follows its redirects, each hop under the rules of `exchange`. Drops `Authorization` for good
 * once scheme, host or port change. Retries after a reset connection, 429, 502, 503 and 504 while `retries` last.
 * Rejects with `ImageSourceError` or the signal's reason.
 */
export async function follow(
  exchange: Exchange,
  request: HttpRequest,
  limits: RegistryLimits,
  retries: Retries,
): Promise<FinalResponse> {
  let hop = request;
  let foreign = false;
  for (let count = 0; count <= limits.redirects; count += 1) {
    const response = await sendWithRetries(exchange, hop, limits, retries);
    const { location } = response.headers;
    if (!redirects.has(response.status) || location === undefined) return { ...response, foreign };
    await discard(response, limits);
    const url = nextUrl(hop, location);
    if (url.origin !== hop.url.origin) foreign = true;
    const headers = foreign ? withoutAuthorization(request.headers) : request.headers;
    hop = { ...request, url, headers, isRedirected: foreign || request.isRedirected === true };
  }
  throw new ImageSourceError('invalid-answer', `${request.url.host} redirected more than ${limits.redirects} times`);
}

function nextUrl(hop: HttpRequest, location: string): URL {
  const url = URL.parse(location, hop.url);
  if (url === null) throw new ImageSourceError('invalid-answer', `${hop.url.host} redirected to an invalid URL`);
  // A form holds a refresh token, which no other server may see.
  if (hop.form === undefined) return url;
  throw new ImageSourceError('invalid-answer', `${hop.url.host} redirected a token request, which is not followed`);
}

function withoutAuthorization(headers: HttpRequest['headers']): HttpRequest['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'authorization'));
}

async function sendWithRetries(
  exchange: Exchange,
  request: HttpRequest,
  limits: RegistryLimits,
  retries: Retries,
): Promise<HttpResponse> {
  for (;;) {
    try {
      const response = await exchange(request);
      if (retries.left === 0 || !temporary.has(response.status)) return response;
      // After a 429 the host's queue waits, or rejects if that would take too long.
      const ms =
        response.status === 429 ? 0 : 1000 * Number(response.headers['retry-after'] ?? 0.1 + Math.random() / 10);
      if (!(ms <= limits.retryAfterMs)) return response;
      retries.left -= 1;
      await discard(response, limits);
      await sleep(Math.max(0, ms), request.context.signal);
    } catch (error) {
      if (retries.left === 0 || !isReset((error as Error).cause)) throw error;
      retries.left -= 1;
    }
  }
}

/** Reads a short body to its end, so that the connection can be reused, and closes a long one. */
export async function discard(response: HttpResponse, limits: RegistryLimits): Promise<void> {
  if (Number(response.headers['content-length'] ?? 0) > limits.errorBytes) {
    response.close();
    return;
  }
  let read = 0;
  try {
    for await (const chunk of response.body) {
      read += chunk.length;
      if (read > limits.errorBytes) break;
    }
  } catch {
    // Nobody needs this body.
  }
}

/**
 * Reads a whole body of at most `limit` bytes, within the look-up's budget. Rejects with `ImageSourceError`: `invalid-answer` if
 * it is longer, `shed` if the look-up may not keep so much.
 */
export async function readWhole(
  response: HttpResponse,
  limit: number,
  what: string,
  { budget }: Pick<LookupContext, 'budget'> = {},
): Promise<Buffer> {
  const tooLong = new ImageSourceError('invalid-answer', `${response.url.host}: ${what} is longer than ${limit} bytes`);
  if (Number(response.headers['content-length'] ?? 0) > limit) {
    response.close();
    throw tooLong;
  }
  const chunks: Uint8Array[] = [];
  let read = 0;
  let kept = 0;
  try {
    for await (const chunk of response.body) {
      read += chunk.length;
      if (read > limit) throw tooLong;
      // It is held twice while it is put together.
      if (budget?.keep(2 * chunk.length, 'answers of its registry') === false)
        throw new ImageSourceError(
          'shed',
          `${response.url.host}: ${what} takes more memory than is left of its image's`,
        );
      kept = 2 * read;
      chunks.push(chunk);
    }
    // Parsing what came is long work.
    await budget?.due();
    return Buffer.concat(chunks, read);
  } finally {
    budget?.give(kept);
  }
}

/** Runs an operation that reads a whole body; runs it again after a reset connection, if `retries` has one left. */
export async function retryReset<T>(retries: Retries, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    if (retries.left === 0 || !(error instanceof ImageSourceError) || !isReset(error.cause)) throw error;
    retries.left -= 1;
    return await operation();
  }
}

// OCI distribution-spec, "Error Codes". No other code gets into a message, because a body may hold anything.
const codes = (
  'BLOB_UNKNOWN BLOB_UPLOAD_INVALID BLOB_UPLOAD_UNKNOWN DENIED DIGEST_INVALID MANIFEST_BLOB_UNKNOWN MANIFEST_INVALID ' +
  'MANIFEST_UNKNOWN NAME_INVALID NAME_UNKNOWN SIZE_INVALID TOOMANYREQUESTS UNAUTHORIZED UNSUPPORTED'
).split(' ');
const errorSchema = z.object({
  errors: z.array(z.object({ code: z.enum(codes).optional().catch(undefined) })).max(100),
});

const meanings: Readonly<Record<number, [code: ImageSourceCode, message: string]>> = {
  401: ['unauthorized', 'wants a login that it accepts: check the credentials for it'],
  403: ['unauthorized', 'does not let this login read it: check the credentials for it'],
  404: ['not-found', 'has no such image or tag: check the name and the tag'],
  429: ['rate-limited', 'limits the number of requests: log in to it, or set up a mirror'],
};

/**
 * Returns the error for an unexpected status. `what` names the requested item: `docker.io/library/nginx: manifests/latest`.
 * Reads at most `limits.errorBytes` of the body.
 */
export async function statusError(
  response: HttpResponse,
  what: string,
  limits: RegistryLimits,
): Promise<ImageSourceError> {
  const detail = await readCode(response, limits);
  const { status } = response;
  const server = response.url.host;
  const [code, message] = meanings[status] ?? unusual(status);
  return new ImageSourceError(code, `${what}: ${server} ${message} (${[status, ...detail].join(' ')})`);
}

function unusual(status: number): [code: ImageSourceCode, message: string] {
  if (status >= 500) return ['unavailable', 'failed'];
  return ['invalid-answer', 'gave an answer that is not in the distribution protocol'];
}

async function readCode(response: HttpResponse, limits: RegistryLimits): Promise<string[]> {
  try {
    const body = await readWhole(response, limits.errorBytes, 'an error');
    const { errors } = errorSchema.parse(parseBoundedJson(body));
    return errors.slice(0, 1).flatMap(({ code }) => code ?? []);
  } catch {
    // The status says enough.
    return [];
  }
}
