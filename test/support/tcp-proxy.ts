import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';

/** `pass` forwards bytes, `refuse` closes connections at once, `hang` forwards nothing; a number delays each chunk by so many ms. */
type ProxyMode = 'pass' | 'refuse' | 'hang' | number;

export interface TcpProxy {
  readonly url: string;
  readonly port: number;
  /** Applies to existing connections, too. */
  set(mode: ProxyMode): void;
  /** Closes all connections. */
  cut(): void;
  close(): Promise<void>;
}

/** Starts a proxy on loopback between a client and a server that can misbehave on purpose. */
export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let mode: ProxyMode = 'pass';

  function forward(from: Socket, to: Socket): void {
    const held: Buffer[] = [];
    const flush = (): void => {
      if (mode === 'hang') return;
      for (const chunk of held.splice(0)) if (to.writable) to.write(chunk);
    };
    const timer = setInterval(() => typeof mode !== 'number' && flush(), 20);
    from.on('data', (chunk: Buffer) => {
      held.push(chunk);
      if (typeof mode === 'number') setTimeout(flush, mode);
      else flush();
    });
    from.on('close', () => {
      clearInterval(timer);
      to.destroy();
    });
    from.on('error', () => {});
  }

  const server = createServer((client) => {
    if (mode === 'refuse') {
      client.destroy();
      return;
    }
    const upstream = createConnection({ host: hostname, port: Number(port) });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    }
    forward(client, upstream);
    forward(upstream, client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: own } = server.address() as AddressInfo;
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `https://127.0.0.1:${own}`,
    port: own,
    set(next) {
      mode = next;
      if (next === 'refuse') cut();
    },
    cut,
    close: async () => {
      cut();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
