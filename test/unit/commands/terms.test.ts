import { describe, expect, it } from 'vitest';

import { ASSUMED_OUTSIDE } from '../../../src/audit/cluster.ts';
import { createPolicySet, NETWORK_POLICIES, readObject } from '../../../src/exposure/policies/kinds.ts';
import type { KubeObject } from '../../../src/kubernetes/objects.ts';
import { CommandError } from '../../../src/terminal/io.ts';
import { fakeCluster } from '../../support/audit-fake.ts';
import { cli, type CliOptions } from '../../support/cli.ts';

const pod = (libc: string, namespace = 'namespace: shop') => `apiVersion: v1
kind: Pod
metadata: {name: web, ${namespace}, annotations: {libc-dns.dev/libc: ${libc}}}
spec: {containers: [{name: web, image: web}]}
`;

/** The cluster of the tests, with other facts, and other things around Pods. */
async function withFacts(
  facts: object,
  around: object = {},
  change: Parameters<typeof fakeCluster>[1] = {},
): Promise<ReturnType<typeof fakeCluster>> {
  const plain = fakeCluster([]);
  const found = await plain.facts({} as never);
  const surroundings = await plain.surroundings({} as never);
  return fakeCluster([], {
    facts: async () => ({ ...found, ...facts }),
    surroundings: async () => ({ ...surroundings, ...around }),
    ...change,
  });
}

const NAMED = ['--context', 'prod', '--offline', '-o', 'json'];

interface Entry {
  readonly mode: string;
  readonly reason: string;
  readonly namespace: string;
  readonly resolvConf: { readonly after: { readonly servers: string[]; readonly options: string[] } };
}

async function explain(stdin: string, cluster: CliOptions['cluster'], argv: readonly string[] = NAMED) {
  const { code, out, err } = await cli(['explain', ...argv], { stdin, ...(cluster && { cluster }) });
  const [entry] = out === '' ? [] : (JSON.parse(out) as Entry[]);
  return { code, err, entry };
}

const policy = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'udp', namespace: 'shop' },
  spec: { podSelector: {}, policyTypes: ['Egress'], egress: [{ ports: [{ protocol: 'UDP', port: 53 }] }] },
} as unknown as KubeObject;

