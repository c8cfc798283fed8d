import type { IncomingHttpHeaders } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';

import type { Dispatcher } from 'undici';

import {
  type ImageSourceCode,
  ImageSourceError,
  type LookupContext,
  type Meter,
  type RequestRecord,
} from '../../detection/image-source.ts';
import { deadlineAfter } from '../../util/abort.ts';
import type { Clock } from '../../util/clock.ts';
import { parseAddress } from '../hosts/address.ts';
import { authorityOf } from '../hosts/pattern.ts';
import type { HostRules } from '../hosts/rules.ts';
import { type Call, type Charge, type HostStates, type Outcome, type Pass, retryAfterMs } from './host-state.ts';
import type { RegistryLimits } from './limits.ts';
import { describeWireError } from './wire-error.ts';

/** `ping`: asks for `/v2/`, to see the challenge there. */
export type RequestKind = RequestRecord['kind'];

/** One HTTP request, without its redirects. */
export interface HttpRequest {
  readonly url: URL;
  readonly kind: RequestKind;
  /** Absent: GET, or POST with a form. */
  readonly method?: 'HEAD' | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** A form, sent by POST. */
  readonly form?: string;
  /** Connect only to the networks of the allow list, because nothing else admits this image. */
  readonly listedOnly: boolean;
  /** What the request is for: its outcome is charged to it, wherever the URL leads. */
  readonly charge: Charge;
  /** Another host has redirected us here. */
  readonly isRedirected?: boolean;
  readonly context: LookupContext;
}

/** One HTTP response. Read its body to the end, or close it. */
export interface HttpResponse {
  readonly url: URL;
  readonly status: number;
  /** Names in lower case; values of repeated headers joined (RFC 9110 section 5.3). */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Each `WWW-Authenticate` header by itself. */
  readonly challenges: readonly string[];
  /** Stops the transfer if left early. Rejects with `ImageSourceError` or the signal's reason. */
  readonly body: AsyncIterable<Uint8Array>;
  readonly close: () => void;
}

/** Sends one request. */
export type Exchange = (request: HttpRequest) => Promise<HttpResponse>;

interface ExchangeOptions {
  readonly rules: HostRules;
  readonly limits: RegistryLimits;
  readonly clock: Clock;
  readonly hosts: HostStates;
  /** Looks the URL's name up, if we have to. Rejects with `ImageSourceError` or the signal's reason. */
  readonly resolve: (url: URL, context: LookupContext) => Promise<unknown>;
  readonly userAgent: string;
  readonly dispatcher: (listedOnly: boolean) => Dispatcher;
}

/**
 * Sends one request, without following redirects. Checks the URL against the rules about hosts, looks its name up, waits
 * for the host's queue and breaker, counts the bytes of the body as they arrive, and ends the transfer after
 * `limits.requestMs`, or if it is too slow. Rejects with `ImageSourceError` or the signal's reason.
 */
export function createExchange(options: ExchangeOptions): Exchange {
  return async (request) => {
    const { context, url } = request;
    context.signal.throwIfAborted();
    checkUrl(options.rules, url);
    const call = callOf(request);
    // Before the queue: a name that hangs must hold no place at a host, and says nothing about it.
    await options.resolve(url, context).catch((error: unknown) => {
      throw error instanceof ImageSourceError ? ledBy(call, error) : error;
    });
    const pass = await options.hosts.enter(call);
    const timer = deadlineAfter(options.limits.requestMs, context.signal);
    const progress = createProgress(request, options.clock);
    let isReached = false;
    const fail = (error: unknown): Error => {
      timer.stop();
      if (context.signal.aborted) {
        pass.end(!isReached && progress.ms() >= options.limits.slowMs ? 'unreachable' : 'unknown');
        progress.ended({});
        return context.signal.reason as Error;
      }
      const described = timer.signal.aborted ? tooSlow(url, options.limits) : describeWireError(url.host, error);
      pass.end(outcomeOf(described.code, isReached));
      progress.ended({ error: described.code });
      return ledBy(call, described);
    };
    try {
      const received = await dispatch(request, timer.signal, { ...options, progress });
      isReached = true;
      return toResponse(request, received, { call, pass, stop: timer.stop, fail, progress, options });
    } catch (error) {
      throw fail(error);
    }
  };
}

