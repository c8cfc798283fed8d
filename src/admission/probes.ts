import Fastify, { type FastifyInstance } from 'fastify';

import type { Metrics } from '../telemetry/metrics.ts';

interface ProbesOptions {
  readonly metrics: Metrics;
  /** Returns why the server is not ready; undefined if it is. */
  readonly notReady: () => string | undefined;
}

/** Serves `GET /livez /readyz /metrics` over plain HTTP, for the kubelet and Prometheus. */
export function createProbes({ metrics, notReady }: ProbesOptions): FastifyInstance {
  const app = Fastify({ logger: false, keepAliveTimeout: 100_000, requestTimeout: 10_000, bodyLimit: 1024 });
  app.get('/livez', async () => 'ok\n');
  app.get('/readyz', async (_request, reply) => {
    const reason = notReady();
    return reason === undefined ? 'ok\n' : reply.code(503).send(`not ready: ${reason}\n`);
  });
  app.get('/metrics', async (_request, reply) => {
    reply.header('content-type', metrics.contentType);
    return metrics.render();
  });
  return app;
}
