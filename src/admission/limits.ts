import type { IncomingHttpHeaders } from 'node:http';
import type { Server } from 'node:https';
import type { Socket } from 'node:net';

interface ConnectionLimits {
  /** Connections without a request so far. API servers send one at once, or keep a few connections that they opened ahead. */
  readonly unused: number;
  /** All connections. Beyond this, new ones are dropped and the ones that API servers hold go on. */
  readonly all: number;
}

/** A connection costs about 65 KB, and twice that with fragmented memory: these limits stay within 512 MB. */
const LIMITS: ConnectionLimits = { unused: 2000, all: 3000 };

/**
 * Closes the oldest unused connection when there are too many, so that unused ones take neither the memory nor the place of others.
 * Call the returned function with the connection of each request.
 */
export function limitConnections(server: Server, limits: ConnectionLimits = LIMITS): (used: Socket) => void {
  // A Set keeps the order of arrival.
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

/** Bytes of bodies under way at once: nine of the largest, or 20,000 ordinary Pods. */
const MOST_BYTES = 64 * 1024 * 1024;

/** Limits the bytes of bodies under way. Otherwise any caller could fill the memory with bodies that never end. */
interface BodyBudget {
  /** Returns the bytes that a request counts for, by its headers; undefined if there is no room for them. */
  take(headers: IncomingHttpHeaders): number | undefined;
  /** Returns what {@link take} gave. */
  give(bytes: number): void;
}

/** `largest`: bytes of the largest body. A body of unknown length counts for as many. */
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
