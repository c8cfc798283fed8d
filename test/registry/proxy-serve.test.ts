import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { bundle } from '../support/bundle.ts';
import { createCertificate, type TestCertificate } from '../support/certificate.ts';
import { cli } from '../support/cli.ts';
import { elf } from '../support/elf-builder.ts';
import { image } from '../support/image-builder.ts';
import { layer } from '../support/layer-builder.ts';
import { startProxy, type TestProxy } from '../support/proxy-server.ts';
import { startRegistry, type RegistryServer } from '../support/registry-server.ts';
import { answerOf, podReview } from '../support/reviews.ts';
import { startWebhook } from '../support/webhook-process.ts';

const LOGIN = 'robot:correcthorse';
const MUSL = elf({ interpreter: '/lib/ld-musl-x86_64.so.1' });
const built = image({
  layers: [layer([{ path: 'app', content: MUSL }], 'gzip')],
  config: { entrypoint: ['/app'] },
});

describe('the program behind a proxy with a login', () => {
  let folder: string;
  let certificate: TestCertificate;
  let registry: RegistryServer;
  let proxy: TestProxy;
  let environment: Record<string, string>;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'libc-dns-proxy-'));
    certificate = await createCertificate(['registry.example']);
    registry = await startRegistry({ tls: certificate });
    registry.put('team/app', built);
    proxy = await startProxy({ login: LOGIN, hosts: { 'registry.example:443': registry.host } });
    const caFile = join(folder, 'ca.crt');
    writeFileSync(caFile, certificate.cert);
    environment = {
      HTTPS_PROXY: proxy.url.replace('//', `//${LOGIN}@`),
      NO_PROXY: '.svc',
      LIBC_DNS_DETECTION_REGISTRY_CA_FILE: caFile,
    };
  });
  afterAll(async () => {
    await Promise.all([registry.close(), proxy.close()]);
    rmSync(folder, { recursive: true });
  });

  it('detect uses what the environment says', async () => {
    const options = { environment, registries: true };
    expect(await cli(['detect', 'registry.example/team/app'], options)).toMatchObject({
      code: 0,
      out: expect.stringContaining('musl'),
    });
  });

  it('config shows the proxy, and not its login', async () => {
    const { code, out } = await cli(['config'], { environment, registries: true });
    expect(code).toBe(0);
    expect(out).toContain(`proxy: ${proxy.url}\n`);
    expect(out).toContain('- .svc\n');
    expect(out).not.toContain('correcthorse');
  });

  it('serve, as it is shipped, says what it uses, decides, and never logs the login', async () => {
    const { main, remove } = bundle();
    const webhook = await startWebhook({
      main,
      flags: ['--namespace-mode', 'enforce', '--node-local', 'on'],
      settings: { GLIBC_TCP_PREFLIGHT: 'false', DETECTION_BUDGET: '10s', LOG_LEVEL: 'trace' },
      environment,
    });
    const spec = (reference: string) => ({ spec: { containers: [{ name: 'c', image: reference }] } });
    const ask = async (reference: string) =>
      answerOf(await webhook.post(JSON.stringify(podReview(spec(reference))), { path: '/mutate?timeout=10s' }));
    expect((await ask('registry.example/team/app')).audit.decision.resolvers).toEqual({ c: 'musl' });
    expect((await ask('unknown.example/team/app')).audit.decision.resolvers).toEqual({ c: 'unknown' });
    await webhook.stop();
    remove();
    expect(webhook.lines).toContainEqual(
      expect.objectContaining({
        level: 'info',
        msg: 'registries are asked through a proxy',
        proxy: proxy.url,
        noProxy: ['.svc'],
        from: 'HTTPS_PROXY',
      }),
    );
    const said = JSON.stringify(webhook.lines);
    expect(said).toContain(`the proxy ${proxy.url} could not connect to unknown.example:443`);
    expect(said).not.toMatch(/correcthorse|cm9ib3Q6/);
  });
});
