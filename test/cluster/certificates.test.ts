import { X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { createAuthority, privatePem } from '../../src/certificates/authority.ts';
import { caSecret } from '../../src/certificates/ca-secret.ts';
import { splitCertificates, webhookRegistration } from '../../src/certificates/registration.ts';
import { createKubeClient, type KubeClient } from '../../src/kubernetes/client.ts';
import { kubeConfigTransport } from '../../src/kubernetes/kubeconfig.ts';
import { type KubeObject, resourcePath, RESOURCES } from '../../src/kubernetes/objects.ts';
import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { type Replica, startCertificates, startReplica } from '../support/replica.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

/** All that the certificates need (docs/security.md); all but `create` on one object by name. */
const EVERYTHING = ['secrets', 'mutatingwebhookconfigurations']
  .flatMap((resource) => ['list', 'watch', 'patch'].map((verb) => `${verb} ${resource}`))
  .concat('create secrets');

const HOUR = 3_600_000;
const LONG = { ca: 24 * 365 * HOUR, leaf: 7 * 24 * HOUR, overlap: 1000 };

describe.runIf(hasCluster())('certificates of our own making, on a real API server', () => {
  let cluster: TestCluster;
  let namespace = '';
  let count = 0;
  const replicas: Replica[] = [];

  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(async () => await cluster?.stop());
  afterEach(async () => {
    await Promise.all(replicas.splice(0).map((replica) => replica.stop()));
    await cluster.kubectl(['delete', 'mutatingwebhookconfiguration', namespace, '--ignore-not-found']);
  });

  /** Replicas that share a namespace of their own, its name the registration's too. */
  async function start(many: number, lifetimes = LONG): Promise<readonly Replica[]> {
    const options = { client: cluster.client, namespace, registration: namespace, lifetimes };
    const started = await Promise.all(Array.from({ length: many }, () => startReplica(options)));
    replicas.push(...started);
    return started;
  }

  async function freshNamespace(): Promise<void> {
    count += 1;
    namespace = ownName(`certs-${count}`);
    await cluster.createNamespace(namespace);
  }

  /** Registers each replica as a webhook of its own that must answer: a certificate not trusted refuses the ConfigMap. */
  async function register(...urls: readonly string[]): Promise<void> {
    await cluster.apply({
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: { name: namespace, labels: { helm: 'says' } },
      webhooks: urls.map((url, index) => ({
        name: `r${index}.libc-dns.dev`,
        clientConfig: { url },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['configmaps'] }],
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
        failurePolicy: 'Fail',
        sideEffects: 'None',
        timeoutSeconds: 5,
        admissionReviewVersions: ['v1'],
      })),
    });
  }

  /** Has the API server call every webhook, in a dry run; rejects with what it says of one it cannot call. */
  async function call(): Promise<void> {
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const body = { metadata: { generateName: 'call-' } };
    await cluster.client.request({ method: 'POST', path, query: { dryRun: 'All' }, body });
  }

  async function allTrusted(): Promise<void> {
    const why = (): (string | undefined)[] => replicas.map(({ certificates }) => certificates.untrusted());
    await expect.poll(why, { timeout: 10_000 }).toEqual(replicas.map(() => undefined));
  }

  /** The API server's own copy of the registration is a moment behind. */
  async function callable(): Promise<void> {
    await expect.poll(() => call().then(() => 'called', String), { timeout: 10_000 }).toBe('called');
  }

  const secret = (): Promise<KubeObject & { data: Record<string, string> }> =>
    cluster.client.request({ path: resourcePath(RESOURCES.secrets, 'ca', namespace) });

  const registration = (): Promise<KubeObject & { webhooks: { clientConfig: { caBundle?: string } }[] }> =>
    cluster.client.request({ path: resourcePath(RESOURCES.webhookConfigurations, namespace) });

  async function bundles(): Promise<string[][]> {
    const { webhooks } = await registration();
    return webhooks.map(({ clientConfig: { caBundle = '' } }) =>
      splitCertificates(Buffer.from(caBundle, 'base64').toString()).map(
        (pem) => new X509Certificate(pem).fingerprint256,
      ),
    );
  }

  /** A client of a service account that may do what `rights` say, and nothing else. */
  async function clientOf(server: string, rights: readonly string[]): Promise<KubeClient> {
    const rules = rights.map((right) => {
      const [verb = '', resource = ''] = right.split(' ');
      const apiGroups = [resource === 'secrets' ? '' : 'admissionregistration.k8s.io'];
      const resourceNames = [resource === 'secrets' ? 'ca' : namespace];
      return { apiGroups, resources: [resource], verbs: [verb], ...(verb !== 'create' && { resourceNames }) };
    });
    const rbac = 'rbac.authorization.k8s.io/v1';
    const inside = { name: 'webhook', namespace };
    const subjects = [{ kind: 'ServiceAccount', ...inside }];
    const apiGroup = 'rbac.authorization.k8s.io';
    await cluster.apply(
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: inside },
      {
        apiVersion: rbac,
        kind: 'Role',
        metadata: inside,
        rules: rules.filter(({ apiGroups: [group] }) => group === ''),
      },
      {
        apiVersion: rbac,
        kind: 'RoleBinding',
        metadata: inside,
        subjects,
        roleRef: { apiGroup, kind: 'Role', name: 'webhook' },
      },
      {
        apiVersion: rbac,
        kind: 'ClusterRole',
        metadata: { name: namespace },
        rules: rules.filter(({ apiGroups: [group] }) => group !== ''),
      },
      {
        apiVersion: rbac,
        kind: 'ClusterRoleBinding',
        metadata: { name: namespace },
        subjects,
        roleRef: { apiGroup, kind: 'ClusterRole', name: namespace },
      },
    );
    const file = await cluster.kubeconfigOf(namespace, 'webhook', server);
    return createKubeClient(kubeConfigTransport({ files: [file], userAgent: 'libc-dns-test' }));
  }

  async function inSecret(key: string): Promise<string | undefined> {
    const { data } = await secret();
    const pem = data[key];
    return pem === undefined ? undefined : new X509Certificate(Buffer.from(pem, 'base64')).fingerprint256;
  }

  const lastIssuers = (): string[] => [...new Set(replicas.map(({ issuers }) => issuers.at(-1) ?? ''))];

  it('ten replicas that start at once agree on one CA, and the API server calls each', async () => {
    await freshNamespace();
    const started = await start(10);
    expect(started.flatMap(({ said }) => said).filter((line) => line.startsWith('create'))).toHaveLength(1);
    expect(lastIssuers()).toEqual([await inSecret('current.crt')]);
    expect(await secret()).toMatchObject({
      type: 'Opaque',
      metadata: { labels: { 'app.kubernetes.io/managed-by': 'libc-dns-webhook' } },
    });
    // Nobody is registered yet: that alone is no reason not to be ready.
    await allTrusted();
    await register(...started.map(({ url }) => url));
    await allTrusted();
    await callable();
    expect(started.map(({ calls }) => calls() > 0)).toEqual(started.map(() => true));
    // Ten patches at once: nine come too late, which is nothing to speak of.
    expect(started.flatMap(({ said }) => said).filter((line) => /^(error|watch)/.test(line))).toEqual([]);
  });

  it('changes nothing but the caBundle, and leaves entries of other Services alone', async () => {
    await freshNamespace();
    const [replica] = await start(1);
    const entry = { sideEffects: 'None', admissionReviewVersions: ['v1'], failurePolicy: 'Ignore' };
    const service = { namespace, name: 'webhook', path: '/mutate', port: 443 };
    const object = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: { name: namespace },
      webhooks: [
        { ...entry, name: 'other.libc-dns.dev', clientConfig: { service: { ...service, name: 'other' } } },
        { ...entry, name: 'ours.libc-dns.dev', clientConfig: { service } },
      ],
    };
    await cluster.apply(object);
    const before = await registration();
    await allTrusted();
    const after = await registration();
    expect(after.webhooks[0]).toEqual(before.webhooks[0]);
    expect(after.webhooks[1]).toEqual({
      ...before.webhooks[1],
      clientConfig: { service, caBundle: expect.any(String) as string },
    });
    // Helm's next upgrade, or Argo CD's next sync: the same manifest again finds no conflict and takes nothing away.
    const again = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [object] });
    await cluster.kubectl(['apply', '--server-side', '-f', '-'], again);
    expect((await registration()).webhooks).toEqual(after.webhooks);
    expect(replica?.said.filter((line) => line.startsWith('bundle'))).toEqual(['bundle: 1 and 0']);
    // An entry that the manifest has no more goes away, though a part of it is ours; a server-side apply of ours would keep it.
    await cluster.apply({ ...object, webhooks: object.webhooks.slice(0, 1) });
    expect((await registration()).webhooks).toMatchObject([{ name: 'other.libc-dns.dev' }]);
    const { managedFields } = after.metadata as unknown as { managedFields: { manager: string }[] };
    expect(managedFields.find(({ manager }) => manager === 'libc-dns-webhook')).toMatchObject({
      operation: 'Update',
      fieldsV1: {
        'f:webhooks': { 'k:{"name":"ours.libc-dns.dev"}': { 'f:clientConfig': { 'f:caBundle': {} } } },
      },
    });
  });

  it('writes against an older version are conflicts, of the Secret as of the registration', async () => {
    await freshNamespace();
    await start(1);
    await register('https://127.0.0.1:1/');
    const { client } = cluster;
    const clock = { now: () => Date.now() };
    const store = caSecret({ client, namespace, name: 'ca', clock });
    const bundle = webhookRegistration({ client, name: namespace, service: { namespace, name: 'x' }, clock });
    await expect.poll(() => [store.seen.state, bundle.seen.state]).toEqual(['present', 'present']);
    const before = [await secret(), await registration()].map(({ metadata }) => metadata.resourceVersion);
    expect(await store.create({ 'current.crt': '' })).toBe('conflict');
    expect(await store.replace('1', { 'current.crt': '' }, true)).toBe('conflict');
    expect(await bundle.replace('1', [[]])).toBe('conflict');
    expect([await secret(), await registration()].map(({ metadata }) => metadata.resourceVersion)).toEqual(before);
    await Promise.all([store.close(), bundle.close()]);
  });

  it('puts the caBundle back when something overwrites it, and takes out what is not ours later', async () => {
    await freshNamespace();
    const [replica] = await start(2);
    await register(replica?.url ?? '');
    await allTrusted();
    const [[ours]] = (await bundles()) as [[string]];
    const foreign = await createAuthority({ now: Date.now(), lifetimeMs: HOUR });
    const patch = [
      { op: 'replace', path: '/webhooks/0/clientConfig/caBundle', value: Buffer.from(foreign.cert).toString('base64') },
    ];
    const args = ['patch', 'mutatingwebhookconfiguration', namespace, '--type=json', '-p', JSON.stringify(patch)];
    await cluster.kubectl(args);
    await expect.poll(bundles).toEqual([[ours, foreign.id]]);
    await callable();
    await expect.poll(bundles, { timeout: 10_000 }).toEqual([[ours]]);
    expect((await registration()).metadata.labels).toEqual({ helm: 'says' });
  });

  it('does not quarrel hotly with a controller that always overwrites it', async () => {
    await freshNamespace();
    const [replica] = await start(1);
    await register(replica?.url ?? '');
    const value = Buffer.from((await createAuthority({ now: Date.now(), lifetimeMs: HOUR })).cert).toString('base64');
    const body = [{ op: 'add', path: '/webhooks/0/clientConfig/caBundle', value }];
    const path = resourcePath(RESOURCES.webhookConfigurations, namespace);
    const until = Date.now() + 6000;
    let overwritten = 0;
    while (Date.now() < until) {
      const { webhooks } = await registration();
      if (webhooks[0]?.clientConfig.caBundle !== value) {
        overwritten += 1;
        await cluster.client.request({ method: 'PATCH', path, contentType: 'application/json-patch+json', body });
      }
      await sleep(10);
    }
    expect(overwritten).toBeGreaterThan(2);
    // 0.1 s doubled each time: 6 s hold eight at most.
    expect(overwritten).toBeLessThan(12);
    expect(replica?.said.filter((line) => line.startsWith('contested'))).toEqual(['contested: 5']);
    expect(replica?.certificates.untrusted()).toContain('does not hold the CA');
  });

  it('a new CA takes over without a call that fails, when a person asks for it', async () => {
    await freshNamespace();
    const started = await start(3);
    await register(...started.map(({ url }) => url));
    await allTrusted();
    await callable();
    const old = await inSecret('current.crt');
    const failures: unknown[] = [];
    const stopped = new AbortController();
    const load = (async () => {
      while (!stopped.signal.aborted) {
        await call().catch((error: unknown) => failures.push(error));
        await sleep(20);
      }
    })();
    await cluster.kubectl(['annotate', 'secret', 'ca', '-n', namespace, 'libc-dns.dev/rotate=now']);
    await expect.poll(() => inSecret('previous.crt'), { timeout: 15_000 }).toBe(old);
    const current = await inSecret('current.crt');
    await expect.poll(lastIssuers, { timeout: 10_000 }).toEqual([current]);
    await sleep(500);
    stopped.abort();
    await load;
    expect(failures).toEqual([]);
    expect(await bundles()).toEqual(started.map(() => [old, current]));
    expect((await secret()).metadata.annotations ?? {}).toEqual({});
    const changes = started
      .flatMap(({ said }) => said)
      .filter((line) => /prepare|promote/.test(line))
      .toSorted();
    expect(changes).toEqual(['prepare: asked', 'promote: it is time']);
  });

  it('CAs and certificates that live for seconds follow each other, and every call arrives', async () => {
    await freshNamespace();
    const started = await start(2, { ca: 12_000, leaf: 2000, overlap: 500 });
    await register(...started.map(({ url }) => url));
    await allTrusted();
    await callable();
    const first = await inSecret('current.crt');
    const failures: unknown[] = [];
    await expect
      .poll(
        async () => {
          await call().catch((error: unknown) => failures.push(error));
          return (await bundles()).every((ids) => first !== undefined && !ids.includes(first));
        },
        { timeout: 40_000, interval: 50 },
      )
      .toBe(true);
    expect(failures).toEqual([]);
    const said = started.flatMap((replica) => replica.said);
    expect(said).toEqual(
      expect.arrayContaining(['issued: due', 'prepare: due', 'promote: it is time', 'retire: it is time']),
    );
  });

  it('a Secret deleted by hand is written back: nothing changes for anybody', async () => {
    await freshNamespace();
    const started = await start(3);
    await register(...started.map(({ url }) => url));
    await allTrusted();
    await callable();
    const before = await secret();
    await cluster.kubectl(['delete', 'secret', 'ca', '-n', namespace]);
    await expect.poll(() => secret().then(({ data }) => data, String)).toEqual(before.data);
    await call();
    expect(started.map(({ issuers }) => issuers.length)).toEqual([1, 1, 1]);
    expect(started.flatMap(({ said }) => said).filter((line) => line.startsWith('restore'))).toHaveLength(1);
  });

  it('a Secret edited to nonsense is put right again', async () => {
    await freshNamespace();
    const [replica] = await start(1);
    await register(replica?.url ?? '');
    await allTrusted();
    await callable();
    const before = await secret();
    const data = { 'current.key': Buffer.from('nonsense').toString('base64'), note: 'bWluZQ==' };
    await cluster.kubectl(['patch', 'secret', 'ca', '-n', namespace, '-p', JSON.stringify({ data })]);
    await expect.poll(async () => (await secret()).data).toEqual({ ...before.data, note: 'bWluZQ==' });
    await call();
    await expect
      .poll(() => replica?.said.slice(-3))
      .toEqual([
        'problem: current: no usable PEM private key in it',
        'restore: current: no usable PEM private key in it',
        'problem: undefined',
      ]);
  });

  it("a person's own CA is taken over, and the old certificates are served until it is trusted", async () => {
    await freshNamespace();
    const started = await start(2);
    await register(...started.map(({ url }) => url));
    await allTrusted();
    await callable();
    const mine = await createAuthority({ now: Date.now(), lifetimeMs: 24 * HOUR });
    const data = { 'current.crt': mine.cert, 'current.key': privatePem(mine.key) };
    const stringData = JSON.stringify({ stringData: data });
    await cluster.kubectl(['patch', 'secret', 'ca', '-n', namespace, '-p', stringData]);
    const failures: unknown[] = [];
    await expect
      .poll(
        async () => {
          await call().catch((error: unknown) => failures.push(error));
          return lastIssuers();
        },
        { timeout: 15_000 },
      )
      .toEqual([mine.id]);
    expect(failures).toEqual([]);
    await allTrusted();
    // The replaced one leaves the bundle: nothing in the Secret speaks for it.
    await expect.poll(bundles, { timeout: 10_000 }).toEqual(started.map(() => [mine.id]));
    await call();
  });

  it('a replica that comes later takes the CA that is there, whatever its clock says', async () => {
    await freshNamespace();
    await start(1);
    const current = await inSecret('current.crt');
    const late = await startReplica({
      client: cluster.client,
      namespace,
      registration: namespace,
      lifetimes: LONG,
      now: () => Date.now() + 30 * 24 * HOUR,
    });
    replicas.push(late);
    expect(late.issuers).toEqual([current]);
    expect(late.said).toEqual(['issued: first']);
  });

  it('without the API server it serves what it has, and afterwards finds out what it missed', async () => {
    await freshNamespace();
    const [other] = await start(1);
    const proxy = await startTcpProxy(cluster.server);
    const client = await clientOf(proxy.url, EVERYTHING);
    const cutOff = await startReplica({ client, namespace, registration: namespace, lifetimes: LONG });
    replicas.push(cutOff);
    await register(other?.url ?? '', cutOff.url);
    await allTrusted();
    await callable();
    const old = await inSecret('current.crt');
    proxy.set('refuse');
    await cluster.kubectl(['annotate', 'secret', 'ca', '-n', namespace, 'libc-dns.dev/rotate=now']);
    await expect.poll(() => inSecret('previous.crt'), { timeout: 15_000 }).toBe(old);
    await call();
    expect(cutOff.issuers).toEqual([old]);
    expect(cutOff.certificates.untrusted()).toBeUndefined();
    proxy.set('pass');
    await expect.poll(() => cutOff.issuers.at(-1), { timeout: 30_000 }).toBe(await inSecret('current.crt'));
    await call();
    await client.close();
    await proxy.close();
  });

  it('a replica that starts without the API server says so, keeps trying, and gets there', async () => {
    await freshNamespace();
    const proxy = await startTcpProxy(cluster.server);
    const client = await clientOf(proxy.url, EVERYTHING);
    proxy.set('refuse');
    const { certificates } = startCertificates({ client, namespace, registration: namespace, lifetimes: LONG });
    await expect
      .poll(() => certificates.untrusted())
      .toMatch(/^no CA yet: GET \/api\/v1\/namespaces\/certs-\d+-\w+\/secrets: /);
    proxy.set('pass');
    await certificates.ready;
    expect(certificates.current().cert).toContain('CERTIFICATE');
    await certificates.close();
    await client.close();
    await proxy.close();
  });

  describe('with a right missing', () => {
    it.each([
      ['list secrets', /^no CA yet: .* cannot list resource "secrets"/],
      ['watch secrets', /^no CA yet: .* cannot watch resource "secrets"/],
      ['create secrets', /^no CA yet: .* cannot create resource "secrets"/],
      ['patch secrets', /^trusted$/],
      ['list mutatingwebhookconfigurations', /^the registration was not seen yet: .* cannot list resource "mutating/],
      ['watch mutatingwebhookconfigurations', /does not hold the CA/],
      ['patch mutatingwebhookconfigurations', /does not hold the CA/],
    ])('%s', async (missing, untrusted) => {
      await freshNamespace();
      const client = await clientOf(
        cluster.server,
        EVERYTHING.filter((right) => right !== missing),
      );
      await register('https://127.0.0.1:1/');
      const replica = startCertificates({ client, namespace, registration: namespace, lifetimes: LONG });
      if (missing === 'patch secrets') {
        await replica.certificates.ready;
        await cluster.kubectl(['annotate', 'secret', 'ca', '-n', namespace, 'libc-dns.dev/rotate=now']);
      }
      await expect
        .poll(() => replica.said.some((line) => line.includes(`cannot ${missing.replace(' ', ' resource "')}"`)), {
          timeout: 20_000,
        })
        .toBe(true);
      await expect.poll(() => replica.certificates.untrusted() ?? 'trusted').toMatch(untrusted);
      await replica.certificates.close();
      await client.close();
    });
  });
});
