import { readFileSync } from 'node:fs';
import Fastify from 'fastify';

/** Returns a fastify server with our TLS and body settings. It ends at SIGTERM. */
export function openFastify(certFile: string, keyFile: string) {
  const app = Fastify({
    https: { cert: readFileSync(certFile), key: readFileSync(keyFile), minVersion: 'TLSv1.2' },
    bodyLimit: 7 * 1024 * 1024,
    keepAliveTimeout: 100_000,
    onProtoPoisoning: 'ignore',
    onConstructorPoisoning: 'ignore',
    logger: false,
  });
  process.once('SIGTERM', () => {
    app.server.closeAllConnections();
    void app.close();
  });
  return app;
}
