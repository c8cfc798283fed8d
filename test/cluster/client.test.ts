import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { readKubeConfig } from '../../src/kubernetes/kubeconfig.ts';
import { resourcePath, RESOURCES } from '../../src/kubernetes/objects.ts';
import { createReflector } from '../../src/kubernetes/reflector.ts';
import { binary, hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';

describe.runIf(hasCluster())('the API client on a real API server', () => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(async () => await cluster?.stop());

  it('reads, creates, and says why not', async () => {
    await cluster.createNamespace(ownName('first'), { 'libc-dns.dev/mode': 'enforce' });
    const path = resourcePath(RESOURCES.namespaces, ownName('first'));
    await expect(cluster.client.request({ path })).resolves.toMatchObject({ metadata: { name: ownName('first') } });
    const create = {
      method: 'POST',
      path: '/api/v1/namespaces',
      body: { metadata: { name: ownName('first') } },
    } as const;
    await expect(cluster.client.request(create)).rejects.toMatchObject({ code: 'conflict', status: 409 });
    const missing = cluster.client.request({ path: resourcePath(RESOURCES.namespaces, 'none') });
    await expect(missing).rejects.toMatchObject({
      code: 'not-found',
      message: 'GET /api/v1/namespaces/none: namespaces "none" not found',
    });
  });

  it('logs in with the token of a service account, and is told what it may not do', async () => {
    await cluster.createNamespace(ownName('tenant'));
    const { createKubeClient } = await import('../../src/kubernetes/client.ts');
    const { kubeConfigTransport } = await import('../../src/kubernetes/kubeconfig.ts');
    const file = await cluster.kubeconfigOf(ownName('tenant'), 'default');
    const client = createKubeClient(kubeConfigTransport({ files: [file], userAgent: 'test' }));
    await expect(client.request({ path: '/api/v1/namespaces' })).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining(`system:serviceaccount:${ownName('tenant')}:default`) as string,
    });
    await client.close();
  });

  it('reads several kubeconfigs as kubectl does', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'libc-dns-kubeconfigs-'));
    const context = (name: string, of: string) => ({ name, context: { cluster: of, user: of } });
    const names = ['one', 'two', 'empty'];
    for (const name of names.slice(0, 2)) {
      const text = {
        'current-context': name,
        clusters: ['shared', name].map((one) => ({ name: one, cluster: { server: `https://${name}` } })),
        users: ['shared', name].map((one) => ({ name: one, user: { token: name } })),
        contexts: [context('shared', name), context(name, 'shared')],
      };
      writeFileSync(join(folder, name), JSON.stringify(text));
    }
    writeFileSync(join(folder, 'empty'), '');
    for (const order of [names, names.toReversed()]) {
      const files = order.map((name) => join(folder, name));
      const environment = { ...process.env, KUBECONFIG: ['/nonexistent', ...files].join(delimiter) };
      const view = ['config', 'view', '--raw', '-o', 'json'];
      const { stdout } = await promisify(execFile)(binary('kubectl') ?? 'kubectl', view, { env: environment });
      const theirs = JSON.parse(stdout) as Record<'clusters' | 'users' | 'contexts', { name: string }[]>;
      const ours = JSON.parse(readKubeConfig(files).exportConfig()) as typeof theirs;
      for (const kind of ['clusters', 'users', 'contexts'] as const) {
        expect(ours[kind].toSorted((a, b) => (a.name < b.name ? -1 : 1))).toMatchObject(theirs[kind]);
      }
      expect(ours).toMatchObject({
        'current-context': (theirs as object as Record<string, string>)['current-context'],
      });
    }
    rmSync(folder, { recursive: true });
  });

  it('keeps a copy of a collection, page by page and event by event', async () => {
    const changes: string[] = [];
    const reflector = createReflector({
      client: cluster.client,
      path: '/api/v1/namespaces',
      metadataOnly: true,
      pageSize: 2,
      keep: ({ metadata, ...rest }) => ({ labels: metadata.labels, hasSpec: 'spec' in rest }),
      onChange: (key, now) => changes.push(`${key} ${now === undefined ? 'gone' : 'there'}`),
      clock: { now: () => Date.now() },
    });
    await reflector.ready;
    expect(reflector.items.size).toBeGreaterThanOrEqual(5);
    expect(reflector.items.get(ownName('first'))).toMatchObject({
      labels: { 'libc-dns.dev/mode': 'enforce' },
      hasSpec: false,
    });

    await cluster.createNamespace(ownName('later'), { 'libc-dns.dev/mode': 'audit' });
    await expect.poll(() => reflector.items.get(ownName('later'))?.labels?.['libc-dns.dev/mode']).toBe('audit');
    await cluster.kubectl(['label', 'namespace', ownName('later'), '--overwrite', 'libc-dns.dev/mode=off']);
    await expect.poll(() => reflector.items.get(ownName('later'))?.labels?.['libc-dns.dev/mode']).toBe('off');
    expect(changes).toContain(`${ownName('later')} there`);
    await reflector.close();
  });
});
