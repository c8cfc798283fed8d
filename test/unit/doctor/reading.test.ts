import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { Agent } from 'undici';
import { afterEach, describe, expect, it } from 'vitest';

import { chooseCluster } from '../../../src/app/join.ts';
import { podSeen } from '../../../src/cluster/pod-seen.ts';
import * as objects from '../../../src/doctor/view/objects.ts';
import { createDoctorView, readMetrics } from '../../../src/doctor/view/reader.ts';
import type { LeaseSeen } from '../../../src/doctor/view/view.ts';
import type { KubeRequest } from '../../../src/kubernetes/client.ts';
import { KubeError } from '../../../src/kubernetes/errors.ts';
import { getOne, listAll } from '../../../src/kubernetes/lists.ts';

const nodes = { group: '', version: 'v1', plural: 'nodes' };

type Answer = (request: KubeRequest) => unknown;

const client = (answer: Answer) => ({
  server: 'https://cluster',
  request: async <T>(request: KubeRequest): Promise<T> => answer(request) as T,
  watch: () => {
    throw new Error('not in this test');
  },
  list: async () => {
    throw new Error('not in this test');
  },
  close: async () => {},
});
const view = (answer: Answer) => createDoctorView(client(answer), {} as never);
const fail = (code: ConstructorParameters<typeof KubeError>[0]): never => {
  throw new KubeError(code, code);
};

describe('lists', () => {
  it('are read page by page, up to a limit', async () => {
    const asked: unknown[] = [];
    const pages = client(({ query }) => {
      asked.push(query?.['continue']);
      return { items: [1, 2], metadata: { continue: `after-${asked.length}` } };
    });
    expect(await listAll(pages, nodes, { most: 5 }, (item) => item)).toEqual([1, 2, 1, 2, 1]);
    expect(asked).toEqual([undefined, 'after-1', 'after-2']);
  });

  it('begin anew where the server has forgotten the continuation', async () => {
    const answers = [
      () => ({ items: [1, 2], metadata: { continue: 'x' } }),
      () => fail('gone'),
      () => ({ items: [1], metadata: { continue: 'y' } }),
      () => ({ items: [3] }),
    ];
    const forgetful = client(() => answers.shift()?.());
    expect(await listAll(forgetful, nodes, { most: 9 }, (item) => item)).toEqual([1, 3]);
  });

  it('end, even if the server’s pages do not', async () => {
    const endless = client(() => ({ items: [], metadata: { continue: 'x' } }));
    await expect(listAll(endless, nodes, { most: 9 }, (item) => item)).rejects.toMatchObject({ code: 'malformed' });
  });

  it('leave out what cannot be read, where the reader says so', async () => {
    const all = client(() => ({ items: [1, 2, 3] }));
    expect(await listAll(all, nodes, { most: 9 }, (item) => (item === 2 ? undefined : item))).toEqual([1, 3]);
    expect(
      await listAll(
        client(() => ({})),
        nodes,
        { most: 9 },
        (item) => item,
      ),
    ).toEqual([]);
  });

  it('an object that is not there is undefined; other failures stay', async () => {
    expect(
      await getOne(
        client(() => fail('not-found')),
        '/x',
        (object) => object,
      ),
    ).toBeUndefined();
    await expect(
      getOne(
        client(() => fail('forbidden')),
        '/x',
        (object) => object,
      ),
    ).rejects.toMatchObject({ code: 'forbidden' });
  });
});

