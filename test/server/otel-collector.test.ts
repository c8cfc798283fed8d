import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { createCertificate } from '../support/certificate.ts';
import { hasOtelCollector, type OtelCollector, startOtelCollector } from '../support/otel-collector.ts';
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

const collect = async (...given: Parameters<typeof startOtelCollector>): Promise<OtelCollector> => {
  const collector = await startOtelCollector(...given);
  onTestFinished(collector.close);
  return collector;
};

/** Milliseconds that the slowest of some Pods waited, whose image is known. */
async function slowestPod(webhook: WebhookProcess, reference: string): Promise<number> {
  let slowest = 0;
  for (let pod = 0; pod < 20; pod += 1) {
    const before = performance.now();
    expect(await resolverOf(webhook, reference)).toBe('musl');
    slowest = Math.max(slowest, performance.now() - before);
  }
  return slowest;
}

const admitted = (collector: OtelCollector): number => collector.spans('admit Pod').length;
const lost = (webhook: WebhookProcess): string[] =>
  webhook.lines.map(({ msg }) => msg).filter((msg) => msg.includes('traces cannot be sent'));

describe.runIf(hasOtelCollector)("OpenTelemetry's own collector", () => {
  it.each([
    { protocol: 'http/protobuf', compression: 'gzip' },
    { protocol: 'http/protobuf', compression: 'none' },
    { protocol: 'http/json', compression: 'gzip' },
  ])('has the spans that docs/tracing.md promises: $protocol, $compression', async ({ protocol, compression }) => {
    const collector = await collect();
    const webhook = await webhooks.serve(collector.endpoint, {
      OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
      OTEL_EXPORTER_OTLP_COMPRESSION: compression,
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test,k8s.cluster.name=one',
    });
    const name = `team/${protocol.replace('/', '-')}-${compression}`;
    const reference = webhooks.push(name);
    expect(await resolverOf(webhook, reference, SAMPLED)).toBe('musl');
    await expect.poll(() => admitted(collector)).toBe(1);
    const spans = collector.spans();
    const named = (wanted: string) => spans.find((span) => span.name === wanted);
    const [admit, lookUp, read] = ['admit Pod', 'look up image', 'read image'].map(named);
    const requests = spans.filter((span) => span.name.startsWith('registry '));

    expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE]));
    expect([admit, lookUp, read].map((span) => span?.parentSpanId)).toEqual([CALLER, admit?.spanId, lookUp?.spanId]);
    expect(new Set(requests.map(({ parentSpanId }) => parentSpanId))).toEqual(new Set([read?.spanId]));
    const digest = expect.stringMatching(/^sha256:/) as string;
    // A layer is asked for by range.
    expect(requests).toMatchObject([
      { name: 'registry manifest', attributes: { 'http.response.status_code': 200, 'libc_dns.reference': 'v1' } },
      { name: 'registry config', attributes: { 'http.response.status_code': 200, 'libc_dns.reference': digest } },
      { name: 'registry blob', attributes: { 'http.response.status_code': 206, 'libc_dns.reference': digest } },
    ]);
    expect(new Set(spans.map(({ resource }) => JSON.stringify(resource)))).toHaveLength(1);
    expect(admit?.resource).toMatchObject({
      'service.name': 'libc-dns-webhook',
      'deployment.environment.name': 'test',
      'k8s.cluster.name': 'one',
    });
    expect(admit).toMatchObject(ADMITTED);
    expect(lookUp?.attributes).toEqual({
      'libc_dns.image': reference,
      'k8s.namespace.name': 'shop',
      'libc_dns.resolver': 'musl',
      'libc_dns.requests': requests.length,
      'libc_dns.bytes': requests.reduce((sum, span) => sum + Number(span.attributes['http.response.body.size']), 0),
      'libc_dns.queued_ms': expect.any(Number),
    });
    expect(read?.attributes).toMatchObject({
      'libc_dns.digest': digest,
      'libc_dns.resolver': 'musl',
      'libc_dns.alone': expect.any(Boolean),
    });
    for (const request of requests) {
      expect(request.kind).toBe(3);
      expect(request.ms).toBeGreaterThanOrEqual(20);
      expect(request.attributes).toMatchObject({
        'url.scheme': 'http',
        'server.address': '127.0.0.1',
        'libc_dns.repository': name,
      });
    }

    // The image is known now: a review, and no look-up.
    expect(await resolverOf(webhook, reference)).toBe('musl');
    await expect.poll(() => admitted(collector)).toBe(2);
    expect(collector.spans()).toHaveLength(spans.length + 1);

    await resolverOf(webhook, `${webhooks.registry.host}/team/absent:v1`);
    await expect.poll(() => admitted(collector)).toBe(3);
    for (const failed of ['look up image', 'read image']) {
      expect(collector.spans(failed)[1]).toMatchObject({
        status: { code: 2 },
        attributes: { 'error.type': 'not-found' },
      });
    }
    expect(await webhook.stop()).toBe(0);
  });

  it('that comes back gets the spans of Pods that were admitted meanwhile', async () => {
    const first = await collect();
    const webhook = await webhooks.serve(first.endpoint);
    const reference = webhooks.push('team/away');
    await resolverOf(webhook, reference);
    await expect.poll(() => admitted(first)).toBe(1);
    await first.close();
    expect(await slowestPod(webhook, reference)).toBeLessThan(900);
    const second = await collect({ port: first.port });
    await expect.poll(() => admitted(second), { timeout: 20_000 }).toBe(20);
    expect(lost(webhook)).toEqual([]);
  });

  it('that is busy for a while gets what it has refused with 429 and 503 once more, after the time it names', async () => {
    const collector = await collect({ refuse: [8, 14] });
    const webhook = await webhooks.serve(collector.endpoint);
    const reference = webhooks.push('team/busy');
    await resolverOf(webhook, reference, SAMPLED);
    const before = performance.now();
    expect(await slowestPod(webhook, reference)).toBeLessThan(900);
    await expect.poll(() => admitted(collector)).toBe(21);
    expect(performance.now() - before).toBeGreaterThan(900);
    expect(lost(webhook)).toEqual([]);
  });

  it('that refuses a message with 400 does not get it again; the log says so, and when it is over', async () => {
    const collector = await collect({ refuse: [3] });
    const webhook = await webhooks.serve(collector.endpoint);
    const reference = webhooks.push('team/refused');
    await resolverOf(webhook, reference);
    await expect.poll(() => lost(webhook)).toEqual(['traces cannot be sent to the collector']);
    expect(await slowestPod(webhook, reference)).toBeLessThan(900);
    await expect.poll(() => admitted(collector)).toBe(20);
    const trouble = 'traces cannot be sent to the collector';
    await expect.poll(() => lost(webhook)).toEqual([trouble, `over: ${trouble}`]);
  });

  it('that stops for a while costs Pods nothing, and gets all spans', async () => {
    const collector = await collect();
    const webhook = await webhooks.serve(collector.endpoint);
    const reference = webhooks.push('team/slow');
    await resolverOf(webhook, reference);
    await expect.poll(() => admitted(collector)).toBe(1);
    collector.signal('SIGSTOP');
    expect(await slowestPod(webhook, reference)).toBeLessThan(900);
    collector.signal('SIGCONT');
    await expect.poll(() => admitted(collector)).toBe(21);
    expect(lost(webhook)).toEqual([]);
  });

  describe('over TLS, with client certificates', () => {
    const folder = mkdtempSync(join(tmpdir(), 'libc-dns-otlp-'));
    const path = (name: string): string => join(folder, name);
    let tls: OtelCollector;
    beforeAll(async () => {
      for (const name of ['server', 'client', 'other']) {
        const { cert, key } = await createCertificate();
        writeFileSync(path(`${name}.pem`), cert);
        writeFileSync(path(`${name}-key.pem`), key);
      }
      tls = await startOtelCollector({
        tls: { cert_file: path('server.pem'), key_file: path('server-key.pem'), client_ca_file: path('client.pem') },
      });
    });
    afterAll(async () => {
      await tls?.close();
      rmSync(folder, { recursive: true });
    });
    const OWN = {
      OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: 'client.pem',
      OTEL_EXPORTER_OTLP_CLIENT_KEY: 'client-key.pem',
    };
    const files = (names: Readonly<Record<string, string>>) =>
      Object.fromEntries(Object.entries(names).map(([name, file]) => [name, path(file)]));

    it('gets spans', async () => {
      const ca = { OTEL_EXPORTER_OTLP_CERTIFICATE: 'server.pem' };
      const webhook = await webhooks.serve(tls.endpoint, files({ ...ca, ...OWN }));
      await resolverOf(webhook, webhooks.push('team/tls'));
      await expect.poll(() => admitted(tls)).toBe(1);
      expect(lost(webhook)).toEqual([]);
    });

    it.each([
      [
        'whose certificate is of another CA',
        { OTEL_EXPORTER_OTLP_CERTIFICATE: 'other.pem', ...OWN },
        /^DEPTH_ZERO_SELF_SIGNED_CERT$/,
      ],
      [
        'that wants a client certificate',
        { OTEL_EXPORTER_OTLP_CERTIFICATE: 'server.pem' },
        /CERTIFICATE_REQUIRED$|^ECONNRESET$/,
      ],
      [
        'whose CA cannot be read',
        { OTEL_EXPORTER_OTLP_CERTIFICATE: 'none.pem', ...OWN },
        /^DEPTH_ZERO_SELF_SIGNED_CERT$/,
      ],
    ])('%s gets none; the log says so, and no Pod waits', async (what, names, code) => {
      const before = admitted(tls);
      const webhook = await webhooks.serve(tls.endpoint, files(names));
      const reference = webhooks.push(`team/${what.replaceAll(/\W/g, '-').toLowerCase()}`);
      await resolverOf(webhook, reference);
      expect(await slowestPod(webhook, reference)).toBeLessThan(900);
      await expect.poll(() => lost(webhook), { timeout: 15_000 }).toEqual(['traces cannot be sent to the collector']);
      expect(admitted(tls)).toBe(before);
      expect(webhook.lines.find(({ msg }) => msg.startsWith('traces cannot be sent'))?.['code']).toMatch(code);
    });
  });
});
