import { afterEach, describe, expect, it } from 'vitest';

import { scanCluster, scanFailure } from '../../../../src/audit/scan/cluster.ts';
import { findInstallation } from '../../../../src/audit/scan/installation.ts';
import type { Scanned } from '../../../../src/audit/scan/scanned.ts';
import { KubeError } from '../../../../src/kubernetes/errors.ts';
import { type Asked, type SmallApi, startSmallApi, status } from '../../kubernetes/small-api.ts';

let api: SmallApi;
afterEach(async () => await api.close());

type Answers = Readonly<Record<string, (asked: Asked) => void>>;

const list =
  (...items: object[]) =>
  ({ send }: Asked) =>
    send({ kind: 'List', metadata: {}, items });
const forbidden = ({ send, path }: Asked): void => send(status(403, `cannot list ${path}`), 403);
const notFound = ({ send }: Asked): void => send(status(404, 'not found'), 404);

/** What is not named is an empty list, or not there. */
async function start(answers: Answers): Promise<void> {
  const single = /\/(services|configmaps)\/[^/]+$/;
  api = await startSmallApi((asked) => {
    const answer = answers[asked.path] ?? (single.test(asked.path) ? notFound : list());
    answer(asked);
  });
}

const scan = async (namespaces: readonly string[] = [], signal = AbortSignal.timeout(10_000)): Promise<Scanned> =>
  await scanCluster({ client: api.client, namespaces, dnsService: 'kube-system/kube-dns', signal });

const pod = (name: string, owner?: object, more: object = {}) => ({
  metadata: { name, namespace: 'shop', ...(owner && { ownerReferences: [owner] }), ...more },
  spec: { nodeName: 'n1', containers: [{ name: 'main', image: 'x' }] },
});
const ref = (kind: string, name: string, uid = name) => ({ kind, name, uid, controller: true });

const PODS = '/api/v1/pods';
const SETS = '/apis/apps/v1/replicasets';
const JOBS = '/apis/batch/v1/jobs';

describe('owners', () => {
  const ownersOf = ({ groups }: Scanned) => groups.map(({ owner }) => `${owner.kind}/${owner.name}`);

  it.each<[string, object, Answers, string]>([
    ['nothing owns it', pod('p'), {}, 'Pod/p'],
    ['a static Pod is owned by its node', pod('p', ref('Node', 'n1')), {}, 'Pod/p'],
    [
      'a Deployment',
      pod('p', ref('ReplicaSet', 'web-abc')),
      {
        [SETS]: list({ metadata: { name: 'web-abc', uid: 'web-abc', ownerReferences: [ref('Deployment', 'web')] } }),
      },
      'Deployment/web',
    ],
    [
      'a Rollout of Argo',
      pod('p', ref('ReplicaSet', 'web-abc')),
      {
        [SETS]: list({ metadata: { name: 'web-abc', uid: 'web-abc', ownerReferences: [ref('Rollout', 'web')] } }),
      },
      'Rollout/web',
    ],
    [
      'a ReplicaSet of its own',
      pod('p', ref('ReplicaSet', 'web')),
      { [SETS]: list({ metadata: { name: 'web', uid: 'web' } }) },
      'ReplicaSet/web',
    ],
    [
      'a CronJob',
      pod('p', ref('Job', 'nightly-1')),
      {
        [JOBS]: list({
          metadata: { name: 'nightly-1', uid: 'nightly-1', ownerReferences: [ref('CronJob', 'nightly')] },
        }),
      },
      'CronJob/nightly',
    ],
    ['what is not known by kind', pod('p', ref('SparkApplication', 's')), {}, 'SparkApplication/s'],
    [
      'ReplicaSets may not be read: by the hash in its name',
      pod('p', ref('ReplicaSet', 'web-abc'), { labels: { 'pod-template-hash': 'abc' } }),
      { [SETS]: forbidden },
      'Deployment/web',
    ],
    [
      'references of wrong types',
      { metadata: { name: 'p', ownerReferences: [null, 'x', { controller: true, kind: 1 }] }, spec: {} },
      {},
      'Pod/p',
    ],
  ])('%s', async (_what, one, answers, expected) => {
    await start({ ...answers, [PODS]: list(one) });
    expect(ownersOf(await scan())).toEqual([expected]);
  });

  it('the DNS settings of the template come with it', async () => {
    const spec = {
      template: { spec: { dnsPolicy: 'Default', dnsConfig: { options: [{ name: 'ndots', value: '2' }] } } },
    };
    const sets = list(
      { metadata: { name: 's', uid: 's' }, spec },
      { metadata: { name: 't', uid: 't' }, spec: { template: { spec: { dnsConfig: 7 } } } },
    );
    await start({ [PODS]: list(pod('a', ref('ReplicaSet', 's')), pod('b', ref('ReplicaSet', 't'))), [SETS]: sets });
    const { groups } = await scan();
    expect(groups.map(({ template }) => template)).toEqual([
      { dnsPolicy: 'Default', dnsConfig: { nameservers: [], searches: [], options: [{ name: 'ndots', value: '2' }] } },
      undefined,
    ]);
  });
});

