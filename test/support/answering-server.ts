import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

/** A request with its body. */
export interface Asked {
  readonly method: string;
  /** Host header, path and query. */
  readonly url: URL;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON unless it is a string or bytes. */
  readonly body?: unknown;
}

export interface AnsweringServer {
  /** `http://127.0.0.1:port`. */
  readonly url: string;
  readonly asked: Asked[];
  readonly close: () => Promise<void>;
}

interface AnsweringOptions {
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly port?: number;
}

/** Starts a server on loopback that sends what `answer` returns; for `hang` it sends nothing. Rejects if the port is in use. */
export async function startAnswering(
  answer: (asked: Asked) => Reply | 'hang' | Promise<Reply | 'hang'>,
  { tls, port = 0 }: AnsweringOptions = {},
): Promise<AnsweringServer> {
  const asked: Asked[] = [];
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? '', `http://${request.headers.host}`);
    const one = {
      method: request.method ?? '',
      url,
      headers: request.headers,
      body: Buffer.concat(chunks).toString('utf8'),
    };
    asked.push(one);
    const reply = await answer(one);
    if (reply === 'hang') return;
    const { status = 200, headers = { 'content-type': 'application/json' }, body = '' } = reply;
    const bytes = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
    response.writeHead(status, headers).end(bytes);
  };
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    handle(request, response).catch(() => request.socket.destroy());
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  // Also idle connections: Go opens some in advance and keeps them for 90 s.
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    async close() {
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