/** How far a request has come. */
interface Progress {
  /** Milliseconds since it was sent. */
  ms(): number;
  arrived(bytes: number): void;
  /** Tells what became of it, once. */
  ended(how: Pick<RequestRecord, 'status' | 'error'>): void;
}

/** Kinds whose URL ends with a tag or a digest. */
const NAMED: ReadonlySet<RequestKind> = new Set(['manifest', 'config', 'blob']);

function createProgress(request: HttpRequest, clock: Clock): Progress {
  const { url, kind, charge, isRedirected = false } = request;
  const { onRequest } = request.context;
  const at = clock.now();
  const started = clock.monotonic();
  const ms = (): number => clock.monotonic() - started;
  let bytes = 0;
  let isTold = false;
  return {
    ms,
    arrived: (more) => void (bytes += more),
    ended(how) {
      if (onRequest === undefined || isTold) return;
      isTold = true;
      const named = NAMED.has(kind) && !isRedirected ? { reference: url.pathname.split('/').at(-1) ?? '' } : {};
      onRequest({ kind, origin: url.origin, repository: charge.repository, ...named, at, ms: ms(), bytes, ...how });
    },
  };
}

function callOf({ url, charge, isRedirected = false, context }: HttpRequest): Call {
  return { origin: url.origin, charge, isLed: isRedirected || url.origin !== charge.origin, context };
}

function outcomeOf(code: ImageSourceCode, isReached: boolean): Outcome {
  if (code === 'forbidden-host' || code === 'shed') return 'unknown';
  return code === 'unavailable' && !isReached ? 'unreachable' : 'failure';
}

/** Adds who led us to a host that failed: it may have nothing to do with the image. */
function ledBy({ isLed, charge }: Call, error: ImageSourceError): ImageSourceError {
  if (!isLed) return error;
  const message = `${error.message} (${new URL(charge.origin).host}/${charge.repository} led there)`;
  return new ImageSourceError(error.code, message, { cause: error.cause });
}

async function dispatch(
  request: HttpRequest,
  signal: AbortSignal,
  options: ExchangeOptions & { readonly progress: Progress },
): Promise<Dispatcher.ResponseData> {
  const { url, context, form, method = form === undefined ? 'GET' : 'POST' } = request;
  // A connection stays busy for undici during the turn in which its response ends; a request now would open another
  // one.
  if (context.meter.requests > 0) await nextTurn();
  context.meter.requests += 1;
  const dispatcher = options.dispatcher(request.listedOnly).compose(observe(url, context.meter, options));
  return await dispatcher.request({
    origin: url.origin,
    path: `${url.pathname}${url.search}`,
    method,
    // undici closes the connection after a HEAD otherwise.
    ...(method === 'HEAD' ? { reset: false } : {}),
    headers: { 'user-agent': options.userAgent, 'accept-encoding': 'identity', ...request.headers },
    ...(form === undefined ? {} : { body: form }),
    signal,
    highWaterMark: 16 * 1024,
  });
}

/** How a response ends. */
interface Ending {
  readonly call: Call;
  readonly pass: Pass;
  readonly stop: () => void;
  readonly fail: (error: unknown) => Error;
  readonly progress: Progress;
  readonly options: ExchangeOptions;
}

function toResponse(request: HttpRequest, received: Dispatcher.ResponseData, ending: Ending): HttpResponse {
  const { statusCode: status, body } = received;
  const headers = joinedHeaders(received.headers);
  // zot sends an empty one with a refusal.
  const challenges = [received.headers['www-authenticate'] ?? []].flat().filter((text) => text.trim() !== '');
  const outcome = outcomeOfStatus(status, request.kind);
  if (status === 429) noteLimit(headers, ending);
  // A destroyed body emits an error, which would otherwise crash the process.
  body.on('error', () => {});
  const end = (): void => {
    ending.stop();
    ending.pass.end(outcome);
    ending.progress.ended({ status });
    body.destroy();
  };
  const chunks = async function* (): AsyncIterable<Uint8Array> {
    const slowness = createSlowness(request.url, ending.options);
    try {
      for await (const chunk of body) {
        slowness.arrived(chunk as Uint8Array);
        yield chunk as Uint8Array;
        slowness.waits();
      }
    } catch (error) {
      throw ending.fail(error);
    } finally {
      end();
    }
  };
  return { url: request.url, status, headers, challenges, body: chunks(), close: end };
}

