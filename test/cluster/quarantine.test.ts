import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { faultyBundle } from '../support/bundle.ts';
import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { elf } from '../support/elf-builder.ts';
import { image } from '../support/image-builder.ts';
import { install, type Installation } from '../support/installation.ts';
import { layer } from '../support/layer-builder.ts';
import { createPod, optionsOf } from '../support/pods.ts';
import { type RegistryServer, startRegistry } from '../support/registry-server.ts';
import type { WebhookProcess } from '../support/webhook-process.ts';

const SHOP = ownName('shop');

const LIMITS = { settings: { WARM_UP_ENABLED: 'false' } };

const metric = async ({ probes }: WebhookProcess, start: string): Promise<number> => {
  const text = await (await fetch(`${probes}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(start));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
};

describe.runIf(hasCluster())('an image that ends the processes of one replica', () => {
  let cluster: TestCluster;
  let registry: RegistryServer;
  let installation: Installation;
  let bundle: ReturnType<typeof faultyBundle>;
  let guilty: string;
  let innocent: string;

  const optionsFor = async (reference: string): Promise<string[]> => {
    const name = `pod-${Math.random().toString(36).slice(2)}`;
    const spec = { containers: [{ name: 'main', image: reference }] };
    return optionsOf(await createPod(cluster, SHOP, { name, annotations: {}, spec }, { dryRun: 'All' }));
  };

  beforeAll(async () => {
    bundle = faultyBundle();
    [cluster, registry] = await Promise.all([startCluster(), startRegistry()]);
    const app = layer([{ path: 'app', content: elf({ interpreter: '/lib/ld-musl-x86_64.so.1' }) }], 'gzip');
    const push = (name: string): string =>
      registry.put(
        `team/${name}:v1`,
        image({ layers: [app], config: { entrypoint: ['/app'], env: [`NAME=${name}`] } }),
      );
    [guilty, innocent] = [push('fault-exit'), push('app')];
    await cluster.createNamespace(SHOP, { 'libc-dns.dev/mode': 'enforce' });
    installation = await install(cluster, {
      main: bundle.main,
      replicas: 0,
      settings: {
        DETECTION_REGISTRY_INSECURE: registry.host,
        DETECTION_CACHE_STORE: 'cluster',
        GLIBC_TCP_PREFLIGHT: 'false',
      },
    });
  });
  afterAll(async () => {
    await installation?.stop();
    await registry?.close();
    await cluster?.stop();
    bundle?.remove();
  });

  it('is an object that says so, and what others look up goes on', async () => {
    const first = await installation.addReplica(LIMITS);
    await expect.poll(() => optionsFor(innocent), { timeout: 30_000 }).toContain('attempts:10');
    // `--dry-run` writes nothing: this Pod is created.
    const spec = { containers: [{ name: 'main', image: guilty }] };
    await createPod(cluster, SHOP, { name: 'guilty', annotations: {}, spec });
    await expect.poll(() => metric(first, 'libc_dns_images_quarantined_total'), { timeout: 30_000 }).toBe(1);
    expect(await metric(first, 'libc_dns_reader_ends_total')).toBe(2);
    await expect
      .poll(() => cluster.kubectl(['get', 'imagelibcs']), { timeout: 30_000 })
      .toMatch(
        /team\/fault-exit@sha256:[0-9a-f]{64} +unknown +quarantine +reading it ended the reader process once \(it crashed\); next try not before 20\S+Z/,
      );
    expect(await optionsFor(innocent)).toContain('attempts:10');
  });

  it('is not read by a second replica, nor by its warm-up', async () => {
    const [first] = installation.replicas;
    const second = await installation.addReplica();
    await installation.removeReplica(first!);
    const labels = { app: 'idle' };
    await cluster.apply({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'idle', namespace: SHOP },
      spec: {
        replicas: 0,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: 'main', image: guilty }] } },
      },
    });
    await expect
      .poll(() => metric(second, 'libc_dns_warm_up_images_total{result="quarantined"}'), { timeout: 60_000 })
      .toBe(1);
    expect(await optionsFor(guilty)).toEqual(expect.not.arrayContaining(['attempts:10']));
    expect(await metric(second, 'libc_dns_reader_ends_total')).toBe(0);
    expect(await metric(second, 'libc_dns_images_quarantined_total')).toBe(0);
    expect(await optionsFor(innocent)).toContain('attempts:10');
  });
});
