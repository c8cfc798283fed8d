import type { Socket } from 'node:net';
import { get } from 'node:http';
import { Agent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

import { fixture, podReview } from '../../support/reviews.ts';
import type { WebhookProcess } from '../../support/webhook-process.ts';
import { keep, type Fault } from '../fault.ts';
import { HEAP, many, tcp, tls } from '../support/connections.ts';
import { answers, held, machineStalls, pidOf, Times, until } from '../support/measure.ts';
import { sendBodies } from '../support/send-bodies.ts';

/** What a neighbour that reaches the ports can do, with the heap that the chart sets. */

const REVIEW = JSON.stringify(fixture('plain'));
const MIB = 2 ** 20;
const LARGEST = 7 * MIB;

const PROMISE =
  '/livez answers within 1 s, others are answered within 50 ms, over new connections too; memory under the limit of 512 MB; no restart';

/** Asks as the kubelet does: over a connection of its own. */
const probe = ({ probes }: WebhookProcess): Promise<{ status: number }> =>
  new Promise((resolve, reject) => {
    const call = get(`${probes}/livez`, { agent: false }, (response) =>
      resolve({ status: response.resume().statusCode ?? 0 }),
    );
    call.on('error', reject);
  });

/** Asks as others do, while `attack` runs. Throws if the promise is broken; allows for what this machine needs without an attack. */
async function meanwhile(webhook: WebhookProcess, attack: () => Promise<string>): Promise<string> {
  const [live, pods, memory] = [new Times(), new Times(), [] as number[]];
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const timed = async (times: Times, ask: () => Promise<{ status: number }>): Promise<void> => {
    const { status } = await times.time(ask);
    keep(status === 200, `answered with ${status}`);
  };
  const before = (await answers(webhook, REVIEW, 50)).percentile(0.99);
  const over = new AbortController();
  const stalls = machineStalls();
  const attacking = attack().finally(() => over.abort());
  do {
    await timed(live, () => probe(webhook));
    await timed(pods, () => webhook.post(REVIEW));
    await timed(pods, () => webhook.post(REVIEW, { agent }));
    memory.push((await held(pidOf(webhook))).memory);
    await sleep(50);
  } while (!over.signal.aborted);
  agent.destroy();
  const stall = stalls();
  const [slowest, slowestLive, most] = [pods.percentile(0.99), live.percentile(0.99), Math.max(...memory)];
  const seen = `${await attacking}; ${pods.count} others answered, p99 ${slowest} ms, without it ${before} ms, longest ${pods.percentile(1)} ms; /livez p99 ${slowestLive} ms; memory ${most} MB; stalled ${stall} ms`;
  keep(
    slowest <= 50 + before + stall && slowestLive <= 1000 + stall && most < 512 && webhook.process.exitCode === null,
    seen,
  );
  return seen;
}

const bodies: Fault = {
  id: 'bodies-that-never-end',
  name: '40 bodies of 7 MiB that are announced and never come, and 20 that come but for their last byte',
  promise: PROMISE,
  async run(world) {
    const webhook = await world.webhook({ environment: HEAP });
    const body = Buffer.alloc(LARGEST, '{');
    const announced = Array.from({ length: 40 }, () => ({ body, left: LARGEST - 1 }));
    const cut = Array.from({ length: 20 }, () => ({ body, left: 1 }));
    return await meanwhile(webhook, () => sendBodies({ url: webhook.url, rounds: [[...announced, ...cut]] }));
  },
};

const pieces: Fault = {
  id: 'bodies-in-pieces',
  name: '200 bodies of 16,000 chunks of a byte, five at once',
  promise: PROMISE,
  alsoIn: 'test/unit/admission/bodies.test.ts',
  async run(world) {
    const webhook = await world.webhook({ environment: HEAP });
    const body = Buffer.alloc(16_000, '{');
    const round = Array.from({ length: 5 }, () => ({ body, left: 1, inBytes: true as const }));
    const rounds = Array.from({ length: 40 }, () => round);
    return await meanwhile(webhook, () => sendBodies({ url: webhook.url, rounds }));
  },
};

const podWith = (text: string): Buffer =>
  Buffer.from(JSON.stringify(podReview()).replace('"spec":{', `"spec":{"more":${text},`));

const nested = (bytes: number): string => '['.repeat(bytes / 2) + ']'.repeat(bytes / 2);
const objects = (count: number, room: number): string => {
  const name = Math.floor(room / count) - 8;
  return `[${Array.from({ length: count }, (_, index) => `{"${String(index).padEnd(name, 'x')}":0}`).join(',')}]`;
};

/** The slowest that are parsed, and those that are not. */
const SLOW_TO_PARSE: readonly Buffer[] = [
  podWith(nested(LARGEST - 10_000)),
  podWith('['.repeat(LARGEST - 10_000)),
  podWith(`${'{"a":'.repeat(MIB)}0${'}'.repeat(MIB)}`),
  podWith(objects(15_000, LARGEST - 20_000)),
  podWith(JSON.stringify('\n'.repeat(LARGEST / 2 - 10_000))),
  podWith(nested(60_000)),
];

const slowToParse: Fault = {
  id: 'slow-to-parse',
  name: '60 reviews of 7 MB, six at once: lists within lists, 15,000 objects, escapes',
  promise: PROMISE,
  async run(world) {
    const webhook = await world.webhook({ environment: HEAP });
    const round = SLOW_TO_PARSE.map((body) => ({ body, left: 0 }));
    const rounds = Array.from({ length: 10 }, () => round);
    return await meanwhile(webhook, () => sendBodies({ url: webhook.url, rounds }));
  },
};

const close = (sockets: readonly Socket[]): void => sockets.forEach((socket) => socket.destroy());
const open = (sockets: readonly Socket[]): number => sockets.filter((socket) => !socket.closed).length;

const used: Fault = {
  id: 'used-connections',
  name: '3,000 connections that made one GET each, then 3,000 without a handshake',
  promise: PROMISE,
  async run(world) {
    const webhook = await world.webhook({ environment: HEAP });
    return await meanwhile(webhook, async () => {
      const sockets = await many(3000, () => {
        const socket = tls(webhook);
        socket.once('secureConnect', () => socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'));
        return socket;
      });
      await sleep(3000);
      const silent = await many(3000, () => tcp(webhook));
      await sleep(3000);
      const seen = `${open(sockets)} and ${open(silent)} of them still open`;
      close([...sockets, ...silent]);
      return seen;
    });
  },
};

const metricsPort: Fault = {
  id: 'metrics-port',
  name: '12,000 connections to the metrics port, half of them silent, half after one request',
  promise: PROMISE,
  async run(world) {
    const webhook = await world.webhook({ environment: HEAP });
    return await meanwhile(webhook, async () => {
      let index = 0;
      const sockets = await many(12_000, () => {
        const socket = tcp({ url: webhook.probes });
        index += 1;
        if (index % 2 === 0) socket.write('GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n');
        return socket;
      });
      const left = await until(
        () => open(sockets),
        (count) => count <= 500,
        { what: 'connections left open' },
      );
      const seen = `${left} of them still open`;
      close(sockets);
      return seen;
    });
  },
};

export const strangerFaults: readonly Fault[] = [bodies, pieces, slowToParse, used, metricsPort];
