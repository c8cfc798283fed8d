import { Agent } from 'node:https';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { fixture } from '../../support/reviews.ts';
import { keep, type Fault } from '../fault.ts';
import { HEAP, many, tcp, tls } from '../support/connections.ts';
import { answers, held, pidOf, seconds, until } from '../support/measure.ts';

const REVIEW = JSON.stringify(fixture('plain'));
const HEAD = 'POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n';

/** A body may take 5 s. Others are answered first. */
const MOST_BODY_MS = 60_000;

/** Headers may take 100 s, like an idle connection; the server looks for slower ones every 10 s. */
const MOST_REQUEST_MS = 125_000;

const open = (sockets: readonly Socket[]): number => sockets.filter((socket) => !socket.closed).length;

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
  promise: 'others are answered; a body has 5 s, headers have 100 s, then the connection is closed',
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
    const gone = async (most: number, ms: number): Promise<string> => {
      await until(
        () => open(sockets),
        (left) => left <= most,
        { ms, what: 'connections left' },
      );
      return seconds(performance.now() - started);
    };
    const [bodies, headers] = [await gone(200, MOST_BODY_MS), await gone(0, MOST_REQUEST_MS)];
    return `100 others answered, p99 ${times.percentile(0.99)} ms; those with slow bodies closed after ${bodies}, all 400 after ${headers}`;
  },
};

const silent: Fault = {
  id: 'half-open',
  name: '600 callers that fall silent: after TCP, after TLS, in mid-request',
  promise:
    'others are answered; closed after 5 s in mid-request, after 10 s without a handshake, not before 90 s where an API server may have opened one ahead',
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
    keep(unused > 90 && cut < MOST_BODY_MS / 1000, seen);
    return seen;
  },
};

const idle: Fault = {
  id: 'idle-connections',
  name: '5,000 idle connections, three times',
  promise:
    'others are answered, old connections and new ones; at most 1,000 that nobody uses stay open; memory under the limit of 512 MB',
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
        (left) => left > 900 && left <= 1000,
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
