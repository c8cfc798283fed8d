import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { joinCluster, personalReporter } from '../../../src/app/join.ts';

const CONFIG = `apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u, namespace: team}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
`;

let folder: string;
let kubeconfig: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'libc-dns-join-'));
  kubeconfig = join(folder, 'config');
  writeFileSync(kubeconfig, CONFIG);
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('the namespace of a webhook outside a Pod', () => {
  const joined = async (flags: Parameters<typeof joinCluster>[0]) => {
    const { log } = personalReporter(() => {});
    const { client, own } = await joinCluster(flags, { version: '0', environment: {}, inCluster: false }, log);
    await client?.close();
    return own.namespace;
  };

  it('is that of the context, unless --namespace says other', async () => {
    expect(await joined({ kubeconfig })).toBe('team');
    expect(await joined({ kubeconfig, namespace: 'other' })).toBe('other');
  });

  it('is not known without a cluster', async () => {
    expect(await joined({})).toBeUndefined();
    expect(await joined({ namespace: 'other' })).toBe('other');
  });

  it('of a context without its file is wrong usage', async () => {
    await expect(joined({ context: 'c' })).rejects.toMatchObject({ code: 'usage' });
  });
});
