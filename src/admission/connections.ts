import type { TLSSocket } from 'node:tls';

import type { WebhookApp } from './drain.ts';

/**
 * Connections on which no request has come. API servers send one at once, or keep a few that they opened ahead; each costs
 * about 65 KB, and twice that once memory is in pieces.
 */
const MOST_UNUSED = 2000;

/** All of them. Beyond, new ones are dropped: those that API servers hold go on. */
const MOST_CONNECTIONS = 3000;

/** Keeps connections that nobody uses from taking the memory or the place of others: of too many the oldest is closed. */
export function limitConnections(app: WebhookApp): void {
  const { server } = app;
  // In the order in which they came.
  const unused = new Set<TLSSocket>();
  server.maxConnections = MOST_CONNECTIONS;
  server.on('secureConnection', (socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
    const [oldest] = unused.size > MOST_UNUSED ? unused : [];
    if (oldest === undefined) return;
    unused.delete(oldest);
    oldest.destroy();
  });
  server.on('request', ({ socket }) => unused.delete(socket as TLSSocket));
}