describe('explain and inject with a cluster', () => {
  it('read that its DNS answers over TCP, which no manifest tells', async () => {
    const { entry, err } = await explain(pod('glibc'), fakeCluster([]));
    expect(entry?.resolvConf.after.options).toEqual(['ndots:5', 'single-request-reopen', 'use-vc']);
    expect(err).toContain(
      'read of the cluster at https://10.0.0.1:6443; configuration: built-in defaults; namespace of manifests that name none: default\n',
    );
    const { out } = await cli(['inject', '--offline', '--context', 'prod'], {
      stdin: pod('glibc'),
      cluster: fakeCluster([]),
    });
    expect(out).toContain('use-vc');
  });

  it('take a TCP port of the DNS Service for an answer where it is not asked, and its absence for none', async () => {
    const over = async (dnsTcpPort: boolean) =>
      (await explain(pod('glibc'), await withFacts({ dnsOverTcp: 'not asked' }, { dnsTcpPort }))).entry?.resolvConf
        .after.options;
    expect(await over(true)).toContain('use-vc');
    expect(await over(false)).not.toContain('use-vc');
  });

  it('read its node-local cache', async () => {
    const { facts } = await fakeCluster([]).facts({} as never);
    const ready = await withFacts({ facts: { ...facts, nodeLocal: 'ready', searchesAssumed: false } });
    expect((await explain(pod('musl'), ready)).entry).toMatchObject({
      reason: 'MuslRedirected',
      resolvConf: { after: { servers: ['169.254.20.10', '10.96.0.10'] } },
    });
  });

  it('read its network policies', async () => {
    const networkPolicies = createPolicySet();
    networkPolicies.add(readObject(NETWORK_POLICIES, policy));
    const { entry } = await explain(pod('glibc'), await withFacts({}, { networkPolicies }));
    expect(entry?.reason).toBe('TcpNotAllowed');
  });

  it.each([
    ['off', 'off', 'NamespaceOptedOut'],
    ['audit', 'audit', 'OptionsAdded'],
    ['enforce', 'enforce', 'OptionsAdded'],
  ])('read the labels of its namespaces: %s', async (label, mode, reason) => {
    const namespaces = new Map([['shop', { 'libc-dns.dev/mode': label }]]);
    expect((await explain(pod('glibc'), await withFacts({}, { namespaces }))).entry).toMatchObject({ mode, reason });
  });

  it.each([
    ['opt-in', 'enforce'],
    ['cluster', 'audit'],
  ])('read a namespace without a label as enforced; under the scope %s it has the mode %s', async (scope, mode) => {
    const text = `scope: ${scope}\nmode: audit\n`;
    const installation = async () => ({
      registered: true,
      namespace: 'libc-dns',
      configuration: { name: 'its own', text },
      gaps: [],
    });
    const { entry, err } = await explain(pod('glibc'), fakeCluster([], { installation }));
    expect([entry?.mode, err]).toEqual([mode, expect.stringContaining('configuration: its own;')]);
  });

  it('leave Pods alone if no node is exposed, with exposure auto', async () => {
    const nodes = [{ name: 'new', os: 'linux', kernel: '6.12.48', osImage: 'New' }];
    const configuration = { name: 'its own', text: 'exposure: auto\n' };
    const installation = async () => ({ registered: true, namespace: 'libc-dns', configuration, gaps: [] });
    const { entry, err } = await explain(pod('glibc'), await withFacts({}, { nodes }, { installation }));
    expect(entry?.reason).toBe('NotExposed');
    expect(err).not.toContain('exposure auto has no effect');
  });

  it("put manifests without a namespace into the context's, unless --namespace says other", async () => {
    const bare = pod('glibc').replace('namespace: shop, ', '');
    const cluster = fakeCluster([], { namespace: 'billing' });
    expect((await explain(bare, cluster)).entry?.namespace).toBe('billing');
    expect((await explain(bare, cluster, [...NAMED, '--namespace', 'shop'])).entry?.namespace).toBe('shop');
  });

  it('name what could not be read, and what is assumed', async () => {
    const gap = { what: 'namespaces', message: 'denied', grant: 'list namespaces' };
    const section = {
      dns: { value: '10.96.0.10', source: 'built-in' },
      domain: { value: 'cluster.local', source: 'built-in' },
      nodeSearches: { value: '', source: 'built-in' },
    };
    const { err, code } = await explain(
      pod('glibc'),
      await withFacts({ section, gaps: [ASSUMED_OUTSIDE] }, { gaps: [gap] }),
    );
    expect(code).toBe(0);
    expect(err.split('\n').slice(1)).toEqual([
      'libc-dns: warning: not read: namespaces: denied. Needed: list namespaces',
      'libc-dns: Assumed: cluster DNS 10.96.0.10 (--cluster-dns), cluster domain cluster.local (--cluster-domain), no search domains on the nodes (--node-searches).',
      '',
    ]);
  });

  it('end with 1 if the named cluster does not answer, and close it', async () => {
    let closed = 0;
    const ping = async () => await Promise.reject(new CommandError('failed', 'no route to the API server'));
    const silent = fakeCluster([], { ping, close: async () => void (closed += 1) });
    const { code, err, entry } = await explain(pod('glibc'), silent);
    expect({ code, err, entry, closed }).toEqual({
      code: 1,
      err: 'libc-dns: no route to the API server\n',
      entry: undefined,
      closed: 1,
    });
  });

  it('in a Pod read its cluster without a flag', async () => {
    const { out, err } = await cli(['explain', '--offline', '-o', 'json'], {
      stdin: pod('glibc'),
      inCluster: true,
      cluster: fakeCluster([]),
    });
    expect(JSON.parse(out)).toMatchObject([{ resolvConf: { after: { options: expect.arrayContaining(['use-vc']) } } }]);
    expect(err).not.toContain('no cluster is read');
  });

  it('in a Pod that may not ask its cluster say so, and go on without', async () => {
    const { code, err } = await cli(['explain', '--offline'], {
      stdin: pod('glibc'),
      inCluster: true,
      cluster: new CommandError('failed', 'no cluster: no service account token is mounted here'),
    });
    expect(code).toBe(0);
    expect(err).toMatch(
      /^libc-dns: warning: the cluster of this Pod is not read: no cluster: no service account token is mounted here\nlibc-dns: no cluster is read /,
    );
  });
});
