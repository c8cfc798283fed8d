import { connect } from 'node:net';

import { encodeQuery, framed, isResponse, newId } from '../util/dns-message.ts';

interface TcpServer {
  readonly address: string;
  /** 53, except in tests. */
  readonly port?: number;
  /** Milliseconds for connection and answer together. */
  readonly timeoutMs: number;
}

/**
 * Resolves to whether a DNS server answers over TCP. With `use-vc` and a server that drops TCP each look-up takes minutes,
 * for glibc has no connect timeout. Never rejects.
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
  /** Asks all servers once. One check at a time. */
  check(): Promise<void>;
}

interface PreflightOptions {
  readonly servers: () => readonly TcpServer[];
  /** The name to ask for; any answer counts. */
  readonly name: string;
  /** Called with the first result and with each change. */
  readonly onChange: (answered: boolean) => void;
}

/**
 * Decides whether `use-vc` may be given; call `check` regularly, for a NetworkPolicy or a new DNS deployment may change the
 * answer. One failed check turns `use-vc` off: given wrongly, it costs a Pod minutes a look-up for its whole life; not
 * given, it costs little. After a failure two successful checks in a row turn it on again, so that a server which answers
 * only now and then counts as failing. For new servers the first check decides.
 */
export function createPreflight({ servers, name, onChange }: PreflightOptions): Preflight {
  let answered: boolean | undefined;
  let last: { readonly servers: string; readonly allAnswered: boolean } | undefined;
  const check = async (): Promise<void> => {
    const asked = servers();
    const results = await Promise.all(asked.map((server) => answersOverTcp(server, name)));
    const allAnswered = results.length > 0 && results.every(Boolean);
    const key = JSON.stringify(asked.map(({ address, port }) => [address, port]));
    const before = last?.servers === key ? last.allAnswered : undefined;
    const now = allAnswered && (answered === true || before !== false);
    last = { servers: key, allAnswered };
    if (now !== answered) onChange(now);
    answered = now;
  };
  return {
    get answered() {
      return answered === true;
    },
    check,
  };
}
