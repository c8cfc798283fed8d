import type { IncomingHttpHeaders } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';

import type { Dispatcher } from 'undici';

import {
  type ImageSourceCode,
  ImageSourceError,
  type LookupContext,
  type Meter,
} from '../../detection/image-source.ts';
import type { Clock } from '../../util/clock.ts';
import { parseAddress } from '../hosts/address.ts';
import { authorityOf } from '../hosts/pattern.ts';
import type { HostRules } from '../hosts/rules.ts';
import { type HostStates, type Outcome, type Pass, retryAfterMs } from './host-state.ts';
import type { RegistryLimits } from './limits.ts';
import { describeWireError } from './wire-error.ts';

export type RequestKind = 'manifest' | 'config' | 'blob' | 'token';

/** One HTTP request, before redirects. */
export interface Ask {
  readonly url: URL;
  readonly kind: RequestKind;
  readonly headers: Readonly<Record<string, string>>;
  /** Sent by POST. */
  readonly form?: string;
  /** Only the networks of the allow list admit this image. */
  readonly listedOnly: boolean;
  readonly context: LookupContext;
}

/** One HTTP answer, whose body has to be read to its end or closed. */
export interface Answer {
  readonly url: URL;
  readonly status: number;
  /** Lower-case names; of a header sent several times, the values joined as RFC 9110 section 5.3 has it. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Each `WWW-Authenticate` header by itself. */
  readonly challenges: readonly string[];
  /** Leaving it early stops the transfer. Rejects with `ImageSourceError` or the signal's reason. */
  readonly body: AsyncIterable<Uint8Array>;
  readonly close: () => void;
}

/** What a metrics collector hears of each request. `host` is the scheme, host and port, `ms` the time to the answer's headers. */
export interface RequestEvent {
  readonly host: string;
  readonly kind: RequestKind;
  readonly ms: number;
  readonly status?: number;
  readonly error?: ImageSourceCode;
}

/** Sends one request. */
export type Exchange = (ask: Ask) => Promise<Answer>;

interface ExchangeOptions {
  readonly rules: HostRules;
  readonly limits: RegistryLimits;
  readonly clock: Clock;
  readonly hosts: HostStates;
  readonly userAgent: string;
  readonly dispatcher: (listedOnly: boolean) => Dispatcher;
  readonly onRequest?: (event: RequestEvent) => void;
}

/**
 * Sends requests one hop at a time: rules about hosts before, the host's queue and breaker, an end to the whole in
 * `limits.requestMs`, every byte of a body counted when it arrives. Rejects with `ImageSourceError`, or with the signal's reason.
 */
export function createExchange(options: ExchangeOptions): Exchange {
  return async (ask) => {
    const { context, url } = ask;
    context.signal.throwIfAborted();
    checkUrl(options.rules, url);
    const pass = await options.hosts.enter(url.origin, context, context.signal);
    const timer = startTimer(context.signal, options.limits.requestMs);
    const started = options.clock.monotonic();
    const ms = (): number => options.clock.monotonic() - started;
    const fail = (error: unknown): Error => {
      timer.stop();
      if (context.signal.aborted) {
        pass.end(ms() >= options.limits.slowMs ? 'failure' : 'unknown');
        return context.signal.reason as Error;
      }
      const described = timer.signal.aborted ? tooSlow(url, options.limits) : describeWireError(url.host, error);
      pass.end(described.code === 'forbidden-host' ? 'unknown' : 'failure');
      return described;
    };
    try {
      const response = await dispatch(ask, timer.signal, options);
      refuseEncoding(url, response);
      options.onRequest?.({ host: url.origin, kind: ask.kind, ms: ms(), status: response.statusCode });
      return toAnswer(ask, response, { pass, stop: timer.stop, fail, options });
    } catch (error) {
      const reason = fail(error);
      const code = reason instanceof ImageSourceError ? { error: reason.code } : {};
      options.onRequest?.({ host: url.origin, kind: ask.kind, ms: ms(), ...code });
      throw reason;
    }
  };
}

