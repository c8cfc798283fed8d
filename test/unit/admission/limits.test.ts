import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { limitConnections } from '../../../src/admission/limits.ts';
import { createCertificate } from '../../support/certificate.ts';

let server: Server;
let sockets: TLSSocket[];

beforeEach(async () => {
  sockets = [];
  server = createServer(await createCertificate(), ({ socket }, response) => {
    used(socket);
    response.end('ok');
  });
  const used = limitConnections(server, { unused: 3, all: 6 });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterEach(() => {
  for (const socket of sockets) socket.destroy();
  server.close();
});

/** A connection; the handshake is over, or it was refused. */
async function open(): Promise<TLSSocket> {
  const { port } = server.address() as AddressInfo;
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  socket.on('error', () => {});
  sockets.push(socket);
  await new Promise<void>((resolve) => {
    socket.once('secureConnect', () => resolve());
    socket.once('close', () => resolve());
  });
  return socket;
}

/** Sends a request and waits for its answer. */
async function use(socket: TLSSocket): Promise<void> {
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  await new Promise((resolve) => socket.once('data', resolve));
  socket.resume();
}

const isOpen = (): boolean[] => sockets.map((socket) => !socket.closed);

describe('connections', () => {
  it('that nobody uses: of too many the oldest is closed', async () => {
    for (let index = 0; index < 5; index += 1) (await open()).resume();
    await expect.poll(isOpen).toEqual([false, false, true, true, true]);
  });

  it('on which a request has come stay, however many come after', async () => {
    await use(await open());
    for (let index = 0; index < 5; index += 1) (await open()).resume();
    await expect.poll(isOpen).toEqual([true, false, false, true, true, true]);
    await use(sockets[0]!);
  });

  it('that are closed make room', async () => {
    for (let index = 0; index < 3; index += 1) (await open()).resume();
    sockets[0]!.destroy();
    await expect.poll(() => isOpen()[0]).toBe(false);
    (await open()).resume();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(isOpen()).toEqual([false, true, true, true]);
  });

  it('in use are limited too: new ones are dropped, old ones go on', async () => {
    for (let index = 0; index < 6; index += 1) await use(await open());
    (await open()).resume();
    await expect.poll(() => isOpen()[6]).toBe(false);
    await use(sockets[0]!);
  });
});
