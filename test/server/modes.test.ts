import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { answerOf, fixture, podReview } from '../support/reviews.ts';
import { startWebhook, type WebhookProcess } from '../support/webhook-process.ts';

const metric = async (webhook: WebhookProcess, line: string): Promise<boolean> =>
  (await (await fetch(`${webhook.probes}/metrics`)).text()).split('\n').includes(line);

describe('audit mode', () => {
  let webhook: WebhookProcess;
  beforeAll(async () => {
    webhook = await startWebhook({
      settings: { SCOPE: 'cluster', MODE: 'audit', SERVER_WARNINGS: 'true' },
      flags: ['--node-local', 'on', '--offline'],
    });
  });
  afterAll(() => webhook.stop());

  it('patches nothing, and says everywhere what would be done', async () => {
    const review = fixture('seed');
    const answer = answerOf(await webhook.post(JSON.stringify(review)));
    expect(answer).toMatchObject({ allowed: true, patch: [] });
    expect(answer.audit).toMatchObject({
      mode: 'audit',
      decision: { reason: 'MuslRedirected', remedy: ['redirect'], resolvers: { seed: 'musl' } },
    });
    expect(answer.warnings[0]).toMatch(/^libc-dns: would apply redirect \(MuslRedirected\): /);
    expect(await webhook.decision(review.request.uid)).toMatchObject({
      level: 'info',
      namespace: 'shop',
      pod: 'seed-',
      mode: 'audit',
      reason: 'MuslRedirected',
      remedy: ['redirect'],
      resolvers: { musl: 1 },
      patched: false,
    });
    expect(
      await metric(webhook, 'libc_dns_decisions_total{mode="audit",remedy="redirect",reason="MuslRedirected"} 1'),
    ).toBe(true);
    expect(await metric(webhook, 'libc_dns_containers_total{resolver="musl",source="annotation"} 1')).toBe(true);
  });
});

describe('the default configuration', () => {
  let webhook: WebhookProcess;
  beforeAll(async () => {
    webhook = await startWebhook({ flags: ['--offline'] });
  });
  afterAll(() => webhook.stop());

  it('leaves everything alone until someone opts in', async () => {
    const answer = answerOf(await webhook.post(JSON.stringify(fixture('plain'))));
    expect(answer).toMatchObject({ patch: [], audit: { mode: 'off', decision: { reason: 'NotOptedIn' } } });
    const pod = podReview({ metadata: { labels: { 'libc-dns.dev/mode': 'enforce' } } });
    expect(answerOf(await webhook.post(JSON.stringify(pod))).patch.length).toBeGreaterThan(0);
  });

  it('answers a dry run the same', async () => {
    const metadata = { labels: { 'libc-dns.dev/mode': 'enforce' } };
    const [real, dry] = await Promise.all(
      [false, true].map(async (dryRun) =>
        answerOf(await webhook.post(JSON.stringify(podReview({ metadata, request: { dryRun } })))),
      ),
    );
    expect(dry).toEqual(real);
  });

  it('never touches a system namespace', async () => {
    const review = podReview({
      request: { namespace: 'kube-system' },
      metadata: { labels: { 'libc-dns.dev/mode': 'enforce' } },
    });
    expect(answerOf(await webhook.post(JSON.stringify(review))).audit.decision.reason).toBe('SystemNamespace');
  });

  it('listens on loopback only, outside a cluster', () => {
    expect(new URL(webhook.url).hostname).toBe('127.0.0.1');
  });

  it('gives no use-vc while the cluster DNS has not answered over TCP', async () => {
    const pod = podReview({ metadata: { labels: { 'libc-dns.dev/mode': 'enforce' } } });
    const { patch } = answerOf(await webhook.post(JSON.stringify(pod)));
    expect(JSON.stringify(patch)).toContain('single-request-reopen');
    expect(JSON.stringify(patch)).not.toContain('use-vc');
  });
});

describe('probes and metrics', () => {
  let webhook: WebhookProcess;
  beforeAll(async () => {
    webhook = await startWebhook({ flags: ['--offline'] });
  });
  afterAll(() => webhook.stop());

  it.each([
    { path: '/livez', says: 'ok\n' },
    { path: '/readyz', says: 'ok\n' },
  ])('$path', async ({ path, says }) => {
    const response = await fetch(webhook.probes + path);
    expect([response.status, await response.text()]).toEqual([200, says]);
  });

  it('/metrics is the Prometheus text format, with the certificate and the build', async () => {
    const response = await fetch(`${webhook.probes}/metrics`);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    const text = await response.text();
    expect(text).toMatch(/^libc_dns_build_info\{version="\d+\.\d+\.\d+"\} 1$/m);
    expect(text).toMatch(/^libc_dns_certificate_expiry_timestamp_seconds \d{10}$/m);
  });

  it('counts what is no review', async () => {
    await webhook.post('{}');
    expect(await metric(webhook, 'libc_dns_bad_requests_total{status="400"} 1')).toBe(true);
  });
});