describe('a roll-out that is under way', () => {
  const spec = { template: { spec: { dnsConfig: { options: [{ name: 'ndots', value: '2' }] } } } };

  it.each([
    ['statefulsets', 'StatefulSet', 'controller-revision-hash', { status: { updateRevision: 'new' } }, {}],
    [
      'daemonsets',
      'DaemonSet',
      'pod-template-generation',
      {},
      { annotations: { 'deprecated.daemonset.template.generation': 'new' } },
    ],
  ])('%s: only Pods of the new template are compared with it', async (plural, kind, label, object, metadata) => {
    await start({
      [PODS]: list(
        pod('a', ref(kind, 'db'), { labels: { [label]: 'new' } }),
        pod('b', ref(kind, 'db'), { labels: { [label]: 'old' } }),
        pod('c', ref(kind, 'db')),
      ),
      [`/apis/apps/v1/${plural}`]: list({ metadata: { name: 'db', uid: 'db', ...metadata }, spec, ...object }),
    });
    const { groups } = await scan();
    const shown = groups.map(({ owner, podNames, template }) => [owner.name, podNames, template !== undefined]);
    expect(new Set(shown)).toEqual(
      new Set([
        ['db', ['a'], true],
        ['db', ['b', 'c'], false],
      ]),
    );
  });
});

describe('pages', () => {
  it('are read to the last; only Pods that run or will', async () => {
    await start({
      [PODS]: ({ query, send }) => {
        const next = Number(query.get('continue') ?? 0) + 1;
        send({ metadata: next < 4 ? { continue: String(next) } : {}, items: [pod(`p${next}`)] });
      },
    });
    const { groups } = await scan();
    expect(groups).toMatchObject([{ owner: { name: 'p1' } }, {}, {}, { owner: { name: 'p4' } }]);
    const asked = api.asked.filter(({ path }) => path === PODS);
    expect(asked.map(({ query }) => query.get('fieldSelector'))).toEqual(
      Array.from({ length: 4 }, () => 'status.phase!=Succeeded,status.phase!=Failed'),
    );
  });

  it('a continuation that the server has forgotten: from the beginning, and nothing counts twice', async () => {
    let lists = 0;
    await start({
      [PODS]: ({ query, send }) => {
        if (!query.has('continue')) lists += 1;
        if (query.has('continue') && lists === 1) send(status(410, 'too old'), 410);
        else
          send({
            metadata: query.has('continue') ? {} : { continue: 'c' },
            items: [pod(query.has('continue') ? 'b' : 'a')],
          });
      },
    });
    const { groups } = await scan();
    expect(groups.map(({ owner, pods }) => [owner.name, pods])).toEqual([
      ['a', 1],
      ['b', 1],
    ]);
  });

  it('a server that forgets each time is given up', async () => {
    await start({ [PODS]: ({ send }) => send(status(410, 'too old'), 410) });
    await expect(scan()).rejects.toMatchObject({ code: 'gone' });
    expect(api.asked.filter(({ path }) => path === PODS)).toHaveLength(3);
  });

  it('an interruption ends it', async () => {
    const stop = new AbortController();
    await start({ [PODS]: () => stop.abort(new Error('enough')) });
    await expect(scan([], stop.signal)).rejects.toThrow('enough');
  });
});

