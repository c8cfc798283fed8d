import { connect } from 'node:net';

import { encodeQuery, framed, isResponse, newId } from '../util/dns-message.ts';

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
  const query = encodeQuery(newId(), name, 'A');
  return new Promise((resolve) => {
    const socket = connect({ host: server.address, port: server.port ?? 53 });
    const timer = setTimeout(() => settle(false), server.timeoutMs);
    let received = Buffer.alloc(0);
    function settle(answered: boolean): void {
      clearTimeout(timer);
      socket.destroy();
      resolve(answered);
    }
    socket.on('connect', () => socket.write(framed(query)));
    socket.on('error', () => settle(false));
    socket.on('close', () => settle(false));
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk.subarray(0, 64)]);
      if (received.length >= 6) settle(isResponse(received.subarray(2), query));
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
