import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { answerOf, fixture, patched } from '../support/reviews.ts';
import { startWebhook, type WebhookProcess } from '../support/webhook-process.ts';

let webhook: WebhookProcess;

beforeAll(async () => {
  // No registry: what the annotations do not say stays unknown.
  webhook = await startWebhook({
    flags: ['--namespace-mode', 'enforce', '--node-local', 'on', '--cluster-dns', '10.96.0.10', '--offline'],
    settings: { GLIBC_TCP_PREFLIGHT: 'false' },
  });
});

afterAll(() => webhook.stop());

const OPTIONS = [{ name: 'single-request-reopen' }, { name: 'use-vc' }];

const REDIRECT = {
  nameservers: ['169.254.20.10', '10.96.0.10'],
  searches: ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local'],
};

const MUSL_OPTIONS = [
  { name: 'ndots', value: '5' },
  { name: 'timeout', value: '5' },
  { name: 'attempts', value: '10' },
];

/** Each captured request: what is decided, and the DNS settings of the patched Pod. */
const cases = [
  {
    name: 'already-tuned',
    reason: 'UnknownOptions',
    dnsConfig: { options: [{ name: 'single-request-reopen' }, { name: 'timeout', value: '2' }, { name: 'use-vc' }] },
  },
  { name: 'dry', reason: 'UnknownOptions', dnsConfig: { options: OPTIONS } },
  { name: 'ephemeralcontainers-plain', reason: 'NotPodCreation' },
  { name: 'generated', reason: 'UnknownOptions', dnsConfig: { options: OPTIONS } },
  { name: 'hostnet', reason: 'HostNetwork' },
  {
    name: 'mixed',
    reason: 'MixedRedirected',
    dnsPolicy: 'None',
    dnsConfig: { ...REDIRECT, nameservers: ['10.96.0.10', '169.254.20.10'], options: [...MUSL_OPTIONS, ...OPTIONS] },
  },
  {
    name: 'node-agent',
    reason: 'UnknownOptions',
    dnsPolicy: 'ClusterFirstWithHostNet',
    dnsConfig: { options: OPTIONS },
  },
  { name: 'opted-out', reason: 'PodOptedOut' },
  { name: 'plain', reason: 'UnknownOptions', dnsConfig: { options: OPTIONS } },
  { name: 'policy-default', reason: 'PolicyDefault' },
  { name: 'policy-none', reason: 'PolicyNone' },
  { name: 'postgres-0', reason: 'UnknownOptions', dnsConfig: { options: [{ name: 'ndots', value: '2' }, ...OPTIONS] } },
  { name: 'report', reason: 'UnknownOptions', dnsConfig: { options: OPTIONS } },
  { name: 'seed', reason: 'MuslRedirected', dnsPolicy: 'None', dnsConfig: { ...REDIRECT, options: MUSL_OPTIONS } },
  { name: 'storefront', reason: 'UnknownOptions', dnsConfig: { options: OPTIONS } },
  { name: 'update-plain', reason: 'NotPodCreation' },
  { name: 'windows', reason: 'Windows' },
];

describe('the requests that an API server really sent', () => {
  it('are all here', () => {
    const files = readdirSync(new URL('../fixtures/admission-reviews/', import.meta.url));
    expect(files.toSorted()).toEqual(cases.map(({ name }) => `${name}.json`));
  });

  it.each(cases)('$name: $reason, and no patch the second time', async ({ name, reason, dnsPolicy, dnsConfig }) => {
    const review = fixture(name);
    const first = answerOf(await webhook.post(JSON.stringify(review)));
    expect(first).toMatchObject({ uid: review.request.uid, allowed: true, warnings: [] });
    expect(first.audit.decision.reason).toBe(reason);
    expect(first.patch.length > 0).toBe(dnsConfig !== undefined);

    const again = patched(review, first.patch);
    const { spec } = again.request.object;
    expect(spec['dnsPolicy']).toBe(dnsPolicy ?? review.request.object.spec['dnsPolicy']);
    expect(spec['dnsConfig']).toEqual(dnsConfig ?? review.request.object.spec['dnsConfig']);
    expect(answerOf(await webhook.post(JSON.stringify(again))).patch).toEqual([]);
  });

  it('the patched Pod says why', async () => {
    const review = fixture('seed');
    const { patch } = answerOf(await webhook.post(JSON.stringify(review)));
    const annotations = patched(review, patch).request.object.metadata['annotations'] as Record<string, string>;
    expect(JSON.parse(annotations['libc-dns.dev/decision'] ?? '')).toEqual({
      reason: 'MuslRedirected',
      remedy: ['redirect'],
      resolvers: { seed: 'musl' },
    });
    expect(annotations['libc-dns.dev/libc']).toBe('musl');
  });
});

describe('the line of a decision', () => {
  const id = '0af7651916cd43dd8448eb211c80319c';

  it.each([
    { title: 'a trace of the API server', header: `00-${id}-b7ad6b7169203331-01`, traceId: id },
    { title: 'a later version, with more in it', header: `cc-${id}-b7ad6b7169203331-01-more`, traceId: id },
    { title: 'no trace', header: `00-${'0'.repeat(32)}-b7ad6b7169203331-01`, traceId: undefined },
    { title: 'something else', header: `x${id}`, traceId: undefined },
  ])('$title', async ({ header, traceId }) => {
    const review = fixture('plain');
    const uid = `trace-${header.length}-${header.slice(0, 6)}`;
    const body = JSON.stringify({ ...review, request: { ...review.request, uid } });
    expect((await webhook.post(body, { headers: { traceparent: header } })).status).toBe(200);
    expect((await webhook.decision(uid))['traceId']).toBe(traceId);
  });
});
