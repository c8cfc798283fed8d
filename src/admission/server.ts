import Fastify, { type FastifyError, type FastifyReply } from 'fastify';

import { BodyBudgetError, createBodyBudget } from './body-budget.ts';
import type { CertificateSource } from './certificates.ts';
import { limitConnections } from './connections.ts';
import { createDrain, type Drain, type DrainTimes, type WebhookApp } from './drain.ts';
import { createMutate, type MutateOptions } from './mutate.ts';
import { traceIdOf } from './trace.ts';
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

/** Counts each request and the bytes of its body, until its answer has been sent or its caller has gone. */
function follow(app: WebhookApp, drain: Drain): void {
  const bodies = createBodyBudget(BODY_LIMIT);
  app.addHook('onRequest', (request, reply, done) => {
    const bytes = bodies.take(request.headers);
    drain.enter();
    // Not the hook `onResponse`: who goes away within a body is not told of by it.
    reply.raw.on('close', () => {
      drain.leave();
      if (bytes !== undefined) bodies.give(bytes);
    });
    if (bytes !== undefined) {
      done();
      return;
    }
    void reply.header('connection', 'close');
    done(new BodyBudgetError('too many large requests at once'));
  });
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
  const drain = createDrain(options.drain);
  follow(app, drain);

  /** Asked for at each answer and not by a hook, which would cost each more. */
  const leaving = (reply: FastifyReply): FastifyReply => (drain.draining ? reply.header('connection', 'close') : reply);
  const mutate = createMutate(options);
  app.post('/mutate', async (request, reply) => {
    // Counted from the request's headers: a slowly sent body is on our clock too.
    const trace = traceIdOf(request.headers['traceparent']);
    const review = await mutate(request.body, request.query, reply.elapsedTime, trace);
    leaving(reply).header('content-type', 'application/json; charset=utf-8');
    return review;
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