function joinedHeaders(headers: IncomingHttpHeaders): HttpResponse['headers'] {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value ?? []].flat().join(', ')]));
}

function outcomeOfStatus(status: number, kind: RequestKind): Outcome {
  if (status >= 500) return 'failure';
  const isRedirect = status >= 300 && status < 400;
  return isRedirect || kind === 'token' || kind === 'ping' ? 'answered' : 'success';
}

function noteLimit(headers: HttpResponse['headers'], { call, options }: Ending): void {
  const { hosts, limits, clock } = options;
  const ms = retryAfterMs(headers['retry-after'], { now: clock.now(), fallback: 10_000, longest: limits.blockMs });
  hosts.limited(call, ms);
}

/** Judges a transfer by the time that we waited for it: we may be slow to read, too. */
interface Slowness {
  /** Throws `ImageSourceError` `unavailable` if the bytes come too slowly. */
  arrived(chunk: Uint8Array): void;
  waits(): void;
}

function createSlowness(url: URL, { limits, clock }: ExchangeOptions): Slowness {
  let bytes = 0;
  let waited = 0;
  let since = clock.monotonic();
  return {
    arrived(chunk) {
      bytes += chunk.length;
      waited += clock.monotonic() - since;
      if (waited < limits.slowestMs || bytes * 1000 >= limits.slowestBytes * waited) return;
      throw new ImageSourceError('unavailable', `${url.host} sends less than ${limits.slowestBytes} bytes a second`);
    },
    waits() {
      since = clock.monotonic();
    },
  };
}

function tooSlow(url: URL, limits: RegistryLimits): ImageSourceError {
  return new ImageSourceError(
    'unavailable',
    `${url.host} took longer than ${limits.requestMs / 1000} s for one answer`,
  );
}

/**
 * Throws `ImageSourceError` `forbidden-host` if the URL is denied, is plain HTTP and not listed as insecure, or holds a
 * login.
 */
function checkUrl(rules: HostRules, url: URL): void {
  const authority = authorityOf(url);
  const denied = rules.refuseHost(authority);
  if (denied !== undefined) {
    throw new ImageSourceError('forbidden-host', `${url.host} is refused: ${denied} by detection.registry.deny`);
  }
  const plain = url.protocol === 'http:' && rules.transport(authority).protocol === 'http:';
  if (url.protocol !== 'https:' && !plain) {
    const { hostname } = authority;
    const why = parseAddress(hostname) && rules.refuseAddress(authority, hostname, false);
    const hint = why
      ? `it would be refused with TLS too (${why})`
      : `list ${url.host} in detection.registry.insecure if plain HTTP is meant`;
    throw new ImageSourceError('forbidden-host', `${url.host} is not asked without TLS: ${hint}`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new ImageSourceError('forbidden-host', `${url.host} is not asked: its URL holds a login`);
  }
}

/** Counts body bytes as they arrive, and bounds the number of headers and pieces: undici's parser bounds only their size. */
function observe(
  url: URL,
  meter: Meter,
  { limits, progress }: { readonly limits: RegistryLimits; readonly progress: Progress },
): Dispatcher.DispatcherComposeInterceptor {
  return (next) => (request, handler) => {
    let interim = 0;
    let pieces = 0;
    let bytes = 0;
    return next(request, {
      onRequestStart: (controller, state) => handler.onRequestStart?.(controller, state),
      onResponseStart(controller, status, headers, text) {
        if (status < 200) interim += 1;
        if (interim > limits.interimResponses || Object.keys(headers).length > limits.headerCount) {
          const message = `${url.host} sent more than ${limits.headerCount} headers, or interim answers without end`;
          controller.abort(new ImageSourceError('invalid-answer', message));
          return;
        }
        handler.onResponseStart?.(controller, status, headers, text);
      },
      onResponseData(controller, chunk) {
        meter.bytes += chunk.length;
        progress.arrived(chunk.length);
        bytes += chunk.length;
        pieces += 1;
        if (pieces > limits.shortPieces && bytes < pieces * limits.pieceBytes) {
          // The parser goes on with what it has: of that nothing is kept.
          if (controller.aborted) return;
          const message = `${url.host} sent more than ${limits.shortPieces} pieces of less than ${limits.pieceBytes} bytes`;
          controller.abort(new ImageSourceError('invalid-answer', message));
          return;
        }
        handler.onResponseData?.(controller, chunk);
      },
      onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
      onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
    });
  };
}
