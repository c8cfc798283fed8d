import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server, type ServerOptions as TlsServerOptions } from 'node:https';

import Fastify, { type FastifyError, type FastifyReply } from 'fastify';

import type { Callers } from '../certificates/clients/callers.ts';
import type { CertificateSource } from '../certificates/source.ts';
import type { LimitedLines } from '../telemetry/log-limits.ts';
import { isRefused, secureContext } from './callers.ts';
import { createDrain, type Drain, type DrainTimes, type WebhookApp } from './drain.ts';
import { createBodyBudget, limitConnections } from './limits.ts';
import { createMutate, type MutateOptions, traceIdOf } from './mutate.ts';

/** An API server sends at most its own request limit (3 MiB), twice for updates, and wraps it. */
const BODY_LIMIT = 7 * 1024 * 1024;

/** API servers keep idle connections for 90 s. If the server closes first, requests on their way are lost. */
const KEEP_ALIVE_MS = 100_000;

/**
 * For a whole request, and for a connection without a request so far: Node has one timer for both. Go opens connections ahead and keeps
 * them for 90 s, so this must not be shorter, although no API server waits that long for a webhook.
 */
const REQUEST_MS = KEEP_ALIVE_MS;

/** Milliseconds between checks for requests that take longer. */
const CHECK_MS = 10_000;

const JSON_TYPE = 'application/json; charset=utf-8';

/** Characters of an error's message in the log: the message quotes the request. */
const MOST_MESSAGE = 300;

interface ServerOptions extends MutateOptions {
  readonly certificates: CertificateSource;
  /** Absent: any caller may send reviews. */
  readonly callers?: Callers;
  readonly drain: DrainTimes;
  /** Logs invalid requests. Anyone who reaches the port can send them. */
  readonly warn: LimitedLines;
}

export interface WebhookServer {
  readonly app: WebhookApp;
  readonly drain: Drain;
}

/** Key of the time at which a request's headers had come, as `performance.now` has it. */
const ARRIVED = Symbol('arrived');

interface Arrived extends IncomingMessage {
  [ARRIVED]?: number;
}

type Listener = (request: Arrived, response: ServerResponse) => void;

const tlsOptions = (options: ServerOptions): TlsServerOptions => ({
  ...secureContext(options),
  handshakeTimeout: 10_000,
  headersTimeout: REQUEST_MS,
  requestTimeout: REQUEST_MS,
  keepAliveTimeout: KEEP_ALIVE_MS,
  connectionsCheckingInterval: CHECK_MS,
});

function tlsServer(https: TlsServerOptions, options: ServerOptions): Server {
  const server = createTlsServer(https);
  const renew = (): void => server.setSecureContext(secureContext(options));
  options.certificates.onChange(renew);
  options.callers?.ca.onChange(renew);
  // Without a listener, a handshake with garbage would end the process.
  server.on('tlsClientError', () => {});
  return server;
}

/**
 * Passes requests to `handle`, or refuses them if the caller is not known, or if too many bytes of bodies are under way. A request and
 * its bytes count until the answer has been sent or the caller has gone. A listener before fastify costs each request less than
 * fastify's hooks.
 */
function receive(server: Server, drain: Drain, options: ServerOptions, handle: Listener): void {
  const refuse = refuseLarge(options);
  const bodies = createBodyBudget(BODY_LIMIT);
  const used = limitConnections(server);
  server.on('request', (request: Arrived, response) => {
    request[ARRIVED] = performance.now();
    used(request.socket);
    if (isRefused(options, request, response)) return;
    const bytes = bodies.take(request.headers);
    drain.enter();
    response.on('close', () => {
      drain.leave();
      if (bytes !== undefined) bodies.give(bytes);
    });
    if (bytes === undefined) refuse(request, response);
    else handle(request, response);
  });
}

/** Answers 503. */
const refuseLarge =
  ({ metrics, warn }: ServerOptions): Listener =>
  ({ socket }, response) => {
    const error = 'too many large requests at once';
    const body = JSON.stringify({ error });
    metrics.refused(503);
    warn(`bad request: ${error}`, { status: 503, from: socket.remoteAddress });
    response
      .writeHead(503, { 'content-type': JSON_TYPE, 'content-length': body.length, connection: 'close' })
      .end(body);
  };

/**
 * Creates the admission server: `POST /mutate` over TLS. It answers every AdmissionReview v1 with `allowed: true`, any other body with
 * 400, 413, 415 or 503 and `{ "error": … }`, and a caller that `callers` refuses with 403; the API server's failurePolicy (Ignore) then lets the Pod pass.
 */
export function createServer(options: ServerOptions): WebhookServer {
  const drain = createDrain(options.drain);
  const https = tlsOptions(options);
  const app = Fastify({
    https,
    serverFactory(handle) {
      const server = tlsServer(https, options);
      receive(server, drain, options, handle);
      return server;
    },
    logger: false,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
  });

  // `mutate` parses the body itself. Fastify's own parser refuses a label called "constructor", but nothing here merges parsed objects.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer', bodyLimit: BODY_LIMIT }, (_, body, done) => {
    done(null, body);
  });

  /** Called for each answer: a hook would cost each more. */
  const leaving = (reply: FastifyReply): FastifyReply => (drain.draining ? reply.header('connection', 'close') : reply);
  const mutate = createMutate(options);
  /** Bypasses fastify's pipeline: no hook of it is used. */
  const answer = (reply: FastifyReply, review: string): void => {
    reply.hijack();
    const headers = { 'content-type': JSON_TYPE, 'content-length': Buffer.byteLength(review) };
    reply.raw.writeHead(200, drain.draining ? { ...headers, connection: 'close' } : headers).end(review);
  };
  // Not `async`: most Pods are answered at once, and each would pay for the promise.
  app.post('/mutate', (request, reply) => {
    const raw: Arrived = request.raw;
    // The time that a slow body takes counts too.
    const elapsed = raw[ARRIVED] === undefined ? 0 : performance.now() - raw[ARRIVED];
    const body = request.body instanceof Buffer ? request.body : Buffer.alloc(0);
    const review = mutate(body, request.query, elapsed, traceIdOf(request.headers['traceparent']));
    if (typeof review !== 'string') return review.then((text) => answer(reply, text));
    answer(reply, review);
    return undefined;
  });
  app.setNotFoundHandler((request, reply) => {
    options.metrics.refused(404);
    return leaving(reply)
      .code(404)
      .send({ error: `no such path: ${request.method} ${request.url.slice(0, 100)}; use POST /mutate` });
  });
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const status = error.statusCode ?? 500;
    options.metrics.refused(status);
    options.warn(`bad request: ${error.message.slice(0, MOST_MESSAGE)}`, { status, from: request.ip });
    // An error of our own may say what only the log may.
    const told = status < 500 ? error.message : 'an error of our own: the log says more';
    return leaving(reply).code(status).send({ error: told });
  });
  return { app, drain };
}
