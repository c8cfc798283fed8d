import { StringDecoder } from 'node:string_decoder';

import type { Dispatcher } from 'undici';

import { beforeAbort } from '../util/abort.ts';
import { callError, type KubeCall, KubeError, statusError, transportError } from './errors.ts';
import { createListSplitter } from './list-splitter.ts';
import type { KubeObject } from './objects.ts';

export interface KubeRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Absolute, as `resourcePath` makes it. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  /** Sent as JSON, with `contentType`: `application/json`, or one of the patch types. */
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  /** Milliseconds for the whole exchange. Default 10,000. */
  readonly timeoutMs?: number;
  /** Most bytes of the answer. Default 16 MiB. */
  readonly mostBytes?: number;
  readonly signal?: AbortSignal;
}

export interface WatchRequest extends KubeRequest {
  /** Milliseconds without a byte after which a watch counts as dead. */
  readonly idleMs: number;
  /** Called when the server has accepted the watch. */
  readonly onOpen?: () => void;
}

/** One event of a watch. `ERROR` events are thrown instead. */
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: KubeObject;
}

/** Calls the Kubernetes API in JSON. Every failure is a {@link KubeError}. */
export interface KubeClient {
  /** The API server's address, for logs. */
  readonly server: string;
  /** Resolves to the object in the response. */
  request<T = KubeObject>(request: KubeRequest): Promise<T>;
  /**
   * Passes each object of a list to `each` while the list is received, however long it is, and resolves to the list's
   * resourceVersion.
   */
  list(request: KubeRequest, each: (object: KubeObject) => void): Promise<string>;
  /**
   * Yields the events of a watch until the server ends it. Throws `gone` if the resourceVersion is too old, `timeout` if
   * no byte came for `idleMs`. Leaving the loop ends the watch.
   */
  watch(request: WatchRequest): AsyncGenerator<WatchEvent>;
  close(): Promise<void>;
}

/** Authenticates and sends calls; `kubeconfig.ts` makes it from a kubeconfig or a service account. */
export interface Transport {
  readonly server: string;
  /** Called for each request: it renews tokens and client certificates. */
  prepare(): Promise<{ readonly headers: Readonly<Record<string, string>>; readonly dispatcher: Dispatcher }>;
  close(): Promise<void>;
}

const TIMEOUT_MS = 10_000;

/** Most bytes of an answer: parsed it takes several times as much. No object in etcd is larger than 3 MiB, and in JSON some are twice that. */
const MOST_BYTES = 16 * 1024 * 1024;

/** Most characters of an object in an answer that is read object by object. */
const MOST_CHARACTERS = MOST_BYTES;

export function createKubeClient(transport: Transport): KubeClient {
  return {
    server: transport.server,
    request: async <T>(request: KubeRequest) =>
      await exchange(transport, request, async (body, call) => {
        return parse(await readText(body, call, request.mostBytes), call) as T;
      }),
    list: async (request, each) =>
      await exchange(transport, request, async (body, call) => await readList(body, call, each)),
    async *watch({ idleMs, onOpen, ...asked }): AsyncGenerator<WatchEvent> {
      const request = { ...asked, query: { ...asked.query, watch: true } };
      const call = callOf(request);
      const ended = new AbortController();
      const signal = asked.signal === undefined ? ended.signal : AbortSignal.any([asked.signal, ended.signal]);
      const timeouts = { headersTimeout: asked.timeoutMs ?? TIMEOUT_MS, bodyTimeout: idleMs };
      try {
        const { statusCode, body } = await send(transport, request, timeouts, signal);
        if (statusCode !== 200) throw statusError(statusCode, await readText(body, call), call);
        onOpen?.();
        for await (const lines of readLines(body as AsyncIterable<Buffer>)) {
          for (const line of lines) yield readEvent(line, call);
        }
      } catch (error) {
        asked.signal?.throwIfAborted();
        throw transportError(error, call);
      } finally {
        ended.abort();
      }
    },
    close: () => transport.close(),
  };
}

type Answer = Dispatcher.ResponseData;

const callOf = ({ method = 'GET', path, query }: KubeRequest): KubeCall => ({
  method: query?.['watch'] === true ? 'watch' : method,
  path,
});

/** Prepares a call with its own timeout: a login may ask a program or another server, which may hang. */
async function prepared(transport: Transport, { timeoutMs = TIMEOUT_MS }: KubeRequest, signal: AbortSignal) {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const ready = await beforeAbort(transport.prepare(), limit);
  if (ready !== undefined) return ready;
  throw limit.reason;
}

