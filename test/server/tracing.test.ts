import { readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { type Collector, startCollector } from '../support/collector.ts';
import { childrenOf } from '../support/family.ts';
import {
  ADMITTED,
  CALLER,
  openTracedWebhooks,
  resolverOf,
  SAMPLED,
  TRACE,
  type TracedWebhooks,
} from '../support/traced-webhook.ts';
import type { WebhookProcess } from '../support/webhook-process.ts';

let webhooks: TracedWebhooks;

beforeAll(async () => {
  webhooks = await openTracedWebhooks();
});
afterAll(() => webhooks.close());

const push = (repository: string): string => webhooks.push(repository);
const serve = ({ endpoint }: Pick<Collector, 'endpoint'>, environment = {}): Promise<WebhookProcess> =>
  webhooks.serve(endpoint, environment);

const collect = async (...given: Parameters<typeof startCollector>): Promise<Collector> => {
  const collector = await startCollector(...given);
  onTestFinished(collector.close);
  return collector;
};

describe('a Pod with a new image', () => {
  it('is a trace: the call of the API server, the review, the look-up, the read, each request', async () => {
    const collector = await collect();
    const webhook = await serve(collector, {
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20s3cr3t',
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
    });
    const reference = push('team/traced');
    expect(await resolverOf(webhook, reference, SAMPLED)).toBe('musl');
    await expect.poll(() => collector.spans('admit Pod').length).toBe(1);
    const spans = collector.spans();
    const [admit, lookUp, read] = ['admit Pod', 'look up image', 'read image'].map((name) =>
      spans.find((span) => span.name === name),
    );
    const requests = spans.filter(({ name }) => name.startsWith('registry '));
    expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE]));
    expect([admit?.parentSpanId, lookUp?.parentSpanId, read?.parentSpanId]).toEqual([
      CALLER,
      admit?.spanId,
      lookUp?.spanId,
    ]);
    expect(new Set(requests.map(({ parentSpanId }) => parentSpanId))).toEqual(new Set([read?.spanId]));
    expect(admit).toMatchObject({
      ...ADMITTED,
      resource: {
        'service.name': 'libc-dns-webhook',
        'service.version': '0.1.0',
        'deployment.environment.name': 'test',
      },
    });
    const host = {
      'server.address': '127.0.0.1',
      'server.port': Number(webhooks.registry.host.split(':')[1]),
      'url.scheme': 'http',
    };
    expect(requests[0]).toMatchObject({
      name: 'registry manifest',
      kind: 3,
      attributes: {
        ...host,
        'http.response.status_code': 200,
        'libc_dns.repository': 'team/traced',
        'libc_dns.reference': 'v1',
      },
    });
    expect(requests[0]?.ms).toBeGreaterThanOrEqual(20);
    expect(requests.length).toBe(lookUp?.attributes['libc_dns.requests']);
    const bytes = requests.reduce((sum, { attributes }) => sum + Number(attributes['http.response.body.size']), 0);
    expect(bytes).toBe(lookUp?.attributes['libc_dns.bytes']);
    const [message] = collector.messages;
    expect(message).toMatchObject({ url: '/v1/traces', headers: { authorization: 'Bearer s3cr3t' } });
    const said = collector.messages.map(({ body }) => body.toString()).join('');
    for (const secret of ['hunter2', 'PASSWORD', 's3cr3t']) expect(said).not.toContain(secret);
    // The process that reads strangers' bytes knows nothing of the collector.
    const [reader] = childrenOf(webhook.process.pid ?? 0);
    expect(readFileSync(`/proc/${reader}/environ`, 'utf8')).not.toContain('OTEL_');
    expect(await webhook.stop()).toBe(0);
  });

  it('links the Pods that wait for the same look-up to it', async () => {
    const collector = await collect();
    const webhook = await serve(collector);
    const reference = push('team/joined');
    await Promise.all([resolverOf(webhook, reference), resolverOf(webhook, reference)]);
    await expect.poll(() => collector.spans('admit Pod').length).toBe(2);
    const lookUps = collector.spans('look up image');
    expect(lookUps).toHaveLength(1);
    const admits = collector.spans('admit Pod');
    const joiner = admits.find(({ spanId }) => spanId !== lookUps[0]?.parentSpanId);
    expect(joiner?.links).toMatchObject([{ traceId: lookUps[0]?.traceId, spanId: lookUps[0]?.spanId }]);
  });

  it('that fails is an error, with its code', async () => {
    const collector = await collect();
    const webhook = await serve(collector);
    await resolverOf(webhook, `${webhooks.registry.host}/team/absent:v1`);
    await expect.poll(() => collector.spans('look up image').length).toBe(1);
    for (const name of ['look up image', 'read image']) {
      expect(collector.spans(name)[0]).toMatchObject({
        status: { code: 2 },
        attributes: { 'error.type': 'not-found' },
      });
    }
    expect(collector.spans('registry manifest')[0]?.attributes).toMatchObject({
      'http.response.status_code': 404,
      'error.type': '404',
    });
  });
});

