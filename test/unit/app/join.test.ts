import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';

import { openCertificates } from '../../../src/app/certificates.ts';
import { joinCluster } from '../../../src/app/join.ts';
import type { ServeFlags, ServerContext } from '../../../src/commands/serve.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { silentReporter } from '../../../src/telemetry/reporter.ts';

describe('our namespace outside a Pod', () => {
  const folder = mkdtempSync(join(tmpdir(), 'libc-dns-join-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  function kubeconfig(namespace?: string): string {
    const path = join(folder, `${namespace ?? 'none'}.yaml`);
    const context = { cluster: 'c', user: 'u', ...(namespace !== undefined && { namespace }) };
    const config = {
      clusters: [{ name: 'c', cluster: { server: 'http://127.0.0.1:1' } }],
      users: [{ name: 'u', user: {} }],
      contexts: [{ name: 'x', context }],
      'current-context': 'x',
    };
    writeFileSync(path, stringify(config));
    return path;
  }

  const surroundings = { version: '0.0.0', environment: {}, inCluster: false };
  const joinWith = async (flags: Partial<ServeFlags>) =>
    await joinCluster({ color: false, ...flags }, surroundings, silentReporter.log);

  it.each([
    ['that of the context', kubeconfig('dns'), undefined, 'dns'],
    ['that of --namespace', kubeconfig('dns'), 'other', 'other'],
    ['that of --namespace where the context has none', kubeconfig(), 'other', 'other'],
    ['none', kubeconfig(), undefined, undefined],
  ])('is %s', async (_, file, namespace, expected) => {
    const { client, own } = await joinWith({ kubeconfig: file, ...(namespace !== undefined && { namespace }) });
    await client?.close();
    expect(own.namespace).toBe(expected);
  });

  it('is missed by self-managed certificates, which say where to name it', async () => {
    const joined = await joinWith({ kubeconfig: kubeconfig() });
    const config = configSchema.parse({ tls: { mode: 'self-managed' } });
    const context = { config, reporter: silentReporter, signal: new AbortController().signal } as ServerContext;
    await expect(openCertificates(context, joined)).rejects.toThrow('a namespace (--namespace)');
    await joined.client?.close();
  });
});
