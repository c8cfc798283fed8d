import { createServer, type Socket } from 'node:net';

import type { World } from './world.ts';

/** A request as it came over a raw connection. */
export interface RawRequest {
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The address that was called, of which loopback has many. */
  readonly address: string;
}

export type RawAnswer = (request: RawRequest, socket: Socket) => void;

/** Most bytes of a request's head that are kept. */
const MOST = 64 * 1024;

function parse(head: string): Omit<RawRequest, 'address'> {
  const [first = '', ...lines] = head.split('\r\n');
  const headers = lines.map((line) => [
    line.slice(0, line.indexOf(':')).toLowerCase(),
    line.slice(line.indexOf(':') + 2),
  ]);
  return { path: first.split(' ')[1] ?? '/', headers: Object.fromEntries(headers) };
}

/**
 * Starts a server on all addresses of loopback that writes its answers to the connection itself, right or wrong. Returns its port.
 */
export async function startRawServer(world: Pick<World, 'afterwards'>, answer: RawAnswer): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let text = '';
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString('latin1')).slice(-MOST);
      for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end);
        text = text.slice(end + 4);
        answer({ ...parse(head), address: socket.localAddress ?? '' }, socket);
      }
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '0.0.0.0', resolve);
  });
  world.afterwards(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as { port: number }).port;
}

/** Writes `piece` again and again, as fast as it is taken. */
export function flood(socket: Socket, piece: string | Uint8Array): void {
  const more = (): void => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.on('drain', more);
  more();
}

/** Writes `piece` each `ms` milliseconds. */
export function drip(socket: Socket, piece: string, ms: number): void {
  const timer = setInterval(() => socket.write(piece), ms);
  socket.on('close', () => clearInterval(timer));
}