describe('what may not be read', () => {
  it('is a gap that says what to grant; the rest is there', async () => {
    const paths = [
      '/api/v1/nodes',
      '/api/v1/namespaces',
      SETS,
      JOBS,
      '/apis/networking.k8s.io/v1/networkpolicies',
      '/api/v1/namespaces/kube-system/configmaps/cilium-config',
    ];
    await start({ ...Object.fromEntries(paths.map((path) => [path, forbidden])), [PODS]: list(pod('p')) });
    const { groups, gaps, kubeProxy, nodes } = await scan();
    expect(groups).toHaveLength(1);
    expect(nodes).toEqual([]);
    expect(kubeProxy.mode).toBe('unknown');
    expect(gaps.map(({ what }) => what).toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
      'jobs.batch',
      'kube-proxy in kube-system',
      'namespaces',
      'networkpolicies.networking.k8s.io',
      'nodes',
      'replicasets.apps',
    ]);
    for (const { message, grant } of gaps) {
      expect(message).toMatch(/cannot list/);
      expect(grant).toMatch(/^(list|get) /);
    }
  });

  it('refuses a namespace that does not exist; one that may not be read is a gap', async () => {
    await start({ '/api/v1/namespaces/nosuch': notFound, '/api/v1/namespaces/shop': forbidden });
    await expect(scan(['shop', 'nosuch'])).rejects.toMatchObject({
      code: 'not-found',
      message: 'there is no namespace nosuch: kubectl get namespaces lists them',
    });
    expect((await scan(['shop'])).gaps).toMatchObject([{ what: 'namespaces' }]);
  });

  it('Pods are indispensable', async () => {
    await start({ [PODS]: forbidden });
    const error: unknown = await scan().catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'forbidden' });
    expect(scanFailure(error)).toMatch(/needs at least: list pods/);
    expect(scanFailure(new KubeError('timeout', 'no answer'))).toBe('no answer');
    expect(scanFailure(new Error('x'))).toBe('Error: x');
  });

  it('with -n, only in these namespaces', async () => {
    await start({});
    await scan(['a', 'b']);
    const paths = api.asked.map(({ path }) => path);
    expect(paths).toContain('/api/v1/namespaces/a/pods');
    expect(paths).toContain('/apis/batch/v1/namespaces/b/jobs');
    expect(paths).not.toContain(PODS);
  });
});

describe('nodes and the path', () => {
  it('nodes by what they say of themselves; strange ones by what can be read', async () => {
    const info = { kernelVersion: '6.1', osImage: 'Debian', operatingSystem: 'linux' };
    await start({
      '/api/v1/nodes': list(
        { metadata: { name: 'a' }, status: { nodeInfo: info } },
        { metadata: { name: 'b' }, status: { nodeInfo: { kernelVersion: 7 } } },
        { metadata: { name: 'c' }, status: null },
      ),
    });
    expect((await scan()).nodes).toEqual([
      { name: 'a', kernel: '6.1', osImage: 'Debian', os: 'linux' },
      { name: 'b', kernel: '', osImage: '', os: 'linux' },
      { name: 'c', kernel: '', osImage: '', os: 'linux' },
    ]);
  });

  it.each<[boolean | undefined, unknown]>([
    [
      true,
      [
        { port: 53, protocol: 'UDP' },
        { port: 53, protocol: 'TCP' },
      ],
    ],
    [true, [{ port: 53 }]],
    [false, [{ port: 53, protocol: 'UDP' }]],
    [false, null],
  ])('the DNS Service over TCP: %j', async (expected, ports) => {
    await start({
      '/api/v1/namespaces/kube-system/services/kube-dns': ({ send }) =>
        send({ metadata: { name: 'd' }, spec: { ports } }),
    });
    expect((await scan()).dnsTcpPort).toBe(expected);
  });
});