async function dispatch(ask: Ask, signal: AbortSignal, options: ExchangeOptions): Promise<Dispatcher.ResponseData> {
  const { url, context, form } = ask;
  // undici takes a connection for busy in the turn in which its answer ends, and would open another for the look-up's next request.
  if (context.meter.requests > 0) await nextTurn();
  context.meter.requests += 1;
  const dispatcher = options.dispatcher(ask.listedOnly).compose(observe(url, context.meter, options.limits));
  return await dispatcher.request({
    origin: url.origin,
    path: `${url.pathname}${url.search}`,
    method: form === undefined ? 'GET' : 'POST',
    headers: { 'user-agent': options.userAgent, 'accept-encoding': 'identity', ...ask.headers },
    ...(form === undefined ? {} : { body: form }),
    signal,
    highWaterMark: 16 * 1024,
  });
}

interface Ending {
  readonly pass: Pass;
  readonly stop: () => void;
  readonly fail: (error: unknown) => Error;
  readonly options: ExchangeOptions;
}

function toAnswer(ask: Ask, response: Dispatcher.ResponseData, ending: Ending): Answer {
  const { statusCode: status, body } = response;
  const headers = joined(response.headers);
  const challenges = [response.headers['www-authenticate'] ?? []].flat();
  const outcome: Outcome = status >= 500 ? 'failure' : 'success';
  if (status === 429) blockHost(ask.url, headers, ending.options);
  // A body that is thrown away reports that as an error; nobody waits for it.
  body.on('error', () => {});
  const end = (): void => {
    ending.stop();
    ending.pass.end(outcome);
    body.destroy();
  };
  const chunks = async function* (): AsyncIterable<Uint8Array> {
    try {
      for await (const chunk of body) yield chunk as Uint8Array;
    } catch (error) {
      throw ending.fail(error);
    } finally {
      end();
    }
  };
  return { url: ask.url, status, headers, challenges, body: chunks(), close: end };
}

function joined(headers: IncomingHttpHeaders): Answer['headers'] {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value ?? []].flat().join(', ')]));
}

function blockHost(url: URL, headers: Answer['headers'], { hosts, limits, clock }: ExchangeOptions): void {
  const ms = retryAfterMs(headers['retry-after'], { now: clock.now(), fallback: 10_000, longest: limits.blockMs });
  hosts.block(url.origin, ms);
}

function tooSlow(url: URL, limits: RegistryLimits): ImageSourceError {
  return new ImageSourceError(
    'unavailable',
    `${url.host} took longer than ${limits.requestMs / 1000} s for one answer`,
  );
}

function startTimer(signal: AbortSignal, ms: number): { signal: AbortSignal; stop: () => void } {
  const controller = new AbortController();
  const onAbort = (): void => {
    controller.abort(signal.reason);
  };
  const timer = setTimeout(() => {
    controller.abort();
  }, ms);
  timer.unref();
  signal.addEventListener('abort', onAbort, { once: true });
  const stop = (): void => {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  };
  return { signal: controller.signal, stop };
}

/** Throws `ImageSourceError` `forbidden-host` for a URL that is denied, is not https and not listed as insecure, or holds a login. */
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

/** Digests and offsets are of the bytes as they are stored, which is why `identity` was asked for. Throws where it did not come so. */
function refuseEncoding(url: URL, { statusCode, headers, body }: Dispatcher.ResponseData): void {
  const encoding = String(headers['content-encoding'] ?? 'identity');
  if (encoding === 'identity' || statusCode >= 300) return;
  body.on('error', () => {}).destroy();
  throw new ImageSourceError('invalid-answer', `${url.host} answered in a content coding, though asked for none`);
}

/** Counts body bytes where they come off the wire, and headers, of which the parser bounds the size alone: an interceptor for one request. */
function observe(url: URL, meter: Meter, limits: RegistryLimits): Dispatcher.DispatcherComposeInterceptor {
  return (next) => (request, handler) => {
    let interim = 0;
    return next(request, {
      onRequestStart: (controller, state) => handler.onRequestStart?.(controller, state),
      onResponseStart(controller, status, headers, text) {
        if (status < 200) interim += 1;
        if (interim > limits.interimAnswers || Object.keys(headers).length > limits.headerCount) {
          const message = `${url.host} sent more than ${limits.headerCount} headers, or interim answers without end`;
          controller.abort(new ImageSourceError('invalid-answer', message));
          return;
        }
        handler.onResponseStart?.(controller, status, headers, text);
      },
      onResponseData(controller, chunk) {
        meter.bytes += chunk.length;
        handler.onResponseData?.(controller, chunk);
      },
      onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
      onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
    });
  };
}
