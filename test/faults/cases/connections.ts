import { Agent } from 'node:https';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';

import { fixture } from '../../support/reviews.ts';
import type { WebhookProcess } from '../../support/webhook-process.ts';
import { keep, type Fault } from '../fault.ts';
import { answers, held, pidOf, seconds, until } from '../support/measure.ts';

const REVIEW = JSON.stringify(fixture('plain'));
/** The heap that the chart sets for a limit of 512 MB. */
const HEAP = { NODE_OPTIONS: '--max-old-space-size=307' };

const HEAD = 'POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n';

/** A request may take 100 s, like an idle connection; the server looks for slower ones every 10 s. */
const MOST_REQUEST_MS = 125_000;

function address({ url }: WebhookProcess): { host: string; port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
}

function quiet<T extends Socket>(socket: T): T {
  socket.on('error', () => {});
  socket.resume();
  return socket;
}

const tcp = (webhook: WebhookProcess): Socket => quiet(connect(address(webhook)));
const tls = (webhook: WebhookProcess): TLSSocket =>
  quiet(connectTls({ ...address(webhook), rejectUnauthorized: false }));

const open = (sockets: readonly Socket[]): number => sockets.filter((socket) => !socket.closed).length;

/** Opens many connections, a few at a time: the listen queue holds 511. */
async function many<T extends Socket>(count: number, make: () => T): Promise<T[]> {
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

function trickle(socket: Socket, text: string): void {
  let at = 0;
  const timer = setInterval(() => {
    if (socket.destroyed || at >= text.length) clearInterval(timer);
    else socket.write(text[at] ?? '');
    at += 1;
  }, 1000);
}

const slowLoris: Fault = {
  id: 'slow-loris',
  name: '400 callers that send a byte a second',
  promise: 'others are answered; a request has 100 s, then its connection is closed',
  waits: true,
  async run(world) {
    const webhook = await world.webhook();
    const sockets = await many(400, () => tls(webhook));
    world.afterwards(() => sockets.forEach((socket) => socket.destroy()));
    const started = performance.now();
    sockets.forEach((socket, index) => {
      if (index % 2 === 0) return trickle(socket, HEAD);
      socket.write(`${HEAD}\r\n`);
      return trickle(socket, REVIEW);
    });
    await sleep(2000);
    const times = await answers(webhook, REVIEW, 100);
    await until(
      () => open(sockets),
      (left) => left === 0,
      { ms: MOST_REQUEST_MS, what: 'connections left' },
    );
    const gone = seconds(performance.now() - started);
    return `100 others answered, p99 ${times.percentile(0.99)} ms; all 400 closed after ${gone}`;
  },
};

const silent: Fault = {
  id: 'half-open',
  name: '600 callers that fall silent: after TCP, after TLS, in mid-request',
  promise:
    'others are answered; closed after 10 s without a handshake, after 100 s in mid-request, not before 90 s where an API server may have opened one ahead',
  waits: true,
  async run(world) {
    const webhook = await world.webhook();
    const [bare, handshaken, middle] = [
      await many(200, () => tcp(webhook)),
      await many(200, () => tls(webhook)),
      await many(200, () => tls(webhook)),
    ];
    world.afterwards(() => [...bare, ...handshaken, ...middle].forEach((socket) => socket.destroy()));
    for (const socket of middle) socket.write(`${HEAD}\r\n{"apiVersion":`);
    const started = performance.now();
    const times = await answers(webhook, REVIEW, 100);
    const gone = async (sockets: readonly Socket[], what: string): Promise<number> => {
      await until(
        () => open(sockets),
        (left) => left === 0,
        { ms: MOST_REQUEST_MS, what: `connections left ${what}` },
      );
      return (performance.now() - started) / 1000;
    };
    const [noHandshake, cut, unused] = await Promise.all([
      gone(bare, 'without a handshake'),
      gone(middle, 'in mid-request'),
      gone(handshaken, 'after a handshake'),
    ]);
    const seen = `100 others answered, p99 ${times.percentile(0.99)} ms; closed after ${noHandshake.toFixed(0)} s, ${cut.toFixed(0)} s, ${unused.toFixed(0)} s`;
    keep(unused > 90, seen);
    return seen;
  },
};

const idle: Fault = {
  id: 'idle-connections',
  name: '5,000 idle connections, three times',
  promise:
    'others are answered, old connections and new ones; at most 2,000 that nobody uses stay open; memory under the limit of 512 MB',
  async run(world) {
    const webhook = await world.webhook({ environment: HEAP });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const status = async (): Promise<number> => (await webhook.post(REVIEW, { agent })).status;
    await status();
    const memory = [(await held(pidOf(webhook))).memory];
    const times: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      const sockets = await many(5000, () => tls(webhook));
      world.afterwards(() => sockets.forEach((socket) => socket.destroy()));
      memory.push((await held(pidOf(webhook))).memory);
      times.push((await answers(webhook, REVIEW, 50)).percentile(0.99));
      keep((await status()) === 200, 'a connection that was there is not answered');
      await until(
        () => open(sockets),
        (left) => left > 1900 && left <= 2000,
        { what: 'connections open' },
      );
      for (const socket of sockets) socket.destroy();
    }
    agent.destroy();
    const after = await until(
      () => held(pidOf(webhook)),
      ({ sockets }) => sockets < 20,
    );
    const seen = `50 others answered each time, p99 ${times.join(', ')} ms; memory ${memory.join(', ')} MB; ${after.sockets} sockets left`;
    keep(Math.max(...memory) < 512, seen);
    return seen;
  },
};

const GARBAGE: readonly ((index: number) => Buffer)[] = [
  () => Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n'),
  () => Buffer.from([0x80, 0x2e, 0x01, 0x00, 0x02]),
  () => Buffer.from([0x16, 0x03, 0x01, 0xff, 0xff, 0x01]),
  () => Buffer.concat([Buffer.from([0x16, 0x03, 0x01, 0x00, 0x10, 0x01, 0x00, 0x00, 0x0c]), Buffer.alloc(500, 0x41)]),
  (index) => Buffer.alloc(100 + index, index % 256),
  () => Buffer.alloc(0),
];

const garbage: Fault = {
  id: 'tls-garbage',
  name: '3,000 connections with garbage in place of TLS',
  promise: 'others are answered, nothing is logged, nothing stays',
  alsoIn: 'test/server/strange-input.test.ts',
  async run(world) {
    const webhook = await world.webhook();
    const before = await held(pidOf(webhook));
    const lines = webhook.lines.length;
    for (let round = 0; round < 30; round += 1) {
      const sockets = await many(100, () => tcp(webhook));
      sockets.forEach((socket, index) => socket.end(GARBAGE[index % GARBAGE.length]?.(round) ?? ''));
    }
    const times = await answers(webhook, REVIEW, 100);
    const after = await until(
      () => held(pidOf(webhook)),
      ({ sockets }) => sockets < before.sockets + 10,
    );
    const logged = webhook.lines.length - lines - 100;
    const seen = `100 others answered, p99 ${times.percentile(0.99)} ms; ${Math.max(0, logged)} lines, sockets ${before.sockets} and ${after.sockets}, memory ${before.memory} and ${after.memory} MB`;
    keep(logged <= 0, seen);
    return seen;
  },
};

export const connectionFaults: readonly Fault[] = [slowLoris, silent, idle, garbage];
