import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

const pod = (namespace: string, libc: string): string => `apiVersion: v1
kind: Pod
metadata: {name: ${namespace}, namespace: ${namespace}, annotations: {libc-dns.dev/libc: ${libc}}}
spec: {containers: [{name: web, image: web}]}
`;

const PODS = [
  pod(ownName('explain-plain'), 'glibc'),
  pod(ownName('explain-policy'), 'glibc'),
  pod(ownName('explain-off'), 'musl'),
].join('---\n');

const DNS_PORT = { name: 'dns', port: 53, protocol: 'UDP' };

const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'kube-dns', namespace: 'kube-system' },
  spec: { selector: { 'k8s-app': 'kube-dns' }, ports: [DNS_PORT, { ...DNS_PORT, name: 'dns-tcp', protocol: 'TCP' }] },
};

const policy = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'udp', namespace: ownName('explain-policy') },
  spec: { podSelector: {}, policyTypes: ['Egress'], egress: [{ ports: [{ protocol: 'UDP', port: 53 }] }] },
};

interface Entry {
  readonly name: string;
  readonly reason: string;
  readonly resolvConf: { readonly after: { readonly servers: string[]; readonly options: string[] } };
}

async function explain(kubeconfig: string) {
  const child = spawn(process.execPath, [MAIN, 'explain', '--offline', '-o', 'json', '--kubeconfig', kubeconfig], {
    env: { PATH: process.env['PATH'] },
  });
  child.stdin.end(PODS);
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { entries: (out === '' ? [] : JSON.parse(out)) as Entry[], err };
}

describe.runIf(hasCluster())('explain with a real API server', () => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await startCluster();
    await cluster.createNamespace(ownName('explain-plain'));
    await cluster.createNamespace(ownName('explain-policy'));
    await cluster.createNamespace(ownName('explain-off'), { 'libc-dns.dev/mode': 'off' });
    await cluster.apply(service, policy);
  }, 60_000);
  afterAll(async () => cluster?.stop());

  it('decides by its DNS Service, its policies and its labels', async () => {
    const { spec } = await cluster.client.request<{ spec: { clusterIP: string } }>({
      path: '/api/v1/namespaces/kube-system/services/kube-dns',
    });
    const { entries, err } = await explain(cluster.kubeconfig);
    expect(entries.map(({ name, reason }) => `${name} ${reason}`)).toEqual([
      `${ownName('explain-plain')} OptionsAdded`,
      `${ownName('explain-policy')} TcpNotAllowed`,
      `${ownName('explain-off')} NamespaceOptedOut`,
    ]);
    expect(entries[0]?.resolvConf.after).toMatchObject({
      servers: [spec.clusterIP],
      options: ['ndots:5', 'single-request-reopen', 'use-vc'],
    });
    expect(err).toContain(`libc-dns: read of the cluster at ${cluster.server}`);
    expect(err).not.toContain('not read');
    expect(err).toContain('no search domains on the nodes (--node-searches)');
  });

  it('names what a user without rights could not read, and decides by assumptions', async () => {
    const { entries, err } = await explain(await cluster.kubeconfigOf(ownName('explain-plain'), 'default'));
    expect(entries.map(({ name, reason }) => `${name} ${reason}`)).toEqual([
      // Policies that cannot be read are not certain to let TCP through.
      `${ownName('explain-plain')} TcpNotAllowed`,
      `${ownName('explain-policy')} TcpNotAllowed`,
      `${ownName('explain-off')} MuslRetried`,
    ]);
    expect(err).toMatch(/libc-dns: warning: not read: networkpolicies\S*: .*forbidden/);
    expect(err).toMatch(/libc-dns: warning: not read: namespaces: .*forbidden.*Needed: list namespaces/);
    expect(err).toMatch(/libc-dns: Assumed: cluster DNS 10\.96\.0\.10 /);
  });
});
