import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, isIPv6, type Socket } from 'node:net';
import { answerTo } from './message.ts';

/**
 * A DNS server over UDP and TCP on port 53 that answers after a delay: `node server.ts ADDRESS=MILLISECONDS...`. Prints `ready`
 * when it listens on all addresses.
 */

async function serveUdp(address: string, delayMs: number): Promise<void> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  socket.on('message', (query, from) => {
    const answer = answerTo(query);
    if (answer !== undefined) setTimeout(() => socket.send(answer, from.port, from.address), delayMs);
  });
  socket.bind(53, address);
  await once(socket, 'listening');
}

function converse(socket: Socket, delayMs: number): void {
  let received: Buffer = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0);
      const answer = answerTo(received.subarray(2, end));
      received = received.subarray(end);
      if (answer === undefined) continue;
      const framed = Buffer.concat([Buffer.from([answer.length >> 8, answer.length & 0xff]), answer]);
      setTimeout(() => socket.writable && socket.write(framed), delayMs);
    }
  });
}

async function serveTcp(address: string, delayMs: number): Promise<void> {
  const server = createServer((socket) => converse(socket, delayMs));
  server.listen(53, address);
  await once(server, 'listening');
}

const listeners = process.argv.slice(2).map((argument) => argument.split('='));
await Promise.all(
  listeners.flatMap(([address = '', delay]) => [serveUdp(address, Number(delay)), serveTcp(address, Number(delay))]),
);
console.log('ready');
