import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server, type ServerOptions as TlsServerOptions } from 'node:https';

import Fastify, { type FastifyError } from 'fastify';

import type { Callers } from '../certificates/clients/callers.ts';
import type { CertificateSource } from '../certificates/source.ts';
import type { LimitedLines } from '../telemetry/log-limits.ts';
import { type Bodies, createBodies, DirectRequest, type WithBody } from './bodies.ts';
import { isRefused, secureContext } from './callers.ts';
import { type Connections, limitConnections } from './connections.ts';
import { createDrain, type Drain, type DrainTimes, type WebhookApp } from './drain.ts';
import { createMutate, type MutateOptions } from './mutate.ts';

/** API servers keep idle connections for 90 s. If the server closes first, requests on their way are lost. */
const KEEP_ALIVE_MS = 100_000;

/**
 * For a whole request, and for a connection without a request so far: Node has one timer for both. Go opens connections ahead and keeps
 * them for 90 s, so this must not be shorter, although no API server waits that long for a webhook.
 */
const REQUEST_MS = KEEP_ALIVE_MS;

/** Milliseconds between checks for requests that take longer. */
const CHECK_MS = 10_000;

const NO_BODY = Buffer.alloc(0);

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

interface Arrived extends WithBody {
  [ARRIVED]?: number;
}

/** Counts and logs a request that is answered with an HTTP error, or with none. */
type Refused = (status: number, error: string, from: string | undefined) => void;

type Listener = (request: Arrived & DirectRequest, response: ServerResponse) => void;

const hasBody = ({ complete, headers }: IncomingMessage): boolean =>
  !complete && (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0);

const tlsOptions = (options: ServerOptions): TlsServerOptions => ({
  ...secureContext(options),
  handshakeTimeout: 10_000,
  headersTimeout: REQUEST_MS,
  requestTimeout: REQUEST_MS,
  keepAliveTimeout: KEEP_ALIVE_MS,
  connectionsCheckingInterval: CHECK_MS,
  IncomingMessage: DirectRequest,
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

interface Port {
  readonly drain: Drain;
  readonly connections: Connections;
  readonly bodies: Bodies;
  readonly refused: Refused;
}

/** Reports whether this is what API servers send. What else there is, and what is wrong with it, is left to fastify. */
const isReview = ({ method, url = '', headers }: IncomingMessage): boolean =>
  method === 'POST' &&
  headers['content-type'] === 'application/json' &&
  (url.startsWith('/mutate?') || url === '/mutate');

function send(response: ServerResponse, status: number, text: string, isLast: boolean): void {
  const headers = { 'content-type': JSON_TYPE, 'content-length': Buffer.byteLength(text) };
  response.writeHead(status, isLast ? { ...headers, connection: 'close' } : headers).end(text);
}

type HttpError = Error & { readonly statusCode?: number | undefined };

/** Answers one request. Neither throws nor rejects. */
interface Answers {
  readonly review: (request: Arrived, response: ServerResponse, body: Buffer) => void;
  readonly error: (request: Arrived, response: ServerResponse, error: HttpError) => void;
}

function createAnswers({ drain, connections, bodies, refused }: Port, options: ServerOptions): Answers {
  const mutate = createMutate(options);
  const error: Answers['error'] = (request, response, { statusCode: status = 500, message }) => {
    refused(status, message, request.socket.remoteAddress);
    // An error of our own may say what only the log may.
    const told = status < 500 ? message : 'an error of our own: the log says more';
    // A body that nobody reads would come for as long as its sender likes.
    send(response, status, JSON.stringify({ error: told }), drain.draining || hasBody(request));
  };
  const review: Answers['review'] = (request, response, body) => {
    const answer = (text: string): void => send(response, 200, text, drain.draining);
    const failed = (problem: unknown): void => error(request, response, problem as HttpError);
    try {
      // The time that a slow body takes counts too. Of those that wait there may be too many already.
      const elapsed = bodies.isCrowded ? Infinity : performance.now() - (request[ARRIVED] ?? 0);
      const answered = mutate(body, request.url ?? '', elapsed, request.headers['traceparent']);
      connections.trust(request.socket);
      // No promise for most Pods: they are answered at once.
      if (typeof answered === 'string') answer(answered);
      else void answered.then(answer, failed);
    } catch (problem) {
      failed(problem);
    }
  };
  return { review, error };
}

/**
 * Passes requests to `handle`, but for those of a caller that is not known. A request counts until the answer has been sent or the
 * caller has gone. A caller that does not wait for its answers (HTTP pipelining) is cut off: API servers wait for theirs. A listener
 * before fastify costs each request less than fastify's hooks.
 */
function receive(
  server: Server,
  { drain, connections, bodies, refused }: Port,
  options: ServerOptions,
  handle: Listener,
): void {
  server.on('request', (request: Arrived & DirectRequest, response) => {
    const { socket } = request;
    request[ARRIVED] = performance.now();
    if (socket.destroyed) return;
    if (!connections.used(socket)) {
      refused(400, 'requests before the last ones were answered', socket.remoteAddress);
      socket.destroy();
      return;
    }
    if (isRefused(options, request, response)) return;
    drain.enter();
    response.on('close', () => {
      drain.leave();
      connections.answered(socket);
      bodies.leave(request);
    });
    handle(request, response);
  });
  server.on('close', () => bodies.close());
}

/**
 * Creates the admission server: `POST /mutate` over TLS. It answers every AdmissionReview v1 with `allowed: true`, any other body with
 * 400, 408, 413, 415 or 503 and `{ "error": … }`, and a caller that `callers` refuses with 403; the API server's failurePolicy (Ignore)
 * then lets the Pod pass.
 */
export function createServer(options: ServerOptions): WebhookServer {
  const { metrics, warn } = options;
  const drain = createDrain(options.drain);
  const https = tlsOptions(options);
  const server = tlsServer(https, options);
  const connections = limitConnections(server, () => metrics.service.connectionClosed('admission'));
  const bodies = createBodies(connections);
  const refused: Refused = (status, error, from) => {
    metrics.refused(status);
    warn(`bad request: ${error.slice(0, MOST_MESSAGE)}`, { status, from });
  };
  const port = { drain, connections, bodies, refused };
  const answers = createAnswers(port, options);
  const readReview: Listener = (request, response) =>
    bodies.read(request, (error, body = NO_BODY) => {
      if (error === null) answers.review(request, response, body);
      else answers.error(request, response, error);
    });
  const app = Fastify({
    https,
    serverFactory(handle) {
      // Fastify's way to a handler takes a tenth of the processor time of a review.
      receive(server, port, options, (request, response) =>
        isReview(request) ? readReview(request, response) : handle(request, response),
      );
      return server;
    },
    logger: false,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
  });

  // `mutate` parses the body itself. Fastify's own parser refuses a label called "constructor", but nothing here merges parsed objects.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', (_, payload, done) => bodies.read(payload as DirectRequest, done));

  app.post('/mutate', (request, reply) => {
    reply.hijack();
    answers.review(request.raw, reply.raw, request.body instanceof Buffer ? request.body : NO_BODY);
  });
  app.setNotFoundHandler((request, reply) => {
    metrics.refused(404);
    const error = `no such path: ${request.method} ${request.url.slice(0, 100)}; use POST /mutate`;
    reply.hijack();
    send(reply.raw, 404, JSON.stringify({ error }), drain.draining || hasBody(request.raw));
  });
  app.setErrorHandler((error: FastifyError, request, reply) => {
    reply.hijack();
    answers.error(request.raw, reply.raw, error);
  });
  return { app, drain };
}
