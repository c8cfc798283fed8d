import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { freePort } from '../support/debian-registry.ts';
import { elf } from '../support/elf-builder.ts';
import { image } from '../support/image-builder.ts';
import { LIBCS_PATH } from '../support/image-libc.ts';
import { install, type Installation } from '../support/installation.ts';
import { layer } from '../support/layer-builder.ts';
import { hasOtelCollector, type OtelCollector, startOtelCollector } from '../support/otel-collector.ts';
import { createPod } from '../support/pods.ts';
import { type RegistryServer, startRegistry } from '../support/registry-server.ts';

const SHOP = ownName('shop');

// A running cluster has flags of its own.
const runs = hasCluster() && hasOtelCollector && process.env['LIBC_DNS_TEST_KUBECONFIG'] === undefined;

describe.runIf(runs)('an API server that sends traces', () => {
  let folder: string;
  let collector: OtelCollector;
  let registry: RegistryServer;
  let cluster: TestCluster;
  let installation: Installation;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'libc-dns-tracing-'));
    const grpcPort = await freePort();
    [collector, registry] = await Promise.all([startOtelCollector({ grpcPort }), startRegistry()]);
    const file = join(folder, 'tracing.yaml');
    const tracing = { apiVersion: 'apiserver.config.k8s.io/v1beta1', kind: 'TracingConfiguration' };
    const where = { endpoint: `127.0.0.1:${grpcPort}`, samplingRatePerMillion: 1_000_000 };
    await writeFile(file, JSON.stringify({ ...tracing, ...where }));
    cluster = await startCluster({ 'tracing-config-file': file });
    await cluster.createNamespace(SHOP, { 'libc-dns.dev/mode': 'enforce' });
    installation = await install(cluster, {
      settings: { DETECTION_REGISTRY_INSECURE: registry.host, DETECTION_CACHE_STORE: 'cluster' },
      environment: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_BSP_SCHEDULE_DELAY: '50' },
    });
  });
  afterAll(async () => {
    await installation?.stop();
    await cluster?.stop();
    await registry?.close();
    await collector?.close();
    await rm(folder, { recursive: true });
  });

  it('has the webhook’s part in its own trace; the ImageLibc is written in one of its own', async () => {
    const app = { path: 'app', content: elf({ interpreter: '/lib/ld-musl-x86_64.so.1' }) };
    const content = image({ layers: [layer([app], 'gzip')], config: { entrypoint: ['/app'] } });
    const reference = registry.put('team/app:v1', content);
    const containers = [{ name: 'main', image: reference }];
    await createPod(cluster, SHOP, { name: 'traced', annotations: {}, spec: { containers } });

    await expect.poll(() => collector.spans('admit Pod').length).toBe(1);
    const [admit] = collector.spans('admit Pod');
    const callers = () => collector.spans().filter(({ spanId }) => spanId === admit?.parentSpanId);
    await expect.poll(() => callers().map(({ resource }) => resource['service.name'])).toEqual(['apiserver']);
    expect(callers()[0]?.traceId).toBe(admit?.traceId);

    await expect.poll(() => collector.spans('write ImageLibc').length).toBeGreaterThan(0);
    const [write] = collector.spans('write ImageLibc');
    expect(write?.parentSpanId).toBeUndefined();
    expect(write?.traceId).not.toBe(admit?.traceId);
    const { items } = await cluster.client.request<{ items: { metadata: { name: string } }[] }>({ path: LIBCS_PATH });
    expect(write?.attributes).toEqual({ 'k8s.object.name': items[0]?.metadata.name, 'libc_dns.write': 'verdict' });
  });
});
