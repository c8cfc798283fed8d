import { createSocket, type Socket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';

import { type Answer, encodeQuery, framed, newId, readAnswer } from '../../util/dns-message.ts';

export interface DnsServer {
  readonly address: string;
  readonly port: number;
}

/** What one question came to. */
export interface Asked {
  /** Absent: there was none. */
  readonly answer?: Answer;
  /** Milliseconds to the answer, or to the failure. */
  readonly ms: number;
  /** Why there is none: `no answer`, or what the network said (`ECONNREFUSED`). */
  readonly why?: string;
}

/**
 * A UDP socket of its own, and so a source port of its own, that takes packets from `server` alone. Rejects where there
 * is no way to it.
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

/** `1.3 ms`, `25 ms`. */
export const shownMs = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

/** Of a wait. */
const PIECES = 8;

/**
 * Calls back after `ms` of waiting, and once what has come in meanwhile was read: a process that was busy or stopped must not take
 * for lost what it has not sent yet, or what waits in its own socket. Standing still, however long, uses up one piece of the wait.
 * Returns what takes it back.
 */
export function whenLate(callback: () => void, ms: number): () => void {
  let left = PIECES;
  let timer: NodeJS.Timeout | undefined;
  const next = (): void => {
    if (left === 0) {
      setImmediate(callback);
      return;
    }
    left -= 1;
    timer = setTimeout(next, ms / PIECES);
  };
  next();
  return () => clearTimeout(timer);
}

/** Asks for A over UDP, once. Never rejects. */
export async function askUdp(server: DnsServer, name: string, timeoutMs: number): Promise<Asked> {
  const started = performance.now();
  const since = (): number => performance.now() - started;
  const { promise, resolve } = Promise.withResolvers<Asked>();
  const stop = whenLate(() => resolve({ ms: since(), why: 'no answer' }), timeoutMs);
  let socket: Socket | undefined;
  try {
    socket = await openUdp(server);
    const query = encodeQuery(newId(), name, 'A');
    socket.on('message', (message) => {
      const answer = readAnswer(message, query);
      if (answer !== undefined) resolve({ answer, ms: since() });
    });
    socket.on('error', (error) => resolve({ ms: since(), why: codeOf(error) }));
    socket.send(query);
    return await promise;
  } catch (error) {
    return { ms: since(), why: codeOf(error) };
  } finally {
    stop();
    socket?.close();
  }
}

/** More than the head of an answer and its question need. */
const MOST = 1024;

/** Asks for A over TCP (RFC 7766), once; the connection is part of the time. Never rejects. */
export function askTcp({ address, port }: DnsServer, name: string, timeoutMs: number): Promise<Asked> {
  const started = performance.now();
  const since = (): number => performance.now() - started;
  const query = encodeQuery(newId(), name, 'A');
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    let received = Buffer.alloc(0);
    let connected = false;
    const settle = (asked: Omit<Asked, 'ms'>): void => {
      stop();
      socket.destroy();
      resolve({ ms: since(), ...asked });
    };
    const stop = whenLate(() => settle({ why: connected ? 'no answer' : 'no connection' }), timeoutMs);
    socket.on('connect', () => {
      connected = true;
      socket.write(framed(query));
    });
    socket.on('error', (error) => settle({ why: codeOf(error) }));
    socket.on('close', () => settle({ why: 'closed without an answer' }));
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk.subarray(0, MOST)]);
      const answer = received.length < 2 + query.length ? undefined : readAnswer(received.subarray(2), query);
      if (answer !== undefined) settle({ answer });
      else if (received.length >= MOST) settle({ why: 'something else than an answer came' });
    });
  });
}
