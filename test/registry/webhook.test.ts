import { randomUUID } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { Agent } from 'node:https';
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';

import { image, type BuiltImage } from '../support/image-builder.ts';
import { blobDescriptor } from '../support/image-builder.ts';
import { layer, type BuiltLayer } from '../support/layer-builder.ts';
import { elf } from '../support/elf-builder.ts';
import {
  startRegistry,
  type Fault,
  type RegistryServer,
  type RegistryServerOptions,
} from '../support/registry-server.ts';
import { answerOf, podReview, type Answer } from '../support/reviews.ts';
import { startWebhook, type WebhookProcess } from '../support/webhook-process.ts';

const MUSL = elf({ interpreter: '/lib/ld-musl-x86_64.so.1' });
const GLIBC = elf({ interpreter: '/lib64/ld-linux-x86-64.so.2' });

const app = (content: Buffer): BuiltImage =>
  image({ layers: [layer([{ path: 'app', content }], 'gzip')], config: { entrypoint: ['/app'] } });

const closers: (() => unknown)[] = [];
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()));
});

async function registryWith(options: RegistryServerOptions = {}): Promise<RegistryServer> {
  const registry = await startRegistry(options);
  closers.push(registry.close);
  return registry;
}

async function webhookFor(registry: RegistryServer, settings: Record<string, string> = {}): Promise<WebhookProcess> {
  const webhook = await startWebhook({
    flags: ['--namespace-mode', 'enforce', '--node-local', 'on'],
    settings: { DETECTION_REGISTRY_INSECURE: registry.host, GLIBC_TCP_PREFLIGHT: 'false', ...settings },
  });
  closers.push(() => webhook.process.kill('SIGKILL'));
  return webhook;
}

async function ask(webhook: WebhookProcess, reference: string, agent?: Agent): Promise<Answer> {
  const spec = { containers: [{ name: 'c', image: reference }] };
  const review = podReview({ spec, request: { uid: randomUUID() } });
  const reply = await webhook.post(JSON.stringify(review), { path: '/mutate?timeout=5s', ...(agent && { agent }) });
  return answerOf(reply);
}

async function remembered(webhook: WebhookProcess, reference: string, resolver: string): Promise<void> {
  const resolvers = async () => (await ask(webhook, reference)).audit.decision.resolvers;
  await expect.poll(resolvers, { timeout: 15_000 }).toEqual({ c: resolver });
}

/** Waits until the webhook reads images: on a busy machine its reader process takes longer to start than a Pod waits. */
async function readerStarted(webhook: WebhookProcess, registry: RegistryServer): Promise<void> {
  await remembered(webhook, registry.put('first/app:v1', app(MUSL)), 'musl');
}

/** Returns the logged message of a decision. A caller without a certificate is told no more than that it stands there. */
const logged = async (webhook: WebhookProcess, { uid }: Answer): Promise<string> => (await webhook.decision(uid)).msg;

