import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { text as readText } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { answerOf, fixture, patched, podReview, type Review } from '../support/reviews.ts';
import { startWebhook, type WebhookProcess } from '../support/webhook-process.ts';

let webhook: WebhookProcess;

beforeAll(async () => {
  webhook = await startWebhook({
    flags: ['--namespace-mode', 'enforce', '--node-local', 'on', '--offline'],
    settings: { GLIBC_TCP_PREFLIGHT: 'false' },
  });
});

/** Whatever a test has sent, the server still serves. */
afterEach(async () => {
  const answer = answerOf(await webhook.post(JSON.stringify(fixture('plain'))));
  expect(answer.patch.length).toBeGreaterThan(0);
});

afterAll(async () => {
  expect(await webhook.stop()).toBe(0);
});

const send = async (review: Review) => answerOf(await webhook.post(JSON.stringify(review)));

/** A call whose body is sent by hand. */
function begin(headers: Record<string, string>) {
  const type = { 'content-type': 'application/json' };
  const call = httpsRequest(new URL('/mutate', webhook.url), {
    method: 'POST',
    ca: webhook.ca,
    headers: { ...type, ...headers },
  });
  const reply = new Promise<IncomingMessage>((resolve, reject) => {
    call.on('response', resolve).on('error', reject);
  });
  return { call, reply };
}

