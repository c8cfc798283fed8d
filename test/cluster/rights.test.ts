import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { elf } from '../support/elf-builder.ts';
import { image } from '../support/image-builder.ts';
import { install, NAME, NAMESPACE, readManifests, type Installation, type Manifest } from '../support/installation.ts';
import { layer } from '../support/layer-builder.ts';
import { createPod, optionsOf } from '../support/pods.ts';
import { startRegistry, type RegistryServer } from '../support/registry-server.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

/** audit.k8s.io/v1 Event, as far as it is read. */
interface AuditEvent {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: { readonly resource: string; readonly subresource?: string };
  readonly requestURI: string;
  readonly responseStatus?: { readonly code: number };
}

interface Role extends Manifest {
  readonly rules: readonly { readonly resources: readonly string[]; readonly verbs: readonly string[] }[];
}

/** What no run of a few seconds makes us do, and the test that sees it done. */
const RARE = ['delete imagelibcs (image-libc.test.ts)'];

/** A created object is a PATCH to the audit log, and a right of its own to RBAC. */
const IMPLIED = ['create imagelibcs'];

/** Used by chance: the pages of a list stand in where the watch does not bring it in time. */
const INSTEAD = ['list imagelibcs', 'list namespaces'];

/** Every authenticated user may (ClusterRole system:public-info-viewer). */
const EVERYBODY = ['get /version'];

/** Its endpoints are read only if it exists. */
const DNS_SERVICE = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'kube-dns', namespace: 'kube-system' },
  spec: { selector: { 'k8s-app': 'kube-dns' }, ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] },
};

const verbOn = (verb: string, resource: string): string => `${verb} ${resource}`;

function granted(manifests: readonly Manifest[]): string[] {
  const roles = manifests.filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole') as Role[];
  const rules = roles.flatMap((role) => role.rules);
  const rights = rules.flatMap(({ resources, verbs }) =>
    resources.flatMap((resource) => verbs.map((verb) => verbOn(verb, resource))),
  );
  return [...new Set(rights)].toSorted();
}

/** A cache that gives the nodes no address: only then are local redirects read. */
const NODE_LOCAL_DNS = {
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: { name: 'node-local-dns', namespace: 'kube-system' },
  spec: {
    selector: { matchLabels: { app: 'cache' } },
    template: {
      metadata: { labels: { app: 'cache' } },
      spec: { containers: [{ name: 'cache', image: 'cache', args: ['-localip', '169.254.20.10'] }] },
    },
  },
};

describe.runIf(hasCluster() && process.env['LIBC_DNS_TEST_KUBECONFIG'] === undefined)(
  'the rights of the plain manifests',
  () => {
    let cluster: TestCluster;
    let registry: RegistryServer;
    let installation: Installation;
    let folder: string;
    let proxy: TcpProxy;

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'libc-dns-audit-'));
      const policy = {
        apiVersion: 'audit.k8s.io/v1',
        kind: 'Policy',
        omitStages: ['RequestReceived'],
        rules: [{ level: 'Metadata' }],
      };
      await writeFile(join(folder, 'policy.json'), JSON.stringify(policy));
      [cluster, registry] = await Promise.all([
        startCluster({ 'audit-policy-file': join(folder, 'policy.json'), 'audit-log-path': join(folder, 'audit.log') }),
        startRegistry(),
      ]);
      proxy = await startTcpProxy(cluster.server);
      await cluster.apply(DNS_SERVICE);
      await cluster.apply(NODE_LOCAL_DNS);
      installation = await install(cluster, {
        replicas: 0,
        settings: {
          DETECTION_REGISTRY_INSECURE: registry.host,
          DETECTION_CACHE_STORE: 'cluster',
          DETECTION_CACHE_TAG_TTL: '1s',
        },
      });
      await Promise.all([1, 2].map(() => installation.addReplica({ server: proxy.url })));
      // Watches are late: new namespaces have to be read.
      proxy.set(100);
    });
    afterAll(async () => {
      await installation?.stop();
      await proxy?.close();
      await registry?.close();
      await cluster?.stop();
      await rm(folder, { recursive: true, force: true });
    });

    async function events(): Promise<AuditEvent[]> {
      const lines = (await readFile(join(folder, 'audit.log'), 'utf8')).split('\n').filter(Boolean);
      const all = lines.map((line) => JSON.parse(line) as AuditEvent);
      return all.filter(({ user }) => user.username === `system:serviceaccount:${NAMESPACE}:${NAME}`);
    }

    /** Has the verdicts, once there are so many, look as if no Pod had used them for two days: the next use is written down. */
    async function age(count: number): Promise<void> {
      const names = async (): Promise<string[]> =>
        (await cluster.kubectl(['get', 'imagelibcs', '--output=name'])).split('\n').filter(Boolean);
      await expect.poll(names, { timeout: 10_000 }).toHaveLength(count);
      const old = new Date(Date.now() - 48 * 3_600_000).toISOString();
      const patch = async (name: string, change: object, ...flags: readonly string[]): Promise<unknown> =>
        await cluster.kubectl(['patch', name, '--type=merge', `--patch=${JSON.stringify(change)}`, ...flags]);
      for (const name of await names()) {
        await patch(name, { spec: { detection: { seenAt: old } } });
        await patch(name, { status: { checkedAt: old, lastUsedAt: old } }, '--subresource=status');
      }
    }

    async function used(): Promise<string[]> {
      const calls = (await events()).map(({ verb, objectRef, requestURI }) =>
        verbOn(verb, [objectRef?.resource, objectRef?.subresource].filter(Boolean).join('/') || requestURI),
      );
      return [...new Set(calls)].filter((call) => !INSTEAD.includes(call)).toSorted();
    }

    it('are all used, and nothing else is tried', async () => {
      const program = elf({ interpreter: '/lib/ld-musl-x86_64.so.1' });
      const app = image({
        layers: [layer([{ path: 'app', content: program }], 'gzip')],
        config: { entrypoint: ['/app'] },
      });
      await cluster.kubectl(['annotate', 'secret', `${NAME}-ca`, '-n', NAMESPACE, 'libc-dns.dev/rotate=now']);
      const rights = granted(await readManifests('rbac.yaml'));
      const rare = [...INSTEAD, ...RARE.map((line) => line.replace(/ \(.*/, ''))];
      const expected = [...rights, ...EVERYBODY].filter((right) => !rare.includes(right) && !IMPLIED.includes(right));
      const images: string[] = [];
      let round = 0;
      const makePods = async (): Promise<string[]> => {
        round += 1;
        // The first Pod of a new namespace, with a new image; and one of an image that has been known for long.
        const namespace = ownName(`team-${round}`);
        await cluster.createNamespace(namespace, { 'libc-dns.dev/mode': 'enforce' });
        images.push(registry.put(`team/app:v${round}`, app));
        for (const [at, name] of images.slice(-2).entries()) {
          const spec = { containers: [{ name: 'main', image: name }] };
          const stored = await createPod(cluster, namespace, { name: `app-${at}`, annotations: {}, spec });
          expect(optionsOf(stored)).toEqual(['timeout:5', 'attempts:10']);
        }
        await age(round);
        return await used();
      };
      await expect.poll(makePods, { timeout: 90_000, interval: 500 }).toEqual(expected.toSorted());
      const refused = (await events()).filter(({ responseStatus }) => responseStatus?.code === 403);
      expect(refused).toEqual([]);
    });
  },
);
