import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, it } from 'vitest';

import { createEvaluator } from '../../src/admission/evaluate.ts';
import type { Namespaces } from '../../src/admission/mutate.ts';
import { createServer } from '../../src/admission/server.ts';
import { ephemeralPair } from '../../src/certificates/ephemeral.ts';
import { createPreflight } from '../../src/cluster/dns-over-tcp.ts';
import type { Detector } from '../../src/detection/detector.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { everyLine } from '../support/every-line.ts';
import { enforced, facts, policy } from '../support/policy.ts';
import { answerOf, fixture, podReview } from '../support/reviews.ts';
import { post } from '../support/webhook-process.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const never: Detector = { detect: () => new Promise(() => {}) };
const rejecting: Detector = { detect: () => Promise.reject(new Error('boom')) };

async function serverWith(
  detector: Detector,
  change: { budget?: number; namespaces?: Namespaces; metrics?: Metrics } = {},
) {
  const { ca, ...pair } = await ephemeralPair({
    names: [{ type: 'ip', value: '127.0.0.1' }],
    now: Date.now(),
    days: 1,
  });
  const lines: string[] = [];
  const { app } = createServer({
    evaluator: createEvaluator({
      config: policy(),
      cluster: () => facts,
      verdicts: { detector, platform: { os: 'linux', architecture: 'amd64' } },
    }),
    namespaces: { get: () => enforced() },
    budget: 5000,
    warnings: false,
    verified: false,
    metrics: createMetrics('test'),
    warn: () => {},
    log: everyLine({ level: 'info', format: 'json', destination: { write: (line) => lines.push(line) } }),
    certificates: { current: () => pair, onChange: () => {}, close: () => {} },
    drain: { quietMs: 1, mostMs: 1 },
    ...change,
  });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  closers.push(() => app.close());
  const send = async (path: string) => {
    const started = performance.now();
    const answer = answerOf(await post(url, ca, JSON.stringify(fixture('plain')), { path }));
    return { answer, elapsed: performance.now() - started };
  };
  /** Sends a body `pauseMs` after its headers; milliseconds from the headers to the answer. */
  const sendSlowly = async (path: string, pauseMs: number): Promise<number> => {
    const headers = { 'content-type': 'application/json' };
    const call = request(url + path, { method: 'POST', ca, headers });
    const started = performance.now();
    call.flushHeaders();
    await sleep(pauseMs);
    call.end(JSON.stringify(fixture('plain')));
    const [answer] = (await once(call, 'response')) as [IncomingMessage];
    const elapsed = performance.now() - started;
    expect(answer.statusCode).toBe(200);
    answer.resume();
    return elapsed;
  };
  /** Sends a review of about so many bytes. Milliseconds until it was answered. */
  const sendLarge = async (path: string, bytes: number): Promise<number> => {
    const review = JSON.stringify(podReview({ metadata: { annotations: { large: 'x'.repeat(bytes) } } }));
    const started = performance.now();
    answerOf(await post(url, ca, review, { path }));
    return performance.now() - started;
  };
  return { send, sendSlowly, sendLarge, lines, post: (body: string) => post(url, ca, body) };
}

describe('a look-up that never ends', () => {
  it.each([
    { path: '/mutate?timeout=2s', budget: 5000, within: 2000 },
    { path: '/mutate?timeout=1s', budget: 5000, within: 1000 },
    { path: '/mutate?timeout=30s', budget: 200, within: 1000 },
    { path: '/mutate', budget: 200, within: 1000 },
    { path: '/mutate?timeout=soon', budget: 200, within: 1000 },
  ])('$path with a budget of $budget ms: the safe remedy within $within ms', async ({ path, budget, within }) => {
    const { send } = await serverWith(never, { budget });
    const { answer, elapsed } = await send(path);
    expect(elapsed).toBeLessThan(within);
    expect(answer.audit.decision).toMatchObject({ reason: 'UnknownOptions', remedy: ['options'] });
    expect(answer.patch.length).toBeGreaterThan(0);
  });
});

it('a body that comes late is on the same clock', async () => {
  const { sendSlowly } = await serverWith(never);
  // 1.5 s of 2 s are for the look-up; counted from the body they would end 2.5 s after the headers.
  expect(await sendSlowly('/mutate?timeout=2s', 1000)).toBeLessThan(2400);
});

