import { randomInt } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';

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

export const newId = (): number => randomInt(0x1_00_00);

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
  const framed = Buffer.concat([Buffer.from([query.length >> 8, query.length & 0xff]), query]);
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
      socket.write(framed);
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

/** As much of DNS (RFC 1035 section 4) as a question for an address and the head of its answer need. */

const TYPES = { A: 1, AAAA: 28 } as const;

export type RecordType = keyof typeof TYPES;

/** RFC 1035 4.1.1 and RFC 2136 names of RCODEs. */
const CODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'] as const;

interface Answer {
  /** `NOERROR`, `NXDOMAIN`, …, or its number. */
  readonly code: string;
  /** Records in the answer section, as its head says. */
  readonly answers: number;
}

const HEADER = 12;

/** A query with recursion desired for an ASCII name, without EDNS, as libc's resolvers send it. `id`: 16 bits. */
export function encodeQuery(id: number, name: string, type: RecordType): Buffer {
  const labels = name.split('.').filter(Boolean);
  const header = Buffer.from([id >> 8, id & 0xff, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const question = labels.flatMap((label) => [
    Buffer.from([Math.min(label.length, 63)]),
    Buffer.from(label.slice(0, 63)),
  ]);
  return Buffer.concat([header, ...question, Buffer.from([0, 0, TYPES[type], 0, 1])]);
}

/** Reads the answer to `query`; undefined for anything else. The question has to come back as it went (RFC 5452 section 9.1). */
export function readAnswer(message: Buffer, query: Buffer): Answer | undefined {
  if (message.length < query.length || message.readUInt16BE(0) !== query.readUInt16BE(0)) return undefined;
  const flags = message.readUInt16BE(2);
  if ((flags & 0x8000) === 0 || message.readUInt16BE(4) !== 1) return undefined;
  const asked = query.subarray(HEADER).toString('latin1').toLowerCase();
  if (message.subarray(HEADER, query.length).toString('latin1').toLowerCase() !== asked) return undefined;
  const code = flags & 0xf;
  return { code: CODES[code] ?? String(code), answers: message.readUInt16BE(6) };
}
