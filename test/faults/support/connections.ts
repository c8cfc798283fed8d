import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';

import type { WebhookProcess } from '../../support/webhook-process.ts';

/** The heap that the chart sets for a limit of 512 MB: without a container Node would see the machine's memory. */
export const HEAP = { NODE_OPTIONS: '--max-old-space-size=307' };

function address({ url }: Pick<WebhookProcess, 'url'>): { host: string; port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
}

function quiet<T extends Socket>(socket: T): T {
  socket.on('error', () => {});
  socket.resume();
  return socket;
}

export const tcp = (webhook: Pick<WebhookProcess, 'url'>): Socket => quiet(connect(address(webhook)));
export const tls = (webhook: Pick<WebhookProcess, 'url'>): TLSSocket =>
  quiet(connectTls({ ...address(webhook), rejectUnauthorized: false }));

/** Opens many connections, a few at a time: the listen queue holds 511. */
export async function many<T extends Socket>(count: number, make: () => T): Promise<T[]> {
  const sockets: T[] = [];
  while (sockets.length < count) {
    const some = Array.from({ length: Math.min(100, count - sockets.length) }, make);
    await Promise.all(
      some.map(
        (socket) =>
          new Promise<void>((resolve) => {
            socket.once('encrypted' in socket ? 'secureConnect' : 'connect', () => resolve());
            socket.once('close', () => resolve());
          }),
      ),
    );
    sockets.push(...some);
  }
  return sockets;
}
