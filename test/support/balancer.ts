import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';

/** One address for several servers, like a Service: each new connection goes to the next server that accepts it. */
export interface Balancer {
  readonly port: number;
  /** Sets the servers, `https://host:port` each. Existing connections stay open. */
  set(targets: readonly string[]): void;
  /** Connections that no server accepted. */
  readonly refused: number;
  close(): Promise<void>;
}

export async function startBalancer(host: string): Promise<Balancer> {
  let ports: readonly number[] = [];
  let next = 0;
  let refused = 0;
  const sockets = new Set<Socket>();

  function keep(socket: Socket): void {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
  }

  function connect(client: Socket, triesLeft: number): void {
    const port = ports[next % Math.max(1, ports.length)];
    next += 1;
    if (port === undefined || triesLeft === 0) {
      refused += 1;
      client.destroy();
      return;
    }
    const upstream = createConnection({ host: '127.0.0.1', port });
    keep(upstream);
    let connected = false;
    upstream.on('connect', () => {
      connected = true;
      client.pipe(upstream).pipe(client);
      client.on('close', () => upstream.destroy());
      upstream.on('close', () => client.destroy());
    });
    upstream.on('error', () => {
      if (!connected) connect(client, triesLeft - 1);
    });
  }

  const server = createServer((client) => {
    keep(client);
    connect(client, ports.length);
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    set: (targets) => {
      ports = targets.map((target) => Number(new URL(target).port));
    },
    get refused() {
      return refused;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
