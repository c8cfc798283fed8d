import type { Server } from 'node:http';
import type { Socket } from 'node:net';

interface ConnectionLimits {
  /** TLS handshakes under way. Each is work for the processor. */
  readonly handshakes: number;
  /** Connections that have not carried a valid review. */
  readonly strangers: number;
  /** All connections. */
  readonly all: number;
}

/** A connection costs 65 KB, and twice that with fragmented memory: these stay within 512 MB together with the largest bodies. */
const LIMITS: ConnectionLimits = { handshakes: 500, strangers: 1000, all: 2000 };

/**
 * Requests of one connection without an answer. Callers wait for the answer before they send the next request (all but those that use
 * HTTP pipelining), but that may come before we hear that the answer has been sent.
 */
const MOST_UNANSWERED = 4;

interface Connection {
  /** Whether it has carried a valid review, as connections of API servers have. */
  isTrusted: boolean;
  /** The number of its last request among all; that of the connection before there is one. */
  lastUsed: number;
  unanswered: number;
}

/** The connections of a server. */
export interface Connections {
  /** Notes a request. Returns false if too many on the same connection have not been answered. */
  used(socket: Socket): boolean;
  /** Notes that a request has been answered. */
  answered(socket: Socket): void;
  /** Notes that the connection has carried a valid review. */
  trust(socket: Socket): void;
  readonly isTrusted: (socket: Socket) => boolean;
}

/** Both know it of a connection: a TLS socket does not tell which TCP socket it was made of. */
const keyOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

/** Closes the handshake that has been under way longest if there are too many. */
function limitHandshakes(server: Server, most: number): void {
  const underWay = new Map<string, Socket>();
  server.on('connection', (socket: Socket) => {
    const key = keyOf(socket);
    underWay.set(key, socket);
    socket.once('close', () => underWay.delete(key));
    const [oldest] = underWay.size > most ? underWay : [];
    if (oldest === undefined) return;
    underWay.delete(oldest[0]);
    oldest[1].destroy();
  });
  server.on('secureConnection', (socket: Socket) => underWay.delete(keyOf(socket)));
}

/**
 * Closes a connection whenever a new one is one too many: a stranger's before one that carried a valid review, and of these the one
 * whose last request is longest ago. A new connection always finds room. `onClosed` is called for each that is closed.
 */
export function limitConnections(server: Server, onClosed: () => void, limits: ConnectionLimits = LIMITS): Connections {
  const open = new Map<Socket, Connection>();
  let [uses, strangers] = [0, 0];
  const forget = (socket: Socket): void => {
    if (open.get(socket)?.isTrusted === false) strangers -= 1;
    open.delete(socket);
  };
  /** Looks at all of them, because an order would have to be kept with each request. */
  const giveWay = (): void => {
    const trustedGo = strangers <= 1;
    let [longest, least]: [Socket | undefined, number] = [undefined, Infinity];
    for (const [socket, { isTrusted, lastUsed }] of open) {
      if (isTrusted === trustedGo && lastUsed < least) [longest, least] = [socket, lastUsed];
    }
    if (longest === undefined) return;
    forget(longest);
    longest.destroy();
    onClosed();
  };
  const isTls = 'setSecureContext' in server;
  if (isTls) limitHandshakes(server, limits.handshakes);
  server.on(isTls ? 'secureConnection' : 'connection', (socket: Socket) => {
    open.set(socket, { isTrusted: false, lastUsed: (uses += 1), unanswered: 0 });
    strangers += 1;
    socket.once('close', () => forget(socket));
    if (strangers > limits.strangers || open.size > limits.all) giveWay();
  });
  return {
    used(socket) {
      const connection = open.get(socket);
      // It had to give way before.
      if (connection === undefined) return false;
      connection.lastUsed = uses += 1;
      connection.unanswered += 1;
      return connection.unanswered <= MOST_UNANSWERED;
    },
    answered(socket) {
      const connection = open.get(socket);
      if (connection !== undefined) connection.unanswered -= 1;
    },
    trust(socket) {
      const connection = open.get(socket);
      if (connection === undefined || connection.isTrusted) return;
      connection.isTrusted = true;
      strangers -= 1;
    },
    isTrusted: (socket) => open.get(socket)?.isTrusted === true,
  };
}
