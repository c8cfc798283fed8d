import { copyFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { faultyBundle } from '../support/bundle.ts';
import { elf } from '../support/elf-builder.ts';
import { childrenOf, familyMemory, residentOf } from '../support/family.ts';
import { image } from '../support/image-builder.ts';
import { layer } from '../support/layer-builder.ts';
import { type RegistryServer, startRegistry } from '../support/registry-server.ts';
import { answerOf, fixture } from '../support/reviews.ts';
import { startWebhook, type WebhookProcess } from '../support/webhook-process.ts';

/** The chart's, for its limit of 512 MiB: without a container Node would see the machine's memory. */
const HEAP = { NODE_OPTIONS: '--expose-gc --max-old-space-size=307' };

const INNOCENTS = 20;

let main: string;
let remove: () => void;
let registry: RegistryServer;

beforeAll(async () => {
  ({ main, remove } = faultyBundle());
  registry = await startRegistry({ delayMs: 20 });
});
afterAll(async () => {
  await registry.close();
  remove();
});

const push = (repository: string): string => {
  const program = Buffer.concat([elf({ interpreter: '/lib/ld-musl-x86_64.so.1' }), Buffer.from(repository)]);
  const layers = [layer([{ path: 'app', content: program }], 'gzip')];
  return registry.put(`${repository}:v1`, image({ layers, config: { entrypoint: ['/app'] } }));
};

const review = (reference: string): string => {
  const whole = fixture('plain');
  const { containers } = whole.request.object.spec as { containers: { image: string }[] };
  for (const container of containers) container.image = reference;
  return JSON.stringify(whole);
};

/** Sends a Pod with this image, and returns the resolver that the webhook names. */
const ask = async (webhook: WebhookProcess, reference: string): Promise<string | undefined> =>
  Object.values(answerOf(await webhook.post(review(reference))).audit.decision.resolvers)[0];

/** Asks for a known image again and again, and measures memory, until told to stop. */
function observe(webhook: WebhookProcess, known: string) {
  const pid = webhook.process.pid ?? 0;
  const seen = { slowest: 0, memory: 0, pods: 0 };
  const over = new AbortController();
  const run = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const before = performance.now();
      expect(await ask(webhook, known)).toBe('musl');
      seen.slowest = Math.max(seen.slowest, performance.now() - before);
      seen.pods += 1;
      seen.memory = Math.max(seen.memory, familyMemory(pid));
      await sleep(20);
    }
  };
  const end = (): void => over.abort();
  onTestFinished(end);
  const running = run();
  return async () => {
    end();
    await running;
    return seen;
  };
}

const metric = async ({ probes }: WebhookProcess, name: string): Promise<number> => {
  const text = await (await fetch(`${probes}/metrics`)).text();
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1));
};

describe.each([
  ['loops for ever', 'loop', 'unresponsive'],
  ['fills the heap', 'heap', 'memory'],
  ['fills buffers', 'buffers', 'memory'],
  ['exits', 'exit', 'exit'],
  ['crashes', 'crash', 'exit'],
  ['sleeps', 'sleep', 'unresponsive'],
])('an image whose inspection %s', (_, fault, cause) => {
  it('ends processes of its own alone; the others get their verdicts', { timeout: 120_000 }, async () => {
    const settings = { DETECTION_REGISTRY_INSECURE: registry.host, GLIBC_TCP_PREFLIGHT: 'false' };
    const flags = ['--namespace-mode', 'enforce'];
    const webhook = await startWebhook({ main, flags, settings, environment: HEAP });
    onTestFinished(() => void webhook.process.kill('SIGKILL'));
    const known = push(`team/known-${fault}`);
    await expect.poll(() => ask(webhook, known), { timeout: 30_000 }).toBe('musl');
    const end = observe(webhook, known);
    const guilty = push(`team/fault-${fault}`);
    const innocents = Array.from({ length: INNOCENTS }, (_each, index) => push(`team/innocent-${fault}-${index}`));
    const pods = Promise.all([guilty, ...innocents].map((reference) => ask(webhook, reference)));
    await expect
      .poll(() => metric(webhook, `libc_dns_reader_ends_total{cause="${cause}"}`), { timeout: 60_000 })
      .toBe(2);
    await pods;
    await expect
      .poll(() => Promise.all(innocents.map((reference) => ask(webhook, reference))), { timeout: 60_000 })
      .toEqual(innocents.map(() => 'musl'));
    for (let pod = 0; pod < 3; pod += 1) expect(await ask(webhook, guilty)).toBe('unknown');
    expect(await metric(webhook, 'libc_dns_images_quarantined_total')).toBe(1);
    expect(await metric(webhook, `libc_dns_reader_ends_total{cause="${cause}"}`)).toBe(2);
    const line = webhook.lines.find(({ msg }) => msg.includes('it is not read again for a while'));
    expect(line).toMatchObject({ level: 'warn', cause, msg: expect.stringContaining('@sha256:') });
    const { slowest, memory, pods: answered } = await end();
    console.log(`${fault}: ${answered} known Pods, the slowest ${Math.round(slowest)} ms, ${Math.round(memory)} MiB`);
    expect(memory).toBeLessThan(512);
    expect(await webhook.stop()).toBe(0);
  });
});

describe('the reader process', () => {
  const settings = () => ({ DETECTION_REGISTRY_INSECURE: registry.host, GLIBC_TCP_PREFLIGHT: 'false' });
  const start = () => startWebhook({ main, flags: ['--namespace-mode', 'enforce'], settings: settings() });

  it('is started by the first new image, and ends with the server', async () => {
    const webhook = await start();
    const pid = webhook.process.pid ?? 0;
    expect(childrenOf(pid)).toEqual([]);
    await expect.poll(() => ask(webhook, push('team/first'))).toBe('musl');
    const [reader] = childrenOf(pid);
    expect(reader).toBeDefined();
    expect(await webhook.stop()).toBe(0);
    await expect.poll(() => residentOf(reader ?? 0)).toBe(0);
  });

  it('does not report what the server has reported of its files', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'docker-config-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'config.json');
    writeFileSync(path, '{"credHelpers": 5}');
    const webhook = await startWebhook({
      main,
      flags: ['--namespace-mode', 'enforce'],
      settings: { ...settings(), DETECTION_REGISTRY_DOCKER_CONFIG: path },
    });
    await expect.poll(() => ask(webhook, push('team/login'))).toBe('musl');
    expect(webhook.lines.filter(({ msg }) => msg === `${path}: credHelpers is not an object`)).toHaveLength(1);
    expect(await webhook.stop()).toBe(0);
  });

  it('ends when the server is killed', async () => {
    const webhook = await start();
    await expect.poll(() => ask(webhook, push('team/second'))).toBe('musl');
    const [reader] = childrenOf(webhook.process.pid ?? 0);
    webhook.process.kill('SIGKILL');
    await expect.poll(() => residentOf(reader ?? 0)).toBe(0);
  });

  it('is needed: without its program the server does not start', async () => {
    const alone = main.replace(/main\.js$/, 'alone.mjs');
    copyFileSync(main, alone);
    renameSync(alone.replace('alone.mjs', 'reader.js'), alone.replace('alone.mjs', 'moved.js'));
    await expect(startWebhook({ main: alone, settings: settings() })).rejects.toThrow('reader.js is missing');
    renameSync(alone.replace('alone.mjs', 'moved.js'), alone.replace('alone.mjs', 'reader.js'));
  });
});
