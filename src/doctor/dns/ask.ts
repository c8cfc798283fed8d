import { createSocket, type Socket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';

import { type Answer, encodeQuery, framed, newId, readAnswer } from '../../util/dns-message.ts';

export interface DnsServer {
  readonly address: string;
  readonly port: number;
}

/** The result of one query. */
export interface QueryResult {
  /** undefined if none came. */
  readonly answer?: Answer;
  /** Milliseconds to the answer, or to the failure. */
  readonly ms: number;
  /** Why there is no answer: `no answer`, or the network's error code (`ECONNREFUSED`). */
  readonly error?: string;
}

/** Sends one A query over UDP. Never rejects. */
export async function askUdp(server: DnsServer, name: string, timeoutMs: number): Promise<QueryResult> {
  const started = performance.now();
  const since = (): number => performance.now() - started;
  const { promise, resolve } = Promise.withResolvers<QueryResult>();
  const stop = whenLate(() => resolve({ ms: since(), error: 'no answer' }), timeoutMs);
  let socket: Socket | undefined;
  try {
    socket = await openUdp(server);
    const query = encodeQuery(newId(), name, 'A');
    socket.on('message', (message) => {
      const answer = readAnswer(message, query);
      if (answer !== undefined) resolve({ answer, ms: since() });
    });
    socket.on('error', (error) => resolve({ ms: since(), error: codeOf(error) }));
    socket.send(query);
    return await promise;
  } catch (error) {
    return { ms: since(), error: codeOf(error) };
  } finally {
    stop();
    socket?.close();
  }
}

/** Bytes: more than the header of an answer and its question take. */
const MOST_BYTES = 1024;

/** Sends one A query over TCP (RFC 7766). The timeout includes the connection. Never rejects. */
export function askTcp({ address, port }: DnsServer, name: string, timeoutMs: number): Promise<QueryResult> {
  const started = performance.now();
  const since = (): number => performance.now() - started;
  const query = encodeQuery(newId(), name, 'A');
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    let received = Buffer.alloc(0);
    let connected = false;
    const settle = (result: Omit<QueryResult, 'ms'>): void => {
      stop();
      socket.destroy();
      resolve({ ms: since(), ...result });
    };
    const stop = whenLate(() => settle({ error: connected ? 'no answer' : 'no connection' }), timeoutMs);
    socket.on('connect', () => {
      connected = true;
      socket.write(framed(query));
    });
    socket.on('error', (error) => settle({ error: codeOf(error) }));
    socket.on('close', () => settle({ error: 'closed without an answer' }));
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk.subarray(0, MOST_BYTES)]);
      const answer = received.length < 2 + query.length ? undefined : readAnswer(received.subarray(2), query);
      if (answer !== undefined) settle({ answer });
      else if (received.length >= MOST_BYTES) settle({ error: 'something else than an answer came' });
    });
  });
}

/**
 * Opens a new UDP socket, and with it a new source port, that receives packets only from `server`. Rejects if there is no
 * route to the server.
 */
export async function openUdp({ address, port }: DnsServer): Promise<Socket> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  socket.once('error', reject);
  socket.connect(port, address, () => {
    socket.off('error', reject);
    resolve(socket);
  });
  return await promise.catch((error: unknown) => {
    socket.close();
    throw error;
  });
}

/** Formats milliseconds: `1.3 ms`, `25 ms`. */
export const shownMs = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

const TIMER_STEPS = 8;

/**
 * Calls back after `ms`, once pending input has been read. A process that was busy or stopped must not count packets as lost
 * that it has not sent yet or that wait in its socket: the wait is cut into steps, and a pause of any length uses up only one.
 * Returns a function that cancels the call.
 */
export function whenLate(callback: () => void, ms: number): () => void {
  let left = TIMER_STEPS;
  let timer: NodeJS.Timeout | undefined;
  const next = (): void => {
    if (left === 0) {
      setImmediate(callback);
      return;
    }
    left -= 1;
    timer = setTimeout(next, ms / TIMER_STEPS);
  };
  next();
  return () => clearTimeout(timer);
}
