import { randomInt } from 'node:crypto';
import { connect } from 'node:net';

/** RFC 1035 4.1: header of a query with recursion desired and one question. */
function query(id: number, name: string): Buffer {
  const header = Buffer.from([id >> 8, id & 0xff, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const labels = name
    .split('.')
    .filter(Boolean)
    .flatMap((label) => [Buffer.from([label.length]), Buffer.from(label, 'latin1')]);
  const question = Buffer.concat([...labels, Buffer.from([0, 0, 1, 0, 1])]);
  const message = Buffer.concat([header, question]);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}

/** Whether `data` begins with a response (any RCODE) to the query `id`, in TCP framing (RFC 7766). */
function isResponse(data: Buffer, id: number): boolean {
  return data.length >= 6 && data.readUInt16BE(2) === id && (data.readUInt8(4) & 0x80) !== 0;
}

interface TcpServer {
  readonly address: string;
  /** 53 but in tests. */
  readonly port?: number;
  /** Milliseconds for connection and answer together. */
  readonly timeoutMs: number;
}

/**
 * Whether a DNS server answers over TCP: `use-vc` on a server that drops TCP costs minutes for each look-up, for glibc
 * has no connect timeout. Never rejects.
 */
export function answersOverTcp(server: TcpServer, name: string): Promise<boolean> {
  const id = randomInt(0x1_00_00);
  return new Promise((resolve) => {
    const socket = connect({ host: server.address, port: server.port ?? 53 });
    const timer = setTimeout(() => settle(false), server.timeoutMs);
    let received = Buffer.alloc(0);
    function settle(answered: boolean): void {
      clearTimeout(timer);
      socket.destroy();
      resolve(answered);
    }
    socket.on('connect', () => socket.write(query(id, name)));
    socket.on('error', () => settle(false));
    socket.on('close', () => settle(false));
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk.subarray(0, 64)]);
      if (received.length >= 6) settle(isResponse(received, id));
    });
  });
}

export interface Preflight {
  /** Whether `use-vc` may be given. */
  readonly answered: boolean;
  /** Looks once; resolves when done. One look at a time. */
  look(): Promise<void>;
}

interface PreflightOptions {
  readonly servers: () => readonly TcpServer[];
  /** A name to ask for; any answer counts. */
  readonly name: string;
  /** Called with the first result and with each change. */
  readonly onChange: (answered: boolean) => void;
}

/**
 * To be looked at again and again: a NetworkPolicy or a new DNS deployment may change the answer. One failure is enough to turn `use-vc`
 * off, for given in vain it costs a Pod minutes a look-up, all its life, and not given it costs little; after a failure it
 * takes two good looks in a row to turn it on again, so that a server which answers now and then counts as one that does
 * not. Servers not seen before are judged by the first look.
 */
export function createPreflight({ servers, name, onChange }: PreflightOptions): Preflight {
  let answered: boolean | undefined;
  let last: { readonly servers: string; readonly good: boolean } | undefined;
  const look = async (): Promise<void> => {
    const asked = servers();
    const results = await Promise.all(asked.map((server) => answersOverTcp(server, name)));
    const good = results.length > 0 && results.every(Boolean);
    const key = JSON.stringify(asked.map(({ address, port }) => [address, port]));
    const before = last?.servers === key ? last.good : undefined;
    const now = good && (answered === true || before !== false);
    last = { servers: key, good };
    if (now !== answered) onChange(now);
    answered = now;
  };
  return {
    get answered() {
      return answered === true;
    },
    look,
  };
}
