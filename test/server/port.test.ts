import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { answerOf, fixture } from '../support/reviews.ts';
import { startWebhook, type WebhookProcess } from '../support/webhook-process.ts';

const REVIEW = JSON.stringify(fixture('plain'));

let webhook: WebhookProcess;
let sockets: Socket[];

beforeAll(async () => {
  webhook = await startWebhook({ flags: ['--namespace-mode', 'enforce', '--offline'] });
  sockets = [];
});

/** Whatever a caller did, the next one is answered. */
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  expect(answerOf(await webhook.post(REVIEW)).patch.length).toBeGreaterThan(0);
});

afterAll(async () => {
  expect(await webhook.stop()).toBe(0);
});

interface Caller {
  readonly socket: Socket;
  readonly heard: () => string;
}

async function caller(socket: Socket, event: 'connect' | 'secureConnect'): Promise<Caller> {
  let heard = '';
  sockets.push(socket);
  socket.on('error', () => {});
  socket.on('data', (data: Buffer) => (heard += data.toString()));
  await new Promise<void>((resolve) => {
    socket.once(event, () => resolve());
    socket.once('close', () => resolve());
  });
  return { socket, heard: () => heard };
}

const addressOf = (url: string) => ({ host: new URL(url).hostname, port: Number(new URL(url).port) });

const admission = async (): Promise<Caller> =>
  await caller(connectTls({ ...addressOf(webhook.url), rejectUnauthorized: false }), 'secureConnect');

const probes = async (): Promise<Caller> => await caller(connectTcp(addressOf(webhook.probes)), 'connect');

const head = (more: readonly string[], version = '1.1'): string =>
  [
    `POST /mutate HTTP/${version}`,
    'host: x',
    'content-type: application/json',
    `content-length: ${REVIEW.length}`,
    ...more,
    '',
    '',
  ].join('\r\n');

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${webhook.probes}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length) ?? 0);
}

describe('a caller of the admission port', () => {
  it.each([
    { what: 'that speaks HTTP/1.0 is answered', text: head([], '1.0') + REVIEW, hears: /^HTTP\/1.1 200 / },
    {
      what: 'that asks whether to go on is told to, and answered',
      text: head(['expect: 100-continue']) + REVIEW,
      hears: /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 /,
    },
    {
      what: 'that asks for another protocol is answered in this one',
      text: head(['connection: upgrade', 'upgrade: h2c']) + REVIEW,
      hears: /^HTTP\/1.1 200 /,
    },
    {
      what: 'that gives a length and sends chunks is refused',
      text: `${head(['transfer-encoding: chunked'])}5\r\nhello\r\n0\r\n\r\n`,
      hears: /^HTTP\/1.1 400 /,
    },
    {
      what: 'with 20 KB of headers is refused',
      text: head([`x-many: ${'x'.repeat(20_000)}`]),
      hears: /^HTTP\/1.1 431 /,
    },
    { what: 'that asks for a tunnel gets none', text: 'CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n', hears: /^$/ },
    {
      what: 'that sends a body without an end elsewhere is cut off',
      text: `POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 900000000\r\n\r\n${'x'.repeat(100_000)}`,
      hears: /^HTTP\/1.1 404 .*connection: close/s,
    },
  ])('$what', async ({ text, hears }) => {
    const { socket, heard } = await admission();
    socket.write(text);
    if (hears.source.includes('200')) return await expect.poll(heard).toMatch(hears);
    await expect.poll(() => socket.closed).toBe(true);
    return expect(heard()).toMatch(hears);
  });

  it('that sends more than it announced is answered for that, and cut off', async () => {
    const { socket, heard } = await admission();
    socket.write(`${head([])}${REVIEW}more`);
    await expect.poll(() => socket.closed).toBe(true);
    expect(heard()).toMatch(/^HTTP\/1.1 200 /);
  });

  it('that does not wait for answers is cut off, and counted', async () => {
    const before = await metric('libc_dns_bad_requests_total{status="400"}');
    const { socket } = await admission();
    socket.write((head([]) + REVIEW).repeat(20));
    await expect.poll(() => socket.closed).toBe(true);
    expect(await metric('libc_dns_bad_requests_total{status="400"}')).toBe(before + 1);
  });
});

describe('a caller of the metrics port', () => {
  it('finds room, however many connections others hold', async () => {
    const held: Caller[] = [];
    for (let index = 0; index < 650; index += 1) held.push(await probes());
    const last = await probes();
    last.socket.write('GET /livez HTTP/1.1\r\nhost: x\r\n\r\n');
    await expect.poll(last.heard).toMatch(/^HTTP\/1.1 200 .*ok\n$/s);
    await expect.poll(() => held.filter(({ socket }) => !socket.closed).length).toBeLessThan(500);
    expect(await metric('libc_dns_connections_closed_total{port="metrics"}')).toBeGreaterThan(150);
  });

  it('that is silent, slow with its headers, or with its body is cut off within 7 s', async () => {
    const callers = [await probes(), await probes(), await probes(), await probes()];
    callers[1]?.socket.write('GET /livez HTTP/1.1\r\nho');
    callers[2]?.socket.write('GET /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nx');
    callers[3]?.socket.write('GET /livez HTTP/1.1\r\nhost: x\r\n\r\n');
    await expect.poll(() => callers[3]?.heard()).toMatch(/200/);
    await expect
      .poll(() => callers.map(({ socket }) => socket.closed), { timeout: 9000 })
      .toEqual(callers.map(() => true));
  }, 15_000);

  it('that asks for metrics all the time does not keep the server busy', async () => {
    const began = performance.now();
    const replies = await Promise.all(Array.from({ length: 60 }, () => fetch(`${webhook.probes}/metrics`)));
    for (const reply of replies) expect(await reply.text()).toContain('libc_dns_ready 1');
    await metric('libc_dns_ready');
    expect(await metric('libc_dns_ready')).toBe(1);
    // The second of two that follow each other waits for 100 ms.
    expect(performance.now() - began).toBeGreaterThan(100);
  });

  it('with a body of more than 1 KiB is refused', async () => {
    const reply = await fetch(`${webhook.probes}/livez`, { method: 'POST', body: 'x'.repeat(2000) });
    expect(reply.status).toBe(413);
  });
});
