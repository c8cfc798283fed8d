import type { IncomingHttpHeaders } from 'node:http';
import type { Server } from 'node:https';
import type { Socket } from 'node:net';

interface ConnectionLimits {
  /** On which no request has come. API servers send one at once, or keep a few that they opened ahead. */
  readonly unused: number;
  /** All of them. Beyond, new ones are dropped: those that API servers hold go on. */
  readonly all: number;
}

/** A connection costs about 65 KB, and twice that once memory is in pieces: these stay within 512 MB. */
const LIMITS: ConnectionLimits = { unused: 2000, all: 3000 };

/**
 * Keeps connections that nobody uses from taking the memory or the place of others: of too many the oldest is closed. Returns
 * what is to be called with the connection of each request.
 */
export function limitConnections(server: Server, limits: ConnectionLimits = LIMITS): (used: Socket) => void {
  // In the order in which they came.
  const unused = new Set<Socket>();
  server.maxConnections = limits.all;
  server.on('secureConnection', (socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
    const [oldest] = unused.size > limits.unused ? unused : [];
    if (oldest === undefined) return;
    unused.delete(oldest);
    oldest.destroy();
  });
  return (used) => void unused.delete(used);
}

/** Bytes of bodies that are read or answered at once: nine of the largest, or 20,000 ordinary Pods. */
const MOST_BYTES = 64 * 1024 * 1024;

/** How many bytes of bodies may be under way: whoever reaches the port could else fill the memory with bodies that never end. */
interface BodyBudget {
  /** The bytes that a request is counted with, by its headers; undefined where there is no room for them. */
  take(headers: IncomingHttpHeaders): number | undefined;
  give(bytes: number): void;
}

/** `largest`: of one body, which is what a body of unknown length counts. */
export function createBodyBudget(largest: number): BodyBudget {
  let taken = 0;
  return {
    take(headers) {
      const announced = headers['transfer-encoding'] === undefined ? Number(headers['content-length'] ?? 0) : largest;
      const bytes = Math.min(largest, announced);
      if (taken + bytes > MOST_BYTES) return undefined;
      taken += bytes;
      return bytes;
    },
    give(bytes) {
      taken -= bytes;
    },
  };
}
