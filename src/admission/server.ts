import Fastify, { type FastifyError } from 'fastify';

import { limitBodies } from './body-budget.ts';
import type { CertificateSource } from './certificates.ts';
import { limitConnections } from './connections.ts';
import { installDrain, type Drain, type DrainTimes, type WebhookApp } from './drain.ts';
import { mutate, type MutateOptions } from './mutate.ts';
import type { LimitedLines } from '../telemetry/limited-lines.ts';

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

/** Characters of an error's message in the log: the message quotes the request. */
const MOST_MESSAGE = 300;

export interface ServerOptions extends MutateOptions {
  readonly certificates: CertificateSource;
  readonly drain: DrainTimes;
  /** For requests that are none: whoever reaches the port can send them. */
  readonly warn: LimitedLines;
}

export interface WebhookServer {
  readonly app: WebhookApp;
  readonly drain: Drain;
}

function tlsServer(app: WebhookApp, certificates: CertificateSource): void {
  const { server } = app;
  certificates.onChange((pair) => server.setSecureContext({ ...pair, minVersion: 'TLSv1.2' }));
  // Handshakes with garbage are the caller's problem: without a listener they would end the process.
  server.on('tlsClientError', () => {});
}

/**
 * The admission server: `POST /mutate` over TLS. Every AdmissionReview v1 is answered with `allowed: true`; what is none
 * gets 400, 413, 415 or 503 with `{ "error": … }`, and the API server's failurePolicy (Ignore) lets the Pod pass.
 */
export function createServer(options: ServerOptions): WebhookServer {
  const app = Fastify({
    https: {
      ...options.certificates.current(),
      minVersion: 'TLSv1.2',
      handshakeTimeout: 10_000,
      headersTimeout: REQUEST_MS,
      connectionsCheckingInterval: LOOK_MS,
    },
    bodyLimit: BODY_LIMIT,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: REQUEST_MS,
    connectionTimeout: 0,
    // A label called "constructor" is a label: it must not cost a Pod its review. Nothing here merges parsed objects.
    onProtoPoisoning: 'ignore',
    onConstructorPoisoning: 'ignore',
    logger: false,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
  });
  tlsServer(app, options.certificates);
  limitConnections(app);
  limitBodies(app, BODY_LIMIT);
  const drain = installDrain(app, options.drain);

  app.post('/mutate', async (request, reply) => {
    // Counted from the request's headers: a slowly sent body is on our clock too.
    const review = await mutate(request.body, request.query, reply.elapsedTime, options);
    reply.header('content-type', 'application/json; charset=utf-8');
    return JSON.stringify(review);
  });
  app.setNotFoundHandler((request, reply) => {
    options.metrics.refused(404);
    return reply
      .code(404)
      .send({ error: `no such path: ${request.method} ${request.url.slice(0, 100)}; use POST /mutate` });
  });
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const status = error.statusCode ?? 500;
    options.metrics.refused(status);
    options.warn(`bad request: ${error.message.slice(0, MOST_MESSAGE)}`, { status, from: request.ip });
    return reply.code(status).send({ error: error.message });
  });
  return { app, drain };
}
