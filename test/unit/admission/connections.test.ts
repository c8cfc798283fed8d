import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer } from 'node:https';
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net';
import { connect } from 'node:tls';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { type Connections, limitConnections } from '../../../src/admission/connections.ts';
import { createCertificate } from '../../support/certificate.ts';

let server: Server;
let connections: Connections;
let closed: number;
let sockets: Socket[];

/** Serves `/review` as a valid review, `/late` after 100 ms, and anything else as neither. */
async function serve(made: Server): Promise<void> {
  sockets = [];
  closed = 0;
  server = made;
  connections = limitConnections(server, () => (closed += 1), { handshakes: 3, strangers: 3, all: 5 });
  server.on('request', ({ url, socket }, response) => {
    response.on('close', () => connections.answered(socket));
    if (!connections.used(socket)) return void socket.destroy();
    if (url === '/review') connections.trust(socket);
    if (url === '/late') setTimeout(() => response.end('late'), 100);
    else response.end('ok');
    return undefined;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
}

afterEach(() => {
  for (const socket of sockets) socket.destroy();
  server.close();
});

const address = () => ({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });

async function opened(socket: Socket, event: string): Promise<Socket> {
  socket.on('error', () => {});
  sockets.push(socket);
  await new Promise<void>((resolve) => {
    socket.once(event, () => resolve());
    socket.once('close', () => resolve());
  });
  return socket;
}

/** Opens a connection; the handshake is over, or it was refused. */
const open = async (): Promise<Socket> =>
  (await opened(connect({ ...address(), rejectUnauthorized: false }), 'secureConnect')).resume();

/** Opens a connection without a handshake. */
const openTcp = async (): Promise<Socket> => (await opened(connectTcp(address()), 'connect')).resume();

/** Sends a request and waits for its answer. */
async function use(socket: Socket, path = '/'): Promise<void> {
  socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
  await new Promise((resolve) => socket.once('data', resolve));
}

const isOpen = (): boolean[] => sockets.map((socket) => !socket.closed);

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));

describe('connections', () => {
  beforeEach(async () => serve(createServer(await createCertificate())));

  it('without a request: the oldest gives way, and is counted', async () => {
    for (let index = 0; index < 5; index += 1) await open();
    await expect.poll(isOpen).toEqual([false, false, true, true, true]);
    expect(closed).toBe(2);
  });

  it('that carried no valid review: the one whose request is longest ago gives way', async () => {
    const [first, second] = [await open(), await open(), await open()];
    await use(second);
    await use(first);
    await open();
    await open();
    await expect.poll(isOpen).toEqual([true, false, false, true, true]);
  });

  it('that carried a valid review stay, however many others come', async () => {
    await use(await open(), '/review');
    for (let index = 0; index < 6; index += 1) await use(await open());
    await expect.poll(isOpen).toEqual([true, false, false, false, true, true, true]);
    await use(sockets[0]!);
  });

  it('that all carried a valid review: the one whose request is longest ago gives way to a new one', async () => {
    for (let index = 0; index < 5; index += 1) await use(await open(), '/review');
    await use(sockets[0]!);
    await use(await open());
    await expect.poll(isOpen).toEqual([true, false, true, true, true, true]);
  });

  it('that are closed make room', async () => {
    for (let index = 0; index < 3; index += 1) await open();
    sockets[0]!.destroy();
    await expect.poll(() => isOpen()[0]).toBe(false);
    await open();
    await pause();
    expect(isOpen()).toEqual([false, true, true, true]);
    expect(closed).toBe(0);
  });

  it('tell requests that do not wait for answers, and no others', async () => {
    const patient = await open();
    for (let index = 0; index < 6; index += 1) await use(patient);
    patient.write('GET /late HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(4));
    const hasty = await open();
    hasty.write('GET /late HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(5));
    await expect.poll(isOpen).toEqual([true, false]);
  });

  it('in the middle of a handshake: the oldest gives way', async () => {
    for (let index = 0; index < 5; index += 1) await openTcp();
    await expect.poll(isOpen).toEqual([false, false, true, true, true]);
    await use(await open());
  });

  it('whose handshake is over do not count as handshakes', async () => {
    for (let index = 0; index < 3; index += 1) await use(await open());
    for (let index = 0; index < 3; index += 1) await openTcp();
    await pause();
    expect(isOpen()).toEqual([true, true, true, true, true, true]);
  });
});

it('connections without TLS are limited alike', async () => {
  await serve(createHttpServer());
  for (let index = 0; index < 4; index += 1) await use(await openTcp());
  await expect.poll(isOpen).toEqual([false, true, true, true]);
});