describe('the webhook that is installed', () => {
  const HOOKS = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
  const POLICIES = '/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies';
  const RESOLVERS = '/apis/libc-dns.dev/v1alpha1/podresolvers';
  const hook = (name: string, namespace: string) => ({
    metadata: { name: 'h' },
    webhooks: [{ name, clientConfig: { service: { namespace, name: 's' } } }],
  });
  const find = async (gaps: object[] = []) =>
    await findInstallation(api.client, AbortSignal.timeout(5000), gaps as never);

  it('is found by its registration, its configuration by its label', async () => {
    await start({
      [HOOKS]: list(
        { metadata: { name: 'x' }, webhooks: null },
        hook('a.example.com', 'other'),
        hook('pods.libc-dns.dev', 'dns'),
      ),
      '/api/v1/namespaces/dns/configmaps': list(
        { metadata: { name: 'b' } },
        { metadata: { name: 'a' }, data: { 'config.yaml': 'scope: cluster\n' } },
      ),
    });
    expect(await find()).toEqual({
      registered: true,
      namespace: 'dns',
      configuration: { name: 'ConfigMap dns/a', text: 'scope: cluster\n' },
      podResolvers: undefined,
    });
    expect(api.asked.at(-1)?.query.get('labelSelector')).toBe('app.kubernetes.io/name=libc-dns-webhook');
  });

  it('is found by its policy where no webhook is registered', async () => {
    const policy = { metadata: { name: 'p', annotations: { 'libc-dns.dev/namespace': 'dns' } } };
    await start({
      [HOOKS]: list(hook('a.example.com', 'other')),
      [POLICIES]: list(policy),
      '/api/v1/namespaces/dns/configmaps': list({
        metadata: { name: 'a' },
        data: { 'config.yaml': 'scope: cluster\n' },
      }),
      [RESOLVERS]: list(
        { metadata: { name: 'libc-dns', namespace: 'a', annotations: { 'libc-dns.dev/left-out': '7' } } },
        { metadata: { name: 'libc-dns', namespace: 'b' } },
        { metadata: { name: 'other', namespace: 'c' } },
      ),
    });
    const configuration = { name: 'ConfigMap dns/a', text: 'scope: cluster\n' };
    const podResolvers = new Map(Object.entries({ a: 7, b: 0 }));
    expect(await find()).toEqual({ registered: true, namespace: 'dns', configuration, podResolvers });
    const asked = api.asked.find(({ path }) => path === POLICIES);
    expect(asked?.query.get('labelSelector')).toBe('app.kubernetes.io/name=libc-dns-webhook');
  });

  it('PodResolvers that may not be read are a gap', async () => {
    await start({ [HOOKS]: list(), [POLICIES]: list({ metadata: { name: 'p' } }), [RESOLVERS]: forbidden });
    const gaps: object[] = [];
    expect(await find(gaps)).toMatchObject({ registered: true, podResolvers: undefined });
    expect(gaps).toMatchObject([
      { what: 'podresolvers', grant: expect.stringMatching(/^list podresolvers/) as unknown },
    ]);
  });

  it.each([
    [list(), false, 0],
    // Before Kubernetes 1.36.
    [notFound, false, 0],
    [forbidden, undefined, 1],
  ])('is not there, with policies %#', async (policies, registered, gapsOf) => {
    await start({ [HOOKS]: list(hook('a.example.com', 'other')), [POLICIES]: policies });
    const gaps: object[] = [];
    expect(await find(gaps)).toEqual({ registered, namespace: undefined, configuration: undefined });
    expect(gaps).toHaveLength(gapsOf);
  });

  it('is there too if the API server calls it by a URL', async () => {
    const clientConfig = { url: 'https://dns.example/mutate' };
    await start({
      [HOOKS]: list({ metadata: { name: 'h' }, webhooks: [{ name: 'pods.libc-dns.dev', clientConfig }] }),
    });
    expect(await find()).toEqual({ registered: true, namespace: undefined, configuration: undefined });
  });

  it('is not known to be there if registrations may not be listed', async () => {
    await start({ [HOOKS]: forbidden, [POLICIES]: list() });
    const gaps: object[] = [];
    expect(await find(gaps)).toEqual({ registered: undefined, namespace: undefined, configuration: undefined });
    expect(gaps).toHaveLength(1);
  });

  it('may not be seen: a gap', async () => {
    await start({ [HOOKS]: list(hook('pods.libc-dns.dev', 'dns')), '/api/v1/namespaces/dns/configmaps': forbidden });
    const gaps: object[] = [];
    expect(await find(gaps)).toEqual({ registered: true, namespace: 'dns', configuration: undefined });
    expect(gaps).toMatchObject([{ what: 'configmaps in dns', grant: expect.stringMatching(/--config/) }]);
  });
});
