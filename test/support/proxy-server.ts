import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import type { TestCertificate } from './certificate.ts';

/** How the proxy mishandles a CONNECT. */
export type ProxyFault =
  | { readonly kind: 'hang' }
  | { readonly kind: 'reset' }
  /** Sends these bytes instead of a response, then closes the connection unless `stay` is true. */
  | { readonly kind: 'raw'; readonly bytes: string; readonly stay?: boolean }
  /** Accepts data from the client and sends nothing back. */
  | { readonly kind: 'silent-tunnel' }
  /** Closes the tunnel after it has sent so many bytes back. */
  | { readonly kind: 'die-after'; readonly bytes: number }
  /** Stalls the tunnel after it has sent so many bytes back. */
  | { readonly kind: 'stall-after'; readonly bytes: number };

export interface ProxyServerOptions {
  /** Targets by name, such as `registry.example:443` to `127.0.0.1:port`, in place of DNS. Other names get a 502. */
  readonly hosts?: Readonly<Record<string, string>>;
  /** `user:password`. Without it the proxy answers 407. */
  readonly login?: string;
  readonly tls?: TestCertificate;
  readonly fault?: (target: string, count: number) => ProxyFault | undefined;
}

export interface TestProxy {
  /** With scheme and port. */
  readonly url: string;
  /** All CONNECT requests, in order. */
  readonly asked: { readonly target: string; readonly headers: IncomingMessage['headers'] }[];
  /** All other requests. */
  readonly others: string[];
  /** Number of open client connections. */
  readonly open: () => number;
  /** The most that were open at once. */
  readonly mostAtOnce: () => number;
  /** Closes all connections. */
  cut(): void;
  readonly close: () => Promise<void>;
}

/** Joins the two ends of a tunnel. Calls `then` after `most` bytes have been sent back. */
function join(client: Duplex, server: Socket, most: number, then: () => void): void {
  let passed = 0;
  client.on('data', (chunk: Buffer) => server.write(chunk));
  server.on('data', (chunk: Buffer) => {
    const left = Math.max(0, most - passed);
    passed += chunk.length;
    if (left > 0) client.write(chunk.subarray(0, left));
    if (passed >= most) then();
  });
  client.on('close', () => server.destroy());
  server.on('close', () => client.destroy());
}

function tunnel(client: Duplex, address: string, fault: ProxyFault | undefined, ends: Set<Duplex>): void {
  const [host = '', port = ''] = address.split(':');
  const server = connect(Number(port), host);
  ends.add(server);
  server.on('close', () => ends.delete(server)).on('error', () => client.destroy());
  server.on('connect', () => {
    client.write('HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n');
    if (fault?.kind === 'die-after') join(client, server, fault.bytes, () => client.destroy());
    else if (fault?.kind === 'stall-after') join(client, server, fault.bytes, () => {});
    else join(client, server, Infinity, () => {});
  });
}

function misbehave(client: Duplex, fault: ProxyFault | undefined): boolean {
  if (fault?.kind === 'reset') client.destroy();
  if (fault?.kind === 'raw') client.write(fault.bytes, () => fault.stay === true || client.end());
  if (fault?.kind === 'silent-tunnel') client.write('HTTP/1.1 200 OK\r\n\r\n');
  const ours = fault !== undefined && !['die-after', 'stall-after'].includes(fault.kind);
  // Without reading, the end of the stream is not noticed.
  if (ours) client.resume();
  return ours;
}

/** Starts a proxy on loopback that accepts only CONNECT and can misbehave on purpose. */
export async function startProxy(options: ProxyServerOptions = {}): Promise<TestProxy> {
  const { hosts = {}, login, tls, fault } = options;
  const asked: TestProxy['asked'] = [];
  const others: string[] = [];
  const clients = new Set<Duplex>();
  const ends = new Set<Duplex>();
  let most = 0;
  const server = tls === undefined ? createServer() : createTlsServer(tls);
  server.on('request', (request, response) => {
    others.push(`${request.method} ${request.url}`);
    response.writeHead(501).end();
  });
  server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    clients.add(socket);
    most = Math.max(most, clients.size);
    socket.on('close', () => clients.delete(socket)).on('error', () => {});
  });
  server.on('connect', ({ url = '', headers }: IncomingMessage, client: Duplex) => {
    asked.push({ target: url, headers });
    // Node's HTTP server keeps its half open until it is told to end.
    client.on('error', () => {}).on('end', () => client.end());
    const what = fault?.(url, asked.length);
    if (misbehave(client, what)) return;
    const given = Buffer.from((headers['proxy-authorization'] ?? '').replace(/^Basic /, ''), 'base64').toString();
    const address = hosts[url];
    if (login !== undefined && given !== login) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="test"\r\n\r\n');
    } else if (address === undefined) client.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n');
    else tunnel(client, address, what, ends);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const cut = (): void => {
    for (const socket of [...clients, ...ends]) socket.destroy();
  };
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    others,
    open: () => clients.size,
    mostAtOnce: () => most,
    cut,
    async close() {
      cut();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
