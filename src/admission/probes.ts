import { createServer, type RequestListener, type Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import Fastify, { type FastifyInstance } from 'fastify';

import type { Metrics } from '../telemetry/metrics.ts';
import { limitConnections } from './connections.ts';

interface ProbesOptions {
  readonly metrics: Metrics;
  /** Returns why the server is not ready; undefined if it is. */
  readonly notReady: () => string | undefined;
}

/** Connections at once. The kubelet and Prometheus need a few; a new one must be heard before a flood has filled all places again. */
const MOST_CONNECTIONS = 500;

/**
 * Milliseconds. The kubelet and Prometheus send a request at once, and go on with a new connection if theirs was closed meanwhile: a
 * GET can be sent again. Each check wakes an idle process.
 */
const TIMES = { keepAliveTimeout: 5000, headersTimeout: 3000, requestTimeout: 3000, connectionsCheckingInterval: 3000 };

function limitedServer(metrics: Metrics, handle: RequestListener): Server {
  const server = createServer(TIMES);
  const limits = { handshakes: 0, strangers: MOST_CONNECTIONS, all: MOST_CONNECTIONS };
  const connections = limitConnections(server, () => metrics.service.connectionClosed('metrics'), limits);
  return server.on('request', (request, response) => {
    const { socket } = request;
    response.on('close', () => connections.answered(socket));
    if (connections.used(socket)) handle(request, response);
    else socket.destroy();
  });
}

/** Milliseconds between two scrapes. To write all metrics down takes some, however often they are asked for. */
const PAUSE_MS = 100;

/** Returns a function that calls `make`, with a pause after each call. Who asks meanwhile shares the next. */
function withPauses(make: () => Promise<string>): () => Promise<string> {
  let idle: Promise<unknown> = Promise.resolve();
  let next: Promise<string> | undefined;
  return () =>
    (next ??= idle.then(() => {
      next = undefined;
      const made = make();
      idle = made.catch(() => {}).then(() => sleep(PAUSE_MS, undefined, { ref: false }));
      return made;
    }));
}

/** Serves `GET /livez /readyz /metrics` over plain HTTP, for the kubelet and Prometheus. */
export function createProbes({ metrics, notReady }: ProbesOptions): FastifyInstance {
  const app = Fastify({ logger: false, bodyLimit: 1024, serverFactory: (handle) => limitedServer(metrics, handle) });
  const render = withPauses(() => metrics.render());
  app.get('/livez', async () => 'ok\n');
  app.get('/readyz', async (_request, reply) => {
    const reason = notReady();
    return reason === undefined ? 'ok\n' : reply.code(503).send(`not ready: ${reason}\n`);
  });
  app.get('/metrics', async (_request, reply) => {
    reply.header('content-type', metrics.contentType);
    return await render();
  });
  return app;
}
