import { createHash } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

export interface DnsServerOptions {
  /** Milliseconds before each answer. Default 2. */
  readonly delayMs?: number;
  /**
   * `second`: drops the second packet of a source port until an answer has been sent, like the conntrack race. `all` drops
   * everything. A number drops that share of all packets (0 to 1), the same ones in each run.
   */
  readonly lose?: 'second' | 'all' | number;
  /** RCODE of all answers. Default 0. */
  readonly code?: number;
  /** `deaf`: accepts connections and sends nothing. Default: `answer`. */
  readonly tcp?: 'answer' | 'refuse' | 'deaf' | 'garbage';
  /** Answers with a different id than the query's. */
  readonly wrongId?: boolean;
}

export interface TestDnsServer {
  readonly port: number;
  /** Number of UDP packets received. */
  readonly received: () => number;
  readonly close: () => Promise<void>;
}

function answerTo(query: Buffer, { code = 0, wrongId = false }: DnsServerOptions): Buffer {
  const answer = Buffer.from(query);
  if (wrongId) answer.writeUInt16BE((query.readUInt16BE(0) + 7) & 0xffff, 0);
  answer.writeUInt16BE(0x8180 | code, 2);
  answer.writeUInt16BE(code === 0 ? 1 : 0, 6);
  return answer;
}

const isUnlucky = (packet: number, part: number): boolean =>
  createHash('sha256').update(String(packet)).digest().readUInt32BE(0) / 2 ** 32 < part;

function serveTcp(socket: Socket, options: DnsServerOptions): void {
  socket.on('error', () => {});
  if (options.tcp === 'deaf') return;
  if (options.tcp === 'garbage') {
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'.padEnd(2000, 'x'));
    return;
  }
  socket.on('data', (data: Buffer) => {
    const answer = answerTo(data.subarray(2), options);
    // In two pieces, as a network may deliver it.
    socket.write(Buffer.from([answer.length >> 8, answer.length & 0xff, ...answer.subarray(0, 3)]));
    setTimeout(() => socket.write(answer.subarray(3)), 5);
  });
}

interface Sockets {
  readonly udp: UdpSocket;
  readonly tcp: Server;
}

/** Finds a port that is free for both UDP and TCP. */
async function listen(takesTcp: boolean, triesLeft = 20): Promise<Sockets> {
  const udp = createSocket('udp4');
  const tcp = createServer();
  udp.bind(0, '127.0.0.1');
  await once(udp, 'listening');
  if (!takesTcp) return { udp, tcp };
  tcp.listen(udp.address().port, '127.0.0.1');
  try {
    await once(tcp, 'listening');
    return { udp, tcp };
  } catch (error) {
    udp.close();
    if (triesLeft === 0) throw error;
    return await listen(takesTcp, triesLeft - 1);
  }
}

/** Starts a DNS server on loopback, UDP and TCP on one port, that can misbehave on purpose. */
export async function startDnsServer(options: DnsServerOptions = {}): Promise<TestDnsServer> {
  const { delayMs = 2, lose } = options;
  const takesTcp = options.tcp !== 'refuse';
  const { udp, tcp } = await listen(takesTcp);
  const answered = new Set<number>();
  const seen = new Map<number, number>();
  let received = 0;

  function isLost({ port }: RemoteInfo): boolean {
    seen.set(port, (seen.get(port) ?? 0) + 1);
    if (lose === 'all') return true;
    if (lose === 'second') return seen.get(port) === 2 && !answered.has(port);
    return typeof lose === 'number' && isUnlucky(received, lose);
  }

  udp.on('message', (query, from) => {
    received += 1;
    if (isLost(from)) return;
    setTimeout(() => {
      answered.add(from.port);
      udp.send(answerTo(query, options), from.port, from.address, () => {});
    }, delayMs);
  });
  udp.on('error', () => {});
  const sockets = new Set<Socket>();
  tcp.on('connection', (socket) => {
    sockets.add(socket);
    serveTcp(socket, options);
  });
  return {
    port: udp.address().port,
    received: () => received,
    close: async () => {
      udp.close();
      for (const socket of sockets) socket.destroy();
      if (takesTcp) await new Promise<void>((resolve) => tcp.close(() => resolve()));
    },
  };
}
