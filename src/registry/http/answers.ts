import { z } from 'zod';

import { type ImageSourceCode, ImageSourceError } from '../../detection/image-source.ts';
import { sleep } from '../../util/abort.ts';
import type { Answer, Ask, Exchange } from './exchange.ts';
import type { RegistryLimits } from './limits.ts';
import { isReset } from './wire-error.ts';

/** An answer after redirects. */
export interface FinalAnswer extends Answer {
  /** Another scheme, host or port than the one first asked has answered. */
  readonly foreign: boolean;
}

/** How often one operation may still be tried again, over all its requests. */
export interface Retries {
  left: number;
}

const redirects = new Set([301, 302, 303, 307, 308]);
const passing = new Set([429, 502, 503, 504]);

/**
 * Sends a request and follows its redirects, each hop under the rules of `exchange`. `Authorization` stays behind for good
 * once scheme, host or port change. A reset connection, 429, 502, 503 and 504 are tried again while `retries` last.
 * Rejects with `ImageSourceError` or the signal's reason.
 */
export async function follow(
  exchange: Exchange,
  ask: Ask,
  limits: RegistryLimits,
  retries: Retries,
): Promise<FinalAnswer> {
  let hop = ask;
  let foreign = false;
  for (let count = 0; count <= limits.redirects; count += 1) {
    const answer = await persist(exchange, hop, limits, retries);
    const { location } = answer.headers;
    if (!redirects.has(answer.status) || location === undefined) return { ...answer, foreign };
    await discard(answer, limits);
    const url = nextUrl(hop, location);
    if (url.origin !== hop.url.origin) foreign = true;
    hop = { ...ask, url, headers: foreign ? withoutAuthorization(ask.headers) : ask.headers };
  }
  throw new ImageSourceError('invalid-answer', `${ask.url.host} redirected more than ${limits.redirects} times`);
}

function nextUrl(hop: Ask, location: string): URL {
  const url = URL.parse(location, hop.url);
  if (url === null) throw new ImageSourceError('invalid-answer', `${hop.url.host} redirected to what is no URL`);
  // A form holds a refresh token: it goes to the server that was asked and to no other.
  if (hop.form === undefined) return url;
  throw new ImageSourceError('invalid-answer', `${hop.url.host} redirected a token request, which is not followed`);
}

function withoutAuthorization(headers: Ask['headers']): Ask['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'authorization'));
}

async function persist(exchange: Exchange, ask: Ask, limits: RegistryLimits, retries: Retries): Promise<Answer> {
  for (;;) {
    try {
      const answer = await exchange(ask);
      if (retries.left === 0 || !passing.has(answer.status)) return answer;
      // After a 429 the host's own queue waits, or says that it takes too long.
      const ms = answer.status === 429 ? 0 : 1000 * Number(answer.headers['retry-after'] ?? 0.1 + Math.random() / 10);
      if (!(ms <= limits.retryAfterMs)) return answer;
      retries.left -= 1;
      await discard(answer, limits);
      await sleep(ms, ask.context.signal);
    } catch (error) {
      if (retries.left === 0 || !isReset((error as Error).cause)) throw error;
      retries.left -= 1;
    }
  }
}

/** Reads a short body to its end, so that the connection serves again, and closes a long one. */
export async function discard(answer: Answer, limits: RegistryLimits): Promise<void> {
  if (Number(answer.headers['content-length'] ?? 0) > limits.errorBytes) {
    answer.close();
    return;
  }
  let read = 0;
  try {
    for await (const chunk of answer.body) {
      read += chunk.length;
      if (read > limits.errorBytes) break;
    }
  } catch {
    // What would have been thrown away has not come: nothing is lost.
  }
}

/** Reads a whole body of at most `limit` bytes. Rejects with `ImageSourceError` `invalid-answer` where it is longer. */
export async function readWhole(answer: Answer, limit: number, what: string): Promise<Buffer> {
  const tooLong = new ImageSourceError('invalid-answer', `${answer.url.host}: ${what} is longer than ${limit} bytes`);
  if (Number(answer.headers['content-length'] ?? 0) > limit) {
    answer.close();
    throw tooLong;
  }
  const chunks: Uint8Array[] = [];
  let read = 0;
  for await (const chunk of answer.body) {
    read += chunk.length;
    if (read > limit) throw tooLong;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, read);
}

/** Does an operation that reads a whole answer, once more where the connection is reset and `retries` last. */
export async function untilWhole<T>(retries: Retries, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    if (retries.left === 0 || !(error instanceof ImageSourceError) || !isReset(error.cause)) throw error;
    retries.left -= 1;
    return await operation();
  }
}

// OCI distribution-spec, "Error Codes". Others are not repeated: an answer may hold anything.
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
  404: ['not-found', 'has no such thing: check the name and the tag'],
  429: ['rate-limited', 'says that it is asked too often: log in to it, or set up a mirror'],
};

/**
 * The error that an answer other than the expected one is. `what` names the thing asked for, as in
 * `docker.io/library/nginx: manifest latest`. Reads the body, as far as `limits.errorBytes`.
 */
export async function statusError(answer: Answer, what: string, limits: RegistryLimits): Promise<ImageSourceError> {
  const detail = await readCode(answer, limits);
  const { status } = answer;
  const server = answer.url.host;
  const [code, message] = meanings[status] ?? unusual(status);
  return new ImageSourceError(code, `${what}: ${server} ${message} (${[status, ...detail].join(' ')})`);
}

function unusual(status: number): [code: ImageSourceCode, message: string] {
  if (status >= 500) return ['unavailable', 'failed'];
  return ['invalid-answer', 'gave an answer that is not in the distribution protocol'];
}

async function readCode(answer: Answer, limits: RegistryLimits): Promise<string[]> {
  try {
    const body = await readWhole(answer, limits.errorBytes, 'an error');
    const { errors } = errorSchema.parse(JSON.parse(body.toString('utf8')));
    return errors.slice(0, 1).flatMap(({ code }) => code ?? []);
  } catch {
    // The status says enough.
    return [];
  }
}