/** The memory of the webhook and of its reader processes, without the pages of files. A second one may start, to read an unknown image further. */
function residentBytes({ process: { pid } }: WebhookProcess): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  return [pid, ...children]
    .map((id) => Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${id}/status`, 'utf8'))?.[1]) * 1024)
    .reduce((sum, bytes) => sum + bytes, 0);
}

describe('1,000 Pods at once, of 50 images that nobody has seen', () => {
  it('50 look-ups; every Pod answered inside the budget, none refused; later ones right', async () => {
    const registry = await registryWith({ delayMs: 20 });
    const references = Array.from({ length: 50 }, (_, index) =>
      registry.put(
        `team/app-${index}:v1`,
        image({
          layers: [
            layer(
              [
                { path: 'app', content: index % 2 === 0 ? MUSL : GLIBC },
                { path: 'n', content: String(index) },
              ],
              'gzip',
            ),
          ],
          config: { entrypoint: ['/app'] },
        }),
      ),
    );
    const webhook = await webhookFor(registry);
    const agent = new Agent({ keepAlive: true, maxSockets: 100 });
    const answers = await Promise.all(
      Array.from({ length: 1000 }, (_, index) => ask(webhook, references[index % 50]!, agent)),
    );
    expect(answers.every(({ allowed }) => allowed)).toBe(true);
    expect(answers.every(({ patch }) => patch.length > 0)).toBe(true);
    const decided = () => webhook.lines.filter((line) => 'reason' in line).length;
    await expect.poll(decided).toBe(1000);
    const metrics = await (await fetch(`${webhook.probes}/metrics`)).text();
    expect(metrics).toMatch(/^libc_dns_late_answers_total 0$/m);

    const manifests = registry.requests.filter(({ path }) => path.includes('/manifests/'));
    expect(new Set(manifests.map(({ path }) => path)).size).toBe(50);
    expect(manifests).toHaveLength(50);
    for (const [index, reference] of references.entries()) {
      await remembered(webhook, reference, index % 2 === 0 ? 'musl' : 'glibc');
    }
    expect(registry.requests.filter(({ path }) => path.includes('/manifests/'))).toHaveLength(50);
    agent.destroy();
  }, 60_000);
});

/** A layer's bytes as they are, with a true digest. */
function rawLayer(bytes: Buffer): BuiltLayer {
  const built = layer([], 'gzip');
  return { ...built, bytes, descriptor: { ...built.descriptor, ...blobDescriptor(built.descriptor.mediaType, bytes) } };
}

const withLayer = (built: BuiltLayer): BuiltImage => image({ layers: [built], config: { entrypoint: ['/app'] } });

describe('whatever a registry does, the Pod gets the safe remedy in time, and the log says what happened', () => {
  const redirectTo = (location: string): Fault => ({ kind: 'answer', status: 307, headers: { location } });
  it.each<{ name: string; fault: Fault; says: RegExp }>([
    { name: 'hangs', fault: { kind: 'hang' }, says: /did not finish in the time/ },
    { name: 'resets the connection', fault: { kind: 'reset' }, says: /reset the connection/ },
    { name: 'resets in mid-body', fault: { kind: 'reset-mid-body', after: 10 }, says: /in the middle of its answer/ },
    { name: 'sends endless headers', fault: { kind: 'endless-headers' }, says: /more headers than are read/ },
    { name: 'sends a body without end', fault: { kind: 'endless-body' }, says: /longer than 4194304 bytes/ },
    {
      name: 'lies about the length',
      fault: { kind: 'content-length', claim: 10_000_000 },
      says: /longer than 4194304 bytes/,
    },
    { name: 'sends wrong bytes', fault: { kind: 'corrupt' }, says: /has the digest sha256/ },
    { name: 'is no HTTP server', fault: { kind: 'not-http' }, says: /does not speak HTTP/ },
    {
      name: 'redirects to the metadata service',
      fault: redirectTo('http://169.254.169.254/latest'),
      says: /169\.254\.169\.254 is not asked/,
    },
    {
      name: 'names a realm elsewhere',
      fault: {
        kind: 'answer',
        status: 401,
        headers: { 'www-authenticate': 'Bearer realm="http://192.0.2.1/t",service="x"' },
      },
      says: /192\.0\.2\.1 is not asked without TLS/,
    },
    {
      name: 'answers 401 for ever',
      fault: { kind: 'answer', status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } },
      says: /wants a login/,
    },
    {
      name: 'answers 429',
      fault: { kind: 'answer', status: 429, headers: { 'retry-after': '60' } },
      says: /left alone for another \d+ s/,
    },
    { name: 'answers 500', fault: { kind: 'answer', status: 500 }, says: /failed \(500\)/ },
    {
      name: 'says that there is no such image',
      fault: { kind: 'answer', status: 404 },
      says: /has no such image or tag/,
    },
  ])('$name', async ({ fault, says }) => {
    const registry = await registryWith({ fault: ({ path }) => (path.startsWith('/v2/team') ? fault : undefined) });
    const reference = registry.put('team/app:v1', app(MUSL));
    const webhook = await webhookFor(registry);
    await readerStarted(webhook, registry);
    const answer = await ask(webhook, reference);
    expect(answer).toMatchObject({
      allowed: true,
      audit: { decision: { reason: 'UnknownOptions', remedy: ['options'] } },
    });
    expect(answer.audit.message).not.toMatch(says);
    expect(await logged(webhook, answer)).toMatch(says);
  });

  it('refuses connections', async () => {
    const registry = await startRegistry();
    const reference = registry.put('team/app:v1', app(MUSL));
    const webhook = await webhookFor(registry);
    await readerStarted(webhook, registry);
    await registry.close();
    const answer = await ask(webhook, reference);
    expect(answer.audit.decision.reason).toBe('UnknownOptions');
    expect(answer.audit.message).not.toMatch(/refused|connect/);
    expect(await logged(webhook, answer)).toMatch(/refused|connect/);
  });

  it('serves 500s, then recovers: the image is found', async () => {
    let broken = true;
    const registry = await registryWith({ fault: () => (broken ? { kind: 'answer', status: 500 } : undefined) });
    const reference = registry.put('team/app:v1', app(MUSL));
    const webhook = await webhookFor(registry, { DETECTION_CACHE_FAILURE_TTL: '1s' });
    expect((await ask(webhook, reference)).audit.decision.resolvers).toEqual({ c: 'unknown' });
    broken = false;
    await remembered(webhook, reference, 'musl');
  });
});

describe('hostile layers: unknown, and memory stays bounded', () => {
  const bomb = gzipSync(Buffer.alloc(256 * 1024 * 1024), { level: 9 });
  const cyclic = layer(
    [
      { path: 'app', type: 'symlink', target: 'b' },
      { path: 'b', type: 'symlink', target: 'app' },
    ],
    'gzip',
  );
  it.each([
    { name: 'a gzip bomb of 256 MiB', built: rawLayer(bomb) },
    { name: 'links in a circle', built: cyclic },
    { name: 'no tar at all', built: rawLayer(gzipSync(Buffer.from('x'.repeat(10_000)))) },
    { name: 'bytes of nothing known', built: rawLayer(Buffer.alloc(4096, 7)) },
  ])('$name', async ({ built }) => {
    const registry = await registryWith();
    const reference = registry.put('team/app:v1', withLayer(built));
    const webhook = await webhookFor(registry);
    await readerStarted(webhook, registry);
    const before = residentBytes(webhook);
    const answer = await ask(webhook, reference);
    expect(answer.audit.decision.resolvers).toEqual({ c: 'unknown' });
    expect(answer.patch.length).toBeGreaterThan(0);
    expect(residentBytes(webhook) - before).toBeLessThan(96 * 1024 * 1024);
  });
});

describe('a look-up that outlives its Pod', () => {
  it('the first Pod gets the safe remedy, the next one what was found meanwhile', async () => {
    const registry = await registryWith({ delayMs: 300 });
    const reference = registry.put('team/slow:v1', app(MUSL));
    const webhook = await webhookFor(registry, { DETECTION_BUDGET: '100ms' });
    const first = await ask(webhook, reference);
    expect(first.audit.decision.reason).toBe('UnknownOptions');
    expect(await logged(webhook, first)).toContain('goes on for the next');
    await remembered(webhook, reference, 'musl');
    expect(registry.requests.filter(({ path }) => path.includes('/manifests/'))).toHaveLength(1);
  });
});