describe('objects', () => {
  it('nulls and missing parts are as the API server means them', () => {
    const parsed = objects.webhookConfiguration.parse({
      metadata: { name: 'x', labels: null },
      webhooks: [
        { name: 'a', clientConfig: { caBundle: null, service: null, url: null }, rules: null, namespaceSelector: null },
      ],
    });
    expect(parsed.entries[0]).toMatchObject({
      caBundle: '',
      rules: [],
      failurePolicy: 'Fail',
      timeoutSeconds: 10,
      namespaceSelector: { matchLabels: {}, matchExpressions: [] },
    });
    expect(objects.webhookConfiguration.parse({ metadata: { name: 'x' }, webhooks: null }).entries).toEqual([]);
    expect(objects.service.parse({ spec: { type: 'ExternalName', selector: null, ports: null } })).toEqual({
      type: 'ExternalName',
      selector: {},
      ports: [],
    });
  });

  it('what is not as the API has it names the field', async () => {
    const bad = view(() => ({ items: [{ metadata: { name: 'n' }, status: { nodeInfo: { kernelVersion: 5 } } }] }));
    await expect(bad.nodes()).rejects.toMatchObject({
      code: 'malformed',
      message: expect.stringContaining('status.nodeInfo.kernelVersion') as string,
    });
  });

  it.each<[string, unknown, object | undefined]>([
    [
      'a Pod that waits',
      {
        metadata: { name: 'p', namespace: 'n' },
        spec: { containers: [] },
        status: {
          containerStatuses: [
            {
              restartCount: 2,
              state: { waiting: { reason: 'CrashLoopBackOff' } },
              lastState: { terminated: { reason: 'OOMKilled' } },
            },
          ],
        },
      },
      { restarts: 2, trouble: ['CrashLoopBackOff', 'OOMKilled'], ready: false },
    ],
    [
      'a container that ended well',
      {
        metadata: { name: 'p', namespace: 'n' },
        spec: {},
        status: { containerStatuses: [{ state: { terminated: { reason: 'Completed' } } }] },
      },
      { trouble: [] },
    ],
    [
      'an owner that does not control',
      {
        metadata: { name: 'p', namespace: 'n', ownerReferences: [{ apiVersion: 'v1', kind: 'X', name: 'x' }] },
        spec: {},
      },
      { phase: '' },
    ],
    ['no status', { metadata: { name: 'p', namespace: 'n' }, spec: {} }, { ready: false, ip: '' }],
    ['no Pod at all', null, undefined],
    ['a Pod of wrong types', { metadata: { name: 'p', namespace: 'n' }, spec: { containers: 'none' } }, undefined],
  ])('%s', (_, object, expected) => {
    const seen = podSeen(object);
    if (expected === undefined) expect(seen).toBeUndefined();
    else expect(seen).toMatchObject(expected);
  });
});

