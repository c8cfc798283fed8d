import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server, type ServerOptions as TlsServerOptions } from 'node:https';

import Fastify, { type FastifyError, type FastifyReply } from 'fastify';

import type { CertificateSource } from '../certificates/source.ts';
import type { LimitedLines } from '../telemetry/log-limits.ts';
import { createDrain, type Drain, type DrainTimes, type WebhookApp } from './drain.ts';
import { createBodyBudget, limitConnections } from './limits.ts';
import { createMutate, type MutateOptions, traceIdOf } from './mutate.ts';

/** An API server sends at most its own request limit (3 MiB), twice for updates, and wraps it. */
const BODY_LIMIT = 7 * 1024 * 1024;

/** API servers keep idle connections for 90 s: whoever closes first loses requests. */
const KEEP_ALIVE_MS = 100_000;

/**
 * For a whole request, and for a connection on which none has come yet: Node counts both by one clock. Go opens connections ahead
 * and keeps those for 90 s, too, so this must not be shorter, although no webhook is waited for that long.
 */
const REQUEST_MS = KEEP_ALIVE_MS;

/** Milliseconds between looks for requests that take longer. */
const LOOK_MS = 10_000;

const JSON_TYPE = 'application/json; charset=utf-8';

/** Characters of an error's message in the log: the message quotes the request. */
const MOST_MESSAGE = 300;

interface ServerOptions extends MutateOptions {
  readonly certificates: CertificateSource;
  readonly drain: DrainTimes;
  /** For requests that are none: whoever reaches the port can send them. */
  readonly warn: LimitedLines;
}

export interface WebhookServer {
  readonly app: WebhookApp;
  readonly drain: Drain;
}

/** When the headers of a request had come, as `performance.now` has it. */
const ARRIVED = Symbol('arrived');

interface Arrived extends IncomingMessage {
  [ARRIVED]?: number;
}

type Listener = (request: Arrived, response: ServerResponse) => void;

const tlsOptions = (certificates: CertificateSource): TlsServerOptions => ({
  ...certificates.current(),
  minVersion: 'TLSv1.2',
  handshakeTimeout: 10_000,
  headersTimeout: REQUEST_MS,
  requestTimeout: REQUEST_MS,
  keepAliveTimeout: KEEP_ALIVE_MS,
  connectionsCheckingInterval: LOOK_MS,
});

function tlsServer(options: TlsServerOptions, certificates: CertificateSource): Server {
  const server = createTlsServer(options);
  certificates.onChange((pair) => server.setSecureContext({ ...pair, minVersion: 'TLSv1.2' }));
  // Handshakes with garbage are the caller's problem: without a listener they would end the process.
  server.on('tlsClientError', () => {});
  return server;
}

/**
 * Hands requests to `handle`, and to `refuse` where there are too many bytes of bodies. Each request and the bytes of its body count
 * until its answer has been sent or its caller has gone. One listener before fastify: its hooks cost each request more.
 */
function receive(server: Server, drain: Drain, handle: Listener, refuse: Listener): void {
  const bodies = createBodyBudget(BODY_LIMIT);
  const used = limitConnections(server);
  server.on('request', (request: Arrived, response) => {
    request[ARRIVED] = performance.now();
    used(request.socket);
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
const tooMuch =
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
 * The admission server: `POST /mutate` over TLS. Every AdmissionReview v1 is answered with `allowed: true`; what is none
 * gets 400, 413, 415 or 503 with `{ "error": … }`, and the API server's failurePolicy (Ignore) lets the Pod pass.
 */
export function createServer(options: ServerOptions): WebhookServer {
  const drain = createDrain(options.drain);
  const https = tlsOptions(options.certificates);
  const app = Fastify({
    https,
    serverFactory(handle) {
      const server = tlsServer(https, options.certificates);
      receive(server, drain, handle, tooMuch(options));
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

  /** Asked for at each answer and not by a hook, which would cost each more. */
  const leaving = (reply: FastifyReply): FastifyReply => (drain.draining ? reply.header('connection', 'close') : reply);
  const mutate = createMutate(options);
  /** Past fastify's own pipeline, whose hooks nobody uses. */
  const answer = (reply: FastifyReply, review: string): void => {
    reply.hijack();
    const headers = { 'content-type': JSON_TYPE, 'content-length': Buffer.byteLength(review) };
    reply.raw.writeHead(200, drain.draining ? { ...headers, connection: 'close' } : headers).end(review);
  };
  // Not `async`: most Pods are answered at once, and a promise would cost each of them.
  app.post('/mutate', (request, reply) => {
    const raw: Arrived = request.raw;
    // A slowly sent body is on our clock too.
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
    return leaving(reply).code(status).send({ error: error.message });
  });
  return { app, drain };
}