it('the caller decides what is sampled; a trace of our own is in the log', async () => {
  const collector = await collect();
  const webhook = await serve(collector);
  const reference = push('team/sampled');
  await resolverOf(webhook, reference, { traceparent: `00-${TRACE}-${CALLER}-00` });
  await resolverOf(webhook, reference);
  await expect.poll(() => collector.spans('admit Pod').length).toBe(1);
  const [admit] = collector.spans('admit Pod');
  expect(admit?.traceId).not.toBe(TRACE);
  const ids = webhook.lines.map((line) => line['traceId']).filter((id) => id !== undefined);
  expect(ids).toEqual([TRACE, admit?.traceId]);
});

it('sends protobuf as long as nothing else is asked for', async () => {
  const collector = await collect();
  const webhook = await serve(collector, { OTEL_EXPORTER_OTLP_PROTOCOL: '' });
  await resolverOf(webhook, push('team/protobuf'));
  await expect.poll(() => collector.messages.some(({ body }) => body.includes('admit Pod'))).toBe(true);
  expect(collector.messages[0]).toMatchObject({
    url: '/v1/traces',
    headers: { 'content-type': 'application/x-protobuf' },
  });
});

describe('a collector that', () => {
  const warned = (webhook: WebhookProcess): string[] =>
    webhook.lines.filter(({ level }) => level === 'warn').map(({ msg }) => msg);

  /** Milliseconds of each of some Pods whose image is known. */
  const times = async (webhook: WebhookProcess, reference: string): Promise<number[]> => {
    const all: number[] = [];
    for (let pod = 0; pod < 50; pod += 1) {
      const before = performance.now();
      expect(await resolverOf(webhook, reference)).toBe('musl');
      all.push(performance.now() - before);
    }
    return all.toSorted((a, b) => a - b);
  };

  it.each([
    [
      'answers 400',
      async () => (await collect((response) => void response.writeHead(400).end())).endpoint,
      'traces cannot be sent to the collector',
    ],
    [
      'answers 503',
      async () => (await collect((response) => void response.writeHead(503).end())).endpoint,
      'traces cannot be sent to the collector',
    ],
    ['refuses connections', async () => 'http://127.0.0.1:1', 'traces cannot be sent to the collector'],
    ['hangs', async () => (await collect(() => {})).endpoint, 'traces cannot be sent to the collector'],
  ])('%s costs Pods nothing, and does not keep the server from ending', async (_, open, message) => {
    const webhook = await serve({ endpoint: await open() }, { OTEL_EXPORTER_OTLP_TIMEOUT: '1500' });
    const reference = push('team/patient');
    const slowest = await times(webhook, reference);
    expect(slowest[25]).toBeLessThan(100);
    await expect.poll(() => warned(webhook)).toContain(message);
    const before = performance.now();
    expect(await webhook.stop()).toBe(0);
    expect(performance.now() - before).toBeLessThan(6000);
  });

  it('hangs when the server ends does not keep it', async () => {
    const { endpoint } = await collect(() => {});
    // The library would wait for it for 10 seconds.
    const webhook = await serve({ endpoint });
    await resolverOf(webhook, push('team/last'));
    const before = performance.now();
    expect(await webhook.stop()).toBe(0);
    expect(performance.now() - before).toBeLessThan(5000);
    expect(warned(webhook).join()).toContain('the last ones were not sent');
  });
});

it.each([
  [
    { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
    'OTEL_EXPORTER_OTLP_PROTOCOL is grpc: http/protobuf and http/json are spoken here',
  ],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317' }, 'OTEL_EXPORTER_OTLP_ENDPOINT is no URL that begins with http://'],
])('serves without traces, and says so, with %o', async (environment, message) => {
  const webhook = await serve({ endpoint: 'http://127.0.0.1:1' }, environment);
  expect(await resolverOf(webhook, push('team/refused'))).toBe('musl');
  expect(webhook.lines.find(({ level }) => level === 'warn')?.msg).toContain(`no traces are sent: ${message}`);
});

it('does not load what sends traces unless they are wanted, and serves without it', async () => {
  rmSync(join(dirname(webhooks.main), 'otlp.js'));
  const off = await serve({ endpoint: '' });
  expect(await resolverOf(off, push('team/untraced'))).toBe('musl');
  expect(off.lines.filter(({ msg }) => msg.includes('traces'))).toEqual([]);
  const broken = await serve({ endpoint: 'http://127.0.0.1:1' });
  expect(await resolverOf(broken, push('team/untraced'))).toBe('musl');
  expect(broken.lines.find(({ msg }) => msg.includes('traces'))?.msg).toBe(
    'no traces are sent: OpenTelemetry could not be started',
  );
});
