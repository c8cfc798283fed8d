import { Agent, request } from 'node:https';
import { connect, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';

import { image } from '../support/image-builder.ts';
import { elf } from '../support/elf-builder.ts';
import { layer } from '../support/layer-builder.ts';
import { startRegistry, type RegistryServer, type RegistryServerOptions } from '../support/registry-server.ts';
import { answerOf, podReview, type Answer } from '../support/reviews.ts';
import { startWebhook, type WebhookProcess } from '../support/webhook-process.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function webhookWith(
  registryOptions: RegistryServerOptions,
  settings: Record<string, string> = {},
): Promise<{ webhook: WebhookProcess; registry: RegistryServer; ask: (name: string) => Promise<Answer> }> {
  const registry = await startRegistry(registryOptions);
  closers.push(() => registry.close());
  const webhook = await startWebhook({
    flags: ['--namespace-mode', 'enforce'],
    settings: { LOG_LEVEL: 'info', DETECTION_REGISTRY_INSECURE: registry.host, ...settings },
  });
  closers.push(() => webhook.process.kill('SIGKILL'));
  // More than may wait for look-ups, fewer than may be in their handshake at once.
  const agent = new Agent({ keepAlive: true, maxSockets: 400 });
  closers.push(() => agent.destroy());
  const ask = async (name: string): Promise<Answer> => {
    const spec = { containers: [{ name: 'main', image: `${registry.host}/team/${name}:v1` }] };
    return answerOf(await webhook.post(JSON.stringify(podReview({ spec })), { agent }));
  };
  return { webhook, registry, ask };
}

async function metric({ probes }: WebhookProcess, name: string): Promise<number> {
  const text = await (await fetch(`${probes}/metrics`)).text();
  return Number(new RegExp(`^${name.replaceAll(/[{}"]/g, String.raw`\$&`)} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('more than there is room for', () => {
  it('look-ups: Pods on 600 images of a registry that hangs all get the safe remedy, and few are looked up', async () => {
    const { webhook, registry, ask } = await webhookWith(
      { fault: () => ({ kind: 'hang' }) },
      // So long that all are there together, on a busy machine too.
      { DETECTION_BUDGET: '5s' },
    );
    const answers = await Promise.all(numbers(600).map((index) => ask(`app-${index}`)));
    for (const { allowed, audit } of answers) {
      expect(allowed).toBe(true);
      expect(audit.decision).toMatchObject({ reason: 'UnknownOptions', remedy: ['options'] });
    }
    expect(await metric(webhook, 'libc_dns_detections_total{from="none",failure="shed"}')).toBeGreaterThan(0);
    expect(await metric(webhook, 'libc_dns_lookups_running')).toBeLessThanOrEqual(32);
    expect(await metric(webhook, 'libc_dns_lookups_queued')).toBeLessThanOrEqual(256);
    expect(registry.mostAtOnce()).toBeLessThanOrEqual(8);
  });

  it('verdicts: the least recently used give way, and are looked up again', async () => {
    const { webhook, registry, ask } = await webhookWith(
      {},
      { DETECTION_CACHE_ENTRIES: '100', DETECTION_BUDGET: '9s' },
    );
    const content = elf({ interpreter: '/lib/ld-musl-x86_64.so.1' });
    const musl = image({ layers: [layer([{ path: 'app', content }], 'gzip')], config: { entrypoint: ['/app'] } });
    for (const index of numbers(150)) {
      registry.put(`team/app-${index}:v1`, musl);
      expect((await ask(`app-${index}`)).audit.decision.resolvers).toEqual({ main: 'musl' });
    }
    expect(await metric(webhook, 'libc_dns_verdicts_remembered')).toBeLessThanOrEqual(100);
    const before = registry.requests.length;
    await ask('app-149');
    expect(registry.requests).toHaveLength(before);
    expect((await ask('app-0')).audit.decision.resolvers).toEqual({ main: 'musl' });
    expect(registry.requests.length).toBeGreaterThan(before);
  });

  it('bodies: those that announce 7 MiB and never come take no room, and end after 5 s', async () => {
    const { webhook, ask } = await webhookWith({}, { DETECTION_REGISTRY_ENABLED: 'false' });
    const answers: { text: string; ms: number }[] = [];
    const open = async (): Promise<TLSSocket> => {
      const { port } = new URL(webhook.url);
      const socket = connect({ host: '127.0.0.1', port: Number(port), ca: webhook.ca, servername: 'localhost' });
      let sentAt = 0;
      socket.on('data', (chunk: Buffer) =>
        answers.push({ text: chunk.toString('latin1'), ms: performance.now() - sentAt }),
      );
      socket.on('error', () => {});
      await new Promise((resolve) => {
        socket.once('secureConnect', resolve);
      });
      const head = `POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${7 * 2 ** 20}\r\n\r\n{`;
      sentAt = performance.now();
      socket.write(head);
      return socket;
    };
    const sockets = await Promise.all(numbers(30).map(open));
    const large = JSON.stringify(podReview({ metadata: { annotations: { large: 'x'.repeat(6 * 2 ** 20) } } }));
    expect((await ask('app')).allowed).toBe(true);
    expect((await webhook.post(large)).status).toBe(200);
    await expect.poll(() => answers.length, { timeout: 20_000 }).toBe(30);
    for (const { text, ms } of answers) {
      // None had to make room for the others earlier. Timers count whole milliseconds.
      expect(ms).toBeGreaterThan(4990);
      expect(text).toMatch(/^HTTP\/1\.1 408 .*connection: close.*\{"error":"the body did not come within 5 s"\}$/s);
    }
    expect(await metric(webhook, 'libc_dns_bad_requests_total{status="408"}')).toBe(30);
    await expect.poll(() => sockets.every(({ closed }) => closed)).toBe(true);
  });

  it('bodies: of those that come to more than 56 MiB and do not end the oldest are refused, and Pods are answered', async () => {
    const { webhook, ask } = await webhookWith({}, { DETECTION_REGISTRY_ENABLED: 'false' });
    const large = JSON.stringify(podReview({ metadata: { annotations: { large: 'x'.repeat(6 * 2 ** 20) } } }));
    const held = numbers(12).map((index) => {
      const call = request(new URL('/mutate', webhook.url), {
        method: 'POST',
        ca: webhook.ca,
        headers: { 'content-type': 'application/json', 'content-length': large.length },
      });
      call.on('error', () => {}).write(large.slice(0, -1));
      closers.push(() => call.destroy());
      return new Promise<number>((resolve) => call.on('response', ({ statusCode }) => resolve(statusCode ?? index)));
    });
    expect(await Promise.race(held)).toBe(503);
    expect((await ask('app')).allowed).toBe(true);
    expect((await webhook.post(large)).status).toBe(200);
    expect(await metric(webhook, 'libc_dns_bad_requests_total{status="503"}')).toBeGreaterThan(2);
    // Nor does anything of them hold the end up.
    expect(await webhook.stop()).toBe(0);
  });
});
