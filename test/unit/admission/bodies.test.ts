import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { type Bodies, createBodies, DirectRequest } from '../../../src/admission/bodies.ts';

const KIB = 1024;
const LIMITS = {
  largest: 200 * KIB,
  small: 10 * KIB,
  allSmall: 40 * KIB,
  allLarge: 400 * KIB,
  allUnanswered: 100 * KIB,
  ms: 300,
};

let server: Server;
let bodies: Bodies;
let callers: Socket[];
/** What was passed on: the paths of the requests, and their errors. */
let passed: string[];

/** Keeps the thread busy. */
function work(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

beforeEach(async () => {
  callers = [];
  const log: string[] = [];
  passed = log;
  const trusted = new WeakSet<Socket>();
  bodies = createBodies({ isTrusted: (socket) => trusted.has(socket) }, LIMITS);
  server = createServer({ IncomingMessage: DirectRequest }, (request, response) => {
    const path = request.url ?? '';
    if (path.startsWith('/trusted')) trusted.add(request.socket);
    response.on('close', () => bodies.leave(request));
    const read = (): void =>
      bodies.read(request, (error, body) => {
        log.push(error === null ? path : `${path} ${error.message}`);
        if (path.startsWith('/work')) work(60);
        if (path.startsWith('/wait')) return;
        if (error !== null && 'statusCode' in error) response.statusCode = Number(error.statusCode);
        response.setHeader('connection', 'close');
        response.end(error === null ? `${body?.length} ${body?.subarray(-3).toString()}` : error.message);
      });
    if (path.startsWith('/later')) setTimeout(read, 50);
    else read();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterEach(async () => {
  for (const caller of callers) caller.destroy();
  bodies.close();
  await new Promise((resolve) => server.close(resolve));
});

interface Caller {
  readonly socket: Socket;
  readonly answer: () => string;
}

async function call(path: string, announced: number | 'chunked', sent = ''): Promise<Caller> {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  callers.push(socket);
  socket.on('error', () => {});
  let answer = '';
  socket.on('data', (data: Buffer) => (answer += data.toString()));
  const length = announced === 'chunked' ? 'transfer-encoding: chunked' : `content-length: ${announced}`;
  socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\n${length}\r\n\r\n`);
  // The headers come on their own, as from most callers.
  await sleep(5);
  if (sent !== '') socket.write(sent);
  await sleep(20);
  return { socket, answer: () => answer };
}

const send = async (path: string, bytes: number): Promise<Caller> =>
  await call(path, bytes, 'x'.repeat(bytes - 3) + 'end');

async function answered(path: string, bytes: number): Promise<Caller> {
  const caller = await send(path, bytes);
  await expect.poll(caller.answer, { interval: 5 }).not.toBe('');
  return caller;
}

const statusOf = ({ answer }: Caller): number => Number(answer().slice(9, 12));

describe('bodies', () => {
  it.each([[3], [4 * KIB], [199 * KIB], [200 * KIB]])('of %i bytes are passed on whole', async (bytes) => {
    const caller = await send('/', bytes);
    await expect.poll(caller.answer).toMatch(new RegExp(`^HTTP/1.1 200 .*\r\n${bytes} end$`, 's'));
  });

  it.each([[3], [4 * KIB], [199 * KIB]])(
    'of %i bytes that came before they were read are passed on whole',
    async (bytes) => {
      const caller = await send('/later', bytes);
      await expect.poll(caller.answer).toMatch(new RegExp(`^HTTP/1.1 200 .*\r\n${bytes} end$`, 's'));
    },
  );

  it('that are announced take no room', async () => {
    const silent = await Promise.all(Array.from({ length: 20 }, () => call('/silent', 200 * KIB, 'x')));
    expect(statusOf(await answered('/', 150 * KIB))).toBe(200);
    expect(silent.map(statusOf)).toEqual(silent.map(() => 0));
  });

  it('that are large: the oldest that has not come gives way to what comes', async () => {
    const first = await call('/first', 200 * KIB, 'x'.repeat(150 * KIB));
    const second = await call('/second', 200 * KIB, 'x'.repeat(150 * KIB));
    expect(statusOf(await answered('/third', 150 * KIB))).toBe(200);
    expect([first, second].map(statusOf)).toEqual([503, 0]);
  });

  it("that are large: a stranger's gives way before an older one of a trusted connection", async () => {
    const trusted = await call('/trusted', 200 * KIB, 'x'.repeat(150 * KIB));
    const stranger = await call('/stranger', 200 * KIB, 'x'.repeat(150 * KIB));
    expect(statusOf(await answered('/trusted', 150 * KIB))).toBe(200);
    expect([trusted, stranger].map(statusOf)).toEqual([0, 503]);
  });

  it('that are small have room of their own', async () => {
    for (let index = 0; index < 4; index += 1) await call('/held', 200 * KIB, 'x'.repeat(95 * KIB));
    expect(statusOf(await answered('/small', 9 * KIB))).toBe(200);
    expect(passed).toEqual(['/small']);
  });

  it('that are small: the oldest that has not come gives way', async () => {
    const held: Caller[] = [];
    for (let index = 0; index < 6; index += 1) held.push(await call('/held', 10 * KIB, 'x'.repeat(9 * KIB)));
    expect(held.map(statusOf)).toEqual([503, 503, 0, 0, 0, 0]);
    expect(statusOf(await answered('/small', 9 * KIB))).toBe(200);
  });

  it('that do not come in time: 408', async () => {
    const [small, large] = [await call('/', 10, 'x'), await call('/', 200 * KIB, 'x'.repeat(100 * KIB))];
    await sleep(100);
    expect([small, large].map(statusOf)).toEqual([0, 0]);
    await expect.poll(() => [small, large].map(statusOf), { timeout: 2000 }).toEqual([408, 408]);
    expect(small.answer()).toMatch(/the body did not come within 0.3 s$/);
  });

  it('that do not come in time, begun after another: 408', async () => {
    expect(statusOf(await answered('/small', 3))).toBe(200);
    await sleep(600);
    const late = await call('/', 10, 'x');
    await sleep(100);
    expect(statusOf(late)).toBe(0);
    await expect.poll(() => statusOf(late), { timeout: 2000 }).toBe(408);
  });

  it('larger than the largest: 413, before they come if that is announced', async () => {
    const announced = await call('/', 200 * KIB + 1);
    expect(statusOf(announced)).toBe(413);
    const piece = 'x'.repeat(50 * KIB);
    const unannounced = await call('/', 'chunked', `${(50 * KIB).toString(16)}\r\n${piece}\r\n`.repeat(5));
    await expect.poll(() => statusOf(unannounced)).toBe(413);
  });

  it('in many pieces count for more than their bytes', async () => {
    const held = await call('/held', 'chunked', '1\r\nx\r\n'.repeat(80));
    for (let index = 0; index < 2; index += 1) await call('/held', 200 * KIB, 'x'.repeat(150 * KIB));
    expect(statusOf(held)).toBe(0);
    await call('/held', 200 * KIB, 'x'.repeat(75 * KIB));
    expect(statusOf(held)).toBe(503);
  });

  it('in pieces shorter than any TLS connection makes: 413', async () => {
    const short = await call('/', 'chunked', '1\r\nx\r\n'.repeat(101));
    await expect.poll(() => statusOf(short)).toBe(413);
    expect(short.answer()).toMatch(/the body came in pieces of less than 256 bytes$/);
    const piece = 'x'.repeat(300);
    const fair = await call('/', 'chunked', `${`12c\r\n${piece}\r\n`.repeat(500)}0\r\n\r\n`);
    await expect.poll(() => statusOf(fair)).toBe(200);
  });

  it('whose callers go are told about, and give their room back', async () => {
    for (let index = 0; index < 8; index += 1) {
      const { socket } = await call('/gone', 200 * KIB, 'x'.repeat(150 * KIB));
      socket.destroy();
      await expect.poll(() => passed.length).toBe(index + 1);
    }
    expect(new Set(passed)).toEqual(new Set(['/gone aborted']));
  });

  it('that are large are passed on one at a time, and small ones between them', async () => {
    await Promise.all(Array.from({ length: 4 }, (_, index) => send(`/work${index}`, 50 * KIB)));
    for (let index = 0; index < 3; index += 1) {
      await send(`/small${index}`, 100);
      await sleep(40);
    }
    await expect.poll(() => passed.length).toBe(7);
    const places = passed.flatMap((path, index) => (path.startsWith('/small') ? [index] : []));
    // One after the other two of them would be.
    expect(places[0]).toBeLessThan(4);
    expect(places[1]).toBeLessThan(6);
  });

  it('that are large: a stranger’s has each fourth turn, however many of trusted connections wait', async () => {
    await send('/work', 50 * KIB);
    const paths = [...Array.from({ length: 6 }, (_, index) => `/trusted${index}`), '/stranger'];
    await Promise.all(paths.map((path) => send(path, 50 * KIB)));
    await expect.poll(() => passed.length).toBe(8);
    expect(passed.indexOf('/stranger')).toBe(3);
  });

  it('that wait for their turn are not late, and not passed on when their callers have gone', async () => {
    work(1);
    const all = await Promise.all(Array.from({ length: 6 }, (_, index) => send(`/work${index}`, 50 * KIB)));
    all[5]?.socket.destroy();
    await expect.poll(() => passed.length, { timeout: 3000 }).toBe(6);
    expect(passed.filter((path) => path.includes('aborted'))).toEqual(['/work5 aborted']);
    expect(passed.filter((path) => path.includes('come within'))).toEqual([]);
  });

  it('that wait for their answers are counted until they have them', async () => {
    const waiting = [await send('/wait', 60 * KIB), await send('/wait', 9 * KIB)];
    expect(bodies.isCrowded).toBe(false);
    waiting.push(await send('/wait', 60 * KIB));
    await expect.poll(() => bodies.isCrowded).toBe(true);
    waiting[0]?.socket.destroy();
    await expect.poll(() => bodies.isCrowded).toBe(false);
  });
});