it('while 32 MiB of requests wait, a further one waits for nothing', async () => {
  const { sendLarge } = await serverWith(never);
  const times = await Promise.all(Array.from({ length: 6 }, () => sendLarge('/mutate', 6 * 2 ** 20)));
  const [first = 0, ...others] = times.toSorted((a, b) => a - b);
  // Five of them are 30 MiB, and wait for the whole budget.
  expect(Math.min(...others)).toBeGreaterThan(4900);
  expect(first).toBeLessThan(4500);
});

describe('errors of our own', () => {
  it('a look-up that fails: unknown, the safe remedy', async () => {
    const { send } = await serverWith(rejecting);
    expect((await send('/mutate')).answer.audit.decision.reason).toBe('UnknownOptions');
  });

  it('namespaces that cannot be read: the Pod is admitted as it is, and the error is logged', async () => {
    const { send, lines } = await serverWith(never, {
      namespaces: { get: () => Promise.reject(new Error('API is down')) },
    });
    const { answer } = await send('/mutate');
    expect(answer).toMatchObject({ allowed: true, patch: [] });
    expect(lines.join('')).toContain('API is down');
  });

  it('namespaces that never answer: the same, inside the deadline', async () => {
    const { send, lines } = await serverWith(never, { budget: 200, namespaces: { get: () => new Promise(() => {}) } });
    expect((await send('/mutate')).answer).toMatchObject({ allowed: true, patch: [] });
    expect(lines.join('')).toContain('could not be read in time');
  });
});

describe('the preflight of use-vc', () => {
  const listen = async (onData: (data: Buffer) => Buffer | undefined) => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (data: Buffer) => {
        const reply = onData(data);
        if (reply !== undefined) socket.write(reply);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closers.push(() => server.close());
    return (server.address() as { port: number }).port;
  };
  const look = async (ports: number[]) => {
    const seen: boolean[] = [];
    const servers = () => ports.map((port) => ({ address: '127.0.0.1', port, timeoutMs: 300 }));
    const preflight = createPreflight({
      servers,
      name: 'kubernetes.default.svc.cluster.local',
      onChange: (value) => seen.push(value),
    });
    await preflight.check();
    await preflight.check();
    expect(seen).toEqual([preflight.answered]);
    return preflight.answered;
  };
  const answer = (data: Buffer): Buffer => {
    const reply = Buffer.from(data);
    reply.writeUInt8(reply.readUInt8(4) | 0x80, 4);
    return reply;
  };

  it('a server that answers', async () => expect(await look([await listen(answer)])).toBe(true));
  it('a server that accepts and says nothing', async () =>
    expect(await look([await listen(() => undefined)])).toBe(false));
  it('a server that answers another query', async () =>
    expect(
      await look([await listen((data) => Buffer.concat([data.subarray(0, 2), Buffer.from([0, 0, 0x80, 0, 0, 0])]))]),
    ).toBe(false));
  it('a server that sends the query back', async () => expect(await look([await listen((data) => data)])).toBe(false));
  it('nobody there', async () => expect(await look([1])).toBe(false));
  it('one of two does not answer', async () =>
    expect(await look([await listen(answer), await listen(() => undefined)])).toBe(false));
  it('no servers known', async () => expect(await look([])).toBe(false));
});

describe('an error of our own', () => {
  it('is answered without saying what it is', async () => {
    const passedBy = (): never => {
      throw new Error('/etc/secret: ENOENT');
    };
    const { post: send } = await serverWith(never, { metrics: { ...createMetrics('test'), passedBy } });
    const review = fixture('plain');
    const { status, body } = await send(
      JSON.stringify({ ...review, request: { ...review.request, operation: 'UPDATE' } }),
    );
    expect({ status, body }).toEqual({ status: 500, body: '{"error":"an error of our own: the log says more"}' });
  });

  it('is answered in the same way after a wait', async () => {
    const fails = (): never => {
      throw new Error('/etc/secret: ENOENT');
    };
    const { post: send } = await serverWith(never, {
      metrics: { ...createMetrics('test'), decided: fails, failed: fails },
      namespaces: { get: async () => await Promise.resolve(enforced()) },
      budget: 50,
    });
    const { status, body } = await send(JSON.stringify(fixture('plain')));
    expect({ status, body }).toEqual({ status: 500, body: '{"error":"an error of our own: the log says more"}' });
  });
});