describe('the view', () => {
  it('keeps certificates of a Secret, and nothing else', async () => {
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    const pem = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----';
    const data = {
      'current.crt': base64(pem),
      'current.key': base64('KEY'),
      'a.crt': base64('-----BEGIN PRIVATE KEY-----'),
    };
    expect(await view(() => ({ data })).secretCertificates('a', 'b')).toEqual({ 'current.crt': pem });
    expect(await view(() => ({ data: null })).secretCertificates('a', 'b')).toEqual({});
  });

  it('reads which namespaces have a PodResolvers, and how many images it leaves out', async () => {
    const items = [
      { metadata: { name: 'libc-dns', namespace: 'a' } },
      { metadata: { name: 'other', namespace: 'b' } },
      { metadata: { name: 'libc-dns', namespace: 'c', annotations: { 'libc-dns.dev/left-out': '7' } } },
    ];
    const found = new Map(Object.entries({ a: 0, c: 7 }));
    expect(await view(() => ({ items })).podResolvers()).toEqual(found);
    await expect(view(() => fail('not-found')).podResolvers()).rejects.toMatchObject({ code: 'not-found' });
  });

  it.each<[string, object, LeaseSeen]>([
    [
      'held',
      { spec: { holderIdentity: 'a_1', renewTime: '2026-01-02T03:04:05.000006Z' } },
      { holder: 'a_1', renewedAt: Date.parse('2026-01-02T03:04:05Z') },
    ],
    ['free', { spec: { holderIdentity: '', renewTime: null } }, { holder: '', renewedAt: undefined }],
    ['new', {}, { holder: '', renewedAt: undefined }],
  ])('reads a Lease: %s', async (_, lease, seen) => {
    expect(await view(() => lease).lease('a', 'b')).toEqual(seen);
    expect(await view(() => fail('not-found')).lease('a', 'b')).toBeUndefined();
  });

  it('asks for policies of older API servers, too', async () => {
    const old = view(({ path }) => (path.includes('/v1beta1/') ? { items: [] } : fail('not-found')));
    expect(await old.mutatingPolicies()).toEqual([]);
    await expect(view(() => fail('not-found')).mutatingPolicies()).rejects.toMatchObject({ code: 'not-found' });
    await expect(view(() => fail('forbidden')).mutatingPolicies()).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('asks about itself where it may not ask about others', async () => {
    const user = 'system:serviceaccount:libc-dns:webhook';
    const right = { verb: 'get', group: '', resource: 'namespaces' };
    const poor = (me: string) =>
      view(({ path }) => {
        if (path.endsWith('/subjectaccessreviews')) return fail('forbidden');
        if (path.endsWith('/selfsubjectreviews')) return { status: { userInfo: { username: me } } };
        return { status: { allowed: true } };
      });
    expect(await poor(user).mayDo(user, right)).toBe(true);
    await expect(poor('somebody').mayDo(user, right)).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('reads no template of what it does not know', async () => {
    const known = view(({ path }) => ({
      spec: { template: { spec: { dnsConfig: { options: [{ name: path.split('/').at(-2) }] } } } },
    }));
    const of = (kind: string, apiVersion: string) => known.templateDns({ kind, apiVersion, name: 'x' }, 'shop');
    expect((await of('ReplicaSet', 'apps/v1'))?.options).toEqual([{ name: 'replicasets' }]);
    expect(await of('Rollout', 'argoproj.io/v1')).toBeUndefined();
    expect(await of('ReplicaSet', 'elsewhere.io/v1')).toBeUndefined();
  });
});

describe("the API server's metrics", () => {
  let server: Server;
  let asked: string[];
  const serve = async (status: number, body: string) => {
    asked = [];
    server = createServer(({ url = '' }, response) => {
      asked.push(url);
      response.writeHead(status).end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const dispatcher = new Agent();
    return {
      server: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      prepare: async () => ({ headers: {}, dispatcher }),
      close: async () => await dispatcher.close(),
    };
  };
  const signal = new AbortController().signal;
  afterEach(() => void server.close());

  it('keeps the lines that are wanted', async () => {
    const transport = await serve(200, '# HELP a x\na{b="c"} 1\nab{b="c"} 2\nother 3\n');
    expect(await readMetrics(transport, '/metrics', ['a'], signal)).toEqual(['a{b="c"} 1']);
  });

  it('asks a Pod for its own through the API server', async () => {
    const reader = createDoctorView({} as never, await serve(200, 'a{b="c"} 1\n'));
    expect(await reader.podMetrics({ namespace: 'shop', name: 'web-1', port: 9402 }, ['a'])).toEqual(['a{b="c"} 1']);
    expect(asked).toEqual(['/api/v1/namespaces/shop/pods/web-1%3A9402/proxy/metrics']);
  });

  it('keeps a bounded number of them', async () => {
    const transport = await serve(200, 'a{b="c"} 1\n'.repeat(5000));
    expect(await readMetrics(transport, '/metrics', ['a'], signal)).toHaveLength(1000);
  });

  it.each([
    [403, 'forbidden'],
    [500, 'server'],
  ])('status %d is %s', async (status, code) => {
    await expect(readMetrics(await serve(status, 'no'), '/metrics', ['a'], signal)).rejects.toMatchObject({ code });
  });
});

describe('the cluster that a person means', () => {
  const here = import.meta.filename;
  const folder = import.meta.dirname;
  const meant = (named: object, environment: Record<string, string>, inCluster: boolean) =>
    chooseCluster(named, { HOME: '/nonexistent', ...environment }, inCluster);

  it.each<[object, Record<string, string>, boolean, unknown]>([
    [{ kubeconfig: 'x', context: 'y' }, { KUBECONFIG: here }, true, { files: ['x'], context: 'y' }],
    [{}, { KUBECONFIG: here }, true, { files: [here] }],
    [
      { context: 'y' },
      { KUBECONFIG: `${folder}:/nonexistent::${here}:${folder}` },
      true,
      { files: [folder, here], context: 'y' },
    ],
    [{}, { KUBECONFIG: '/nonexistent' }, true, 'KUBECONFIG names /nonexistent, which does not exist'],
    [{}, { KUBECONFIG: ':' }, true, {}],
    [{}, {}, true, {}],
    [{}, {}, false, 'neither --kubeconfig nor KUBECONFIG is given, and there is no /nonexistent/.kube/config'],
  ])('%j, %j, in a cluster: %s', (named, environment, inCluster, expected) => {
    expect(meant(named, environment, inCluster)).toEqual(expected);
  });
});
