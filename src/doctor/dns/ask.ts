import { randomInt } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';

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

interface Answer {
  /** `NOERROR`, `NXDOMAIN`, …; the number if it has no name. */
  readonly code: string;
  /** Number of records in the answer section, from the header. */
  readonly answers: number;
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
  const framed = Buffer.concat([Buffer.from([query.length >> 8, query.length & 0xff]), query]);
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
      socket.write(framed);
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

/** Record types (RFC 1035 section 3.2.2, RFC 3596). */
const TYPES = { A: 1, AAAA: 28 } as const;

export type RecordType = keyof typeof TYPES;

/** Names of RCODEs by number (RFC 1035 section 4.1.1, RFC 2136). */
const CODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'] as const;

const HEADER = 12;

export const newId = (): number => randomInt(0x1_00_00);

/** Encodes a query for an ASCII name with recursion desired and without EDNS, as libc's resolvers send it. `id` has 16 bits. */
export function encodeQuery(id: number, name: string, type: RecordType): Buffer {
  const labels = name.split('.').filter(Boolean);
  const header = Buffer.from([id >> 8, id & 0xff, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const question = labels.flatMap((label) => [
    Buffer.from([Math.min(label.length, 63)]),
    Buffer.from(label.slice(0, 63)),
  ]);
  return Buffer.concat([header, ...question, Buffer.from([0, 0, TYPES[type], 0, 1])]);
}

/** Reads the answer to `query`. Returns undefined for any other message: the question must be repeated (RFC 5452 section 9.1). */
export function readAnswer(message: Buffer, query: Buffer): Answer | undefined {
  if (message.length < query.length || message.readUInt16BE(0) !== query.readUInt16BE(0)) return undefined;
  const flags = message.readUInt16BE(2);
  if ((flags & 0x8000) === 0 || message.readUInt16BE(4) !== 1) return undefined;
  const question = query.subarray(HEADER).toString('latin1').toLowerCase();
  if (message.subarray(HEADER, query.length).toString('latin1').toLowerCase() !== question) return undefined;
  const code = flags & 0xf;
  return { code: CODES[code] ?? String(code), answers: message.readUInt16BE(6) };
}