async function send(
  transport: Transport,
  request: KubeRequest,
  timeouts: object,
  signal: AbortSignal,
): Promise<Answer> {
  const { headers, dispatcher } = await prepared(transport, request, signal);
  const url = new URL(transport.server.replace(/\/$/, '') + request.path);
  for (const [key, value] of Object.entries(request.query ?? {})) url.searchParams.set(key, String(value));
  return await dispatcher.request({
    origin: url.origin,
    path: url.pathname + url.search,
    method: request.method ?? 'GET',
    headers: {
      ...headers,
      accept: request.accept ?? 'application/json',
      ...(request.body !== undefined && { 'content-type': request.contentType ?? 'application/json' }),
    },
    body: request.body === undefined ? null : JSON.stringify(request.body),
    signal,
    ...timeouts,
  });
}

/** Makes a call that has to end in time, and resolves to what `read` makes of a successful answer. */
async function exchange<T>(
  transport: Transport,
  request: KubeRequest,
  read: (body: Answer['body'], call: KubeCall) => Promise<T>,
): Promise<T> {
  const call = callOf(request);
  const limit = AbortSignal.timeout(request.timeoutMs ?? TIMEOUT_MS);
  const signal = request.signal === undefined ? limit : AbortSignal.any([limit, request.signal]);
  try {
    const { statusCode, body } = await send(transport, request, {}, signal);
    if (statusCode >= 200 && statusCode <= 299) return await read(body, call);
    throw statusError(statusCode, await readText(body, call, request.mostBytes), call);
  } catch (error) {
    request.signal?.throwIfAborted();
    throw transportError(error, call);
  }
}

async function readList(body: Answer['body'], call: KubeCall, each: (object: KubeObject) => void): Promise<string> {
  const splitter = createListSplitter(MOST_CHARACTERS);
  for await (const chunk of body as AsyncIterable<Buffer>) {
    for (const object of parse(`[${splitter.take(chunk)}]`, call) as KubeObject[]) each(object);
  }
  const list = parse(splitter.rest(), call) as { metadata?: { resourceVersion?: unknown }; items?: unknown } | null;
  const { items = [], metadata } = list ?? {};
  // What the splitter has not recognized as items is still in the list.
  const areAllTaken = items === null || (Array.isArray(items) && items.length === 0);
  const version = metadata?.resourceVersion;
  if (areAllTaken && typeof version === 'string' && version !== '') return version;
  throw callError('malformed', 'the answer is not a list', call);
}

async function readText(body: Answer['body'], call: KubeCall, most = MOST_BYTES): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > most) throw callError('too-large', `the answer is larger than ${most} bytes`, call);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string, call: KubeCall): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw callError('malformed', 'the answer is not JSON', call, { cause: error });
  }
}

function readEvent(line: string, call: KubeCall): WatchEvent {
  const event = parse(line, call) as { type?: string; object?: unknown } | null;
  if (event?.type === 'ERROR') {
    const status = event.object as { code?: number } | undefined;
    throw statusError(status?.code ?? 500, JSON.stringify(status), call);
  }
  const object = event?.object as Partial<KubeObject> | undefined;
  if (typeof event?.type !== 'string' || object?.metadata === undefined) {
    throw callError('malformed', `not a watch event: ${line.slice(0, 100)}`, call);
  }
  return event as WatchEvent;
}

/**
 * Yields the non-empty lines of a UTF-8 stream without their line ends, all lines that end in one chunk together: each step
 * of a generator costs as much as a line. Throws {@link KubeError} (malformed) at a line of more than `most` characters.
 */
export async function* readLines(
  stream: AsyncIterable<Buffer>,
  most: number = MOST_CHARACTERS,
): AsyncGenerator<readonly string[]> {
  const decoder = new StringDecoder('utf8');
  let begun = '';
  for await (const chunk of stream) {
    const [first = '', ...others] = decoder.write(chunk).split('\n');
    const lines = [begun + first, ...others];
    begun = lines.pop() ?? '';
    if (begun.length > most) throw new KubeError('malformed', `a line of a watch is longer than ${most} characters`);
    const whole = lines.filter((line) => line !== '');
    if (whole.length > 0) yield whole;
  }
  const last = begun + decoder.end();
  if (last !== '') yield [last];
}