describe('what is no AdmissionReview v1 gets an HTTP error that says why', () => {
  const v1 = JSON.stringify(fixture('plain'));
  it.each([
    { name: 'an empty body', body: '', status: 400, says: /body/i },
    { name: 'broken JSON', body: v1.slice(0, 500), status: 400, says: /JSON/ },
    {
      name: 'a v1beta1 review',
      body: v1.replaceAll('admission.k8s.io/v1', 'admission.k8s.io/v1beta1'),
      status: 400,
      says: /apiVersion: .*admission\.k8s\.io\/v1/,
    },
    { name: 'null', body: 'null', status: 400, says: /AdmissionReview/ },
    { name: 'a list', body: '[]', status: 400, says: /AdmissionReview/ },
    {
      name: 'no request',
      body: '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}',
      status: 400,
      says: /request/,
    },
    { name: 'no uid', body: v1.replace(/"uid":"[^"]*"/, '"uid":""'), status: 400, says: /request\.uid/ },
    {
      name: 'a Pod instead of a review',
      body: JSON.stringify(fixture('plain').request.object),
      status: 400,
      says: /AdmissionReview/,
    },
    {
      name: 'no JSON, of a content type with parameters',
      body: '{',
      contentType: 'application/json; charset=utf-8',
      status: 400,
      says: /the body is not JSON/,
    },
    { name: 'another path', body: v1, path: '/', status: 404, says: /POST \/mutate/ },
    { name: 'another method', body: '{}', method: 'PUT', status: 404, says: /POST \/mutate/ },
    { name: 'another content type', body: v1, contentType: 'text/yaml', status: 415, says: /Unsupported Media Type/ },
  ])('$name: $status', async ({ body, status, says, ...options }) => {
    const reply = await webhook.post(body, options);
    expect(reply.status).toBe(status);
    expect((JSON.parse(reply.body) as { error: string }).error).toMatch(says);
  });

  it('a review of a content type with parameters is answered like any other', async () => {
    const options = { contentType: 'application/json; charset=utf-8', path: '/mutate?timeout=10s' };
    const [plain, other] = [await webhook.post(v1), await webhook.post(v1, options)];
    expect({ status: other.status, body: other.body }).toEqual({ status: 200, body: plain.body });
    expect(other.headers['content-type']).toBe(plain.headers['content-type']);
  });

  it('a body over 7 MiB: 413', async () => {
    const body = JSON.stringify({ ...fixture('plain'), padding: 'x'.repeat(7 * 1024 * 1024) });
    const reply = await webhook.post(body).catch((error: NodeJS.ErrnoException) => error);
    // The server answers and closes; a client that still sends may see the reset first.
    expect('status' in reply ? reply.status : ['EPIPE', 'ECONNRESET'].includes(reply.code ?? '')).toSatisfy(
      (value) => value === 413 || value === true,
    );
  });

  it('a body without an announced length, over 7 MiB: 413', async () => {
    const { call, reply } = begin({ 'transfer-encoding': 'chunked' });
    const pieces = setInterval(() => call.write('x'.repeat(64 * 1024)), 1);
    expect((await reply).statusCode).toBe(413);
    clearInterval(pieces);
    call.destroy();
  });

  it('a caller that goes in the middle of a body: counted and told, and nothing else', async () => {
    const { call, reply } = begin({ 'content-length': '1000' });
    call.write('{', () => setTimeout(() => call.destroy(), 50));
    await expect(reply).rejects.toThrow(/hang up/);
    await expect.poll(() => webhook.lines.some(({ msg }) => msg === 'bad request: aborted')).toBe(true);
  });

  it('garbage instead of TLS: the connection is closed', async () => {
    const { hostname, port } = new URL(webhook.url);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    socket.write('GET / HTTP/1.1\r\n\r\n');
    const closed = new Promise((resolve) => socket.on('close', () => resolve('closed')));
    expect(await closed).toBe('closed');
  });
});

it('a body that comes in many pieces, cut within a character, is one', async () => {
  const annotations = { note: 'ü€𝄞'.repeat(1000) };
  const body = Buffer.from(JSON.stringify(podReview({ metadata: { annotations } })));
  const { call, reply } = begin({ 'transfer-encoding': 'chunked' });
  for (let at = 0; at < body.length; at += 997) call.write(body.subarray(at, at + 997));
  call.end();
  const response = await reply;
  const answer = answerOf({ status: response.statusCode ?? 0, headers: {}, body: await readText(response) });
  expect(answer.patch.length).toBeGreaterThan(0);
});

describe('requests that create no Pod are let through as they are', () => {
  it.each([
    { name: 'UPDATE', request: { operation: 'UPDATE' } },
    { name: 'DELETE', request: { operation: 'DELETE', object: null } },
    { name: 'CONNECT', request: { operation: 'CONNECT', subResource: 'exec' } },
    { name: 'pods/ephemeralcontainers', request: { operation: 'UPDATE', subResource: 'ephemeralcontainers' } },
    { name: 'pods/binding', request: { subResource: 'binding' } },
    { name: 'another kind', request: { resource: { group: 'apps', version: 'v1', resource: 'deployments' } } },
  ])('$name', async ({ request }) => {
    const answer = await send(podReview({ request }));
    expect(answer).toMatchObject({ allowed: true, patch: [] });
    expect(answer.audit.decision.reason).toBe('NotPodCreation');
  });
});

describe('strange Pods', () => {
  it.each([
    { name: 'without containers', review: podReview({ spec: { containers: [] } }), reason: 'NoContainers' },
    { name: 'with no spec', review: podReview({ request: { object: { metadata: {} } } }), reason: 'NoContainers' },
    { name: 'that is null', review: podReview({ request: { object: null } }), reason: 'NoContainers' },
    {
      name: 'with containers that are no list',
      review: podReview({ spec: { containers: 'x' } }),
      reason: 'MalformedPod',
    },
    {
      name: 'with options that are no list',
      review: podReview({ spec: { dnsConfig: { options: {} } } }),
      reason: 'MalformedPod',
    },
    {
      name: 'with a null option',
      review: podReview({ spec: { dnsConfig: { options: [null] } } }),
      reason: 'MalformedPod',
    },
    { name: 'with an unknown dnsPolicy', review: podReview({ spec: { dnsPolicy: 'X' } }), reason: 'MalformedPod' },
  ])('$name: admitted as it is ($reason)', async ({ review, reason }) => {
    const answer = await send(review);
    expect(answer).toMatchObject({ allowed: true, patch: [] });
    expect(answer.audit.decision.reason).toBe(reason);
  });

  it('with 10,000 containers: patched, and the annotation stays small', async () => {
    const containers = Array.from({ length: 10_000 }, (_, index) => ({ name: `c${index}`, image: `i${index}` }));
    const review = podReview({ spec: { containers } });
    const { patch, allowed } = await send(review);
    expect(allowed).toBe(true);
    expect(JSON.stringify(patch).length).toBeLessThan(3000);
    expect((await send(patched(review, patch))).patch).toEqual([]);
  });

  it('with fields of a later API version: kept', async () => {
    const review = podReview({ spec: { dnsConfig: { options: [], resolver: { fast: true } }, later: [1] } });
    const { patch } = await send(review);
    expect(patched(review, patch).request.object.spec['dnsConfig']).toMatchObject({ resolver: { fast: true } });
  });

  it.each([
    { dnsConfig: null },
    { dnsConfig: {} },
    { dnsConfig: { nameservers: null, searches: null, options: null } },
    { dnsConfig: { options: [{ name: 'ndots', value: null }] } },
  ])('with nulls, $dnsConfig: patched, and not a second time', async (spec) => {
    const review = podReview({ spec, metadata: { annotations: null } });
    const { patch } = await send(review);
    const again = patched(review, patch);
    const { options } = again.request.object.spec['dnsConfig'] as { options: { name: string }[] };
    expect(options.map(({ name }) => name)).toEqual(expect.arrayContaining(['single-request-reopen', 'use-vc']));
    expect((await send(again)).patch).toEqual([]);
  });

  it('with a label called constructor: patched', async () => {
    const review = podReview({ metadata: { labels: { constructor: 'x', prototype: 'y' } } });
    expect((await send(review)).patch.length).toBeGreaterThan(0);
    const text = JSON.stringify(review).replace('"labels":{', '"labels":{"__proto__":"z",');
    expect(answerOf(await webhook.post(text)).patch.length).toBeGreaterThan(0);
  });

  it('with annotations as large as they may be: patched, without ours, so that the API server takes it', async () => {
    const annotations = { a: 'x'.repeat(256 * 1024 - 10) };
    const { patch } = await send(podReview({ metadata: { annotations } }));
    expect(patch.map(({ path }) => path)).toEqual(['/spec/dnsConfig']);
  });

  it('nested deeper than any stack: answered; refused unread if it is large', async () => {
    const nested = (depth: number): string =>
      JSON.stringify(podReview()).replace('"spec":{', `"spec":{"deep":${'['.repeat(depth)}${']'.repeat(depth)},`);
    expect(answerOf(await webhook.post(nested(25_000))).allowed).toBe(true);
    const reply = await webhook.post(nested(200_000));
    expect(reply.status).toBe(400);
    expect(reply.body).toMatch(/more than 500 levels/);
  });

  it('in a namespace only the request names: its searches are right', async () => {
    const annotations = { 'libc-dns.dev/libc': 'musl' };
    const { patch } = await send(
      podReview({ metadata: { namespace: '', annotations }, request: { namespace: 'billing' } }),
    );
    expect(JSON.stringify(patch)).toContain('"billing.svc.cluster.local"');
  });

  it('with a wrong annotation: ignored, and the user is told, on one line', async () => {
    const annotations = { 'libc-dns.dev/libc': `mus\nl${'x'.repeat(500)}`, 'libc-dns.dev/libc.nobody': 'musl' };
    const { warnings, audit } = await send(podReview({ metadata: { annotations } }));
    expect(audit.decision.reason).toBe('UnknownOptions');
    expect(warnings).toHaveLength(2);
    for (const warning of warnings) expect(warning).toMatch(/^libc-dns: annotation [^\n]{10,245}$/);
  });
});
