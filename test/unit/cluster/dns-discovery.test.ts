import { afterEach, describe, expect, it } from 'vitest';

import { createDiscovery } from '../../../src/cluster/dns-discovery.ts';
import { policyConfig } from '../../../src/config/policy-config.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { type Asked, startSmallApi, status } from '../kubernetes/small-api.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const SERVICE = '/api/v1/namespaces/kube-system/services/kube-dns';
const LIST = '/apis/apps/v1/namespaces/kube-system/daemonsets';
const DAEMON_SET = `${LIST}/node-local-dns`;
const REDIRECTS = '/apis/cilium.io/v2/namespaces/kube-system/ciliumlocalredirectpolicies';

const daemonSet = (name: string, localip: string, hostNetwork = true) => ({
  metadata: { name },
  spec: { template: { spec: { hostNetwork, containers: [{ args: ['-localip', localip] }] } } },
  status: { desiredNumberScheduled: 2, numberReady: 2 },
});

/** What the API answers by path, an object or a status code; 404 where nothing is said. */
type Answers = Record<string, object | number | ((asked: Asked) => void)>;

async function start(answers: Answers, which = 'node-local-dns') {
  answers[SERVICE] ??= { metadata: {}, spec: { clusterIP: '10.96.0.10' } };
  const api = await startSmallApi((asked) => {
    const answer = answers[asked.path] ?? 404;
    if (typeof answer === 'function') answer(asked);
    else if (typeof answer === 'number') asked.send(status(answer, 'no'), answer);
    else asked.send(answer);
  });
  closers.push(() => api.close());
  const config = configSchema.parse({ nodeLocal: { daemonSet: `kube-system/${which}` } });
  const discovery = createDiscovery({
    client: api.client,
    config,
    policy: policyConfig(config),
    own: {},
    readMs: 1000,
  });
  const look = async () => {
    await discovery.refresh(AbortSignal.timeout(5000));
    const { facts, nodeLocalDetail, sources } = discovery.known();
    return { state: facts.nodeLocal, addresses: facts.nodeLocalAddresses, detail: nodeLocalDetail, sources };
  };
  const unread = () => discovery.unread().filter(({ object }) => !object.startsWith('version'));
  return { answers, look, unread, asked: () => api.asked.map(({ path }) => path) };
}

describe('a cache with a DaemonSet for each pool of nodes', () => {
  const pools = [daemonSet('node-local-dns-a', '169.254.20.10'), daemonSet('node-local-dns-b.1', '169.254.25.10')];
  const items = [...pools, daemonSet('kube-proxy', '192.0.2.1')];
  const expected = {
    state: 'ready',
    addresses: ['169.254.20.10', '169.254.25.10'],
    detail: expect.stringMatching(/^2 DaemonSets: .*; ready on 4 of 4 nodes$/) as unknown,
  };

  it.each(['node-local-dns-*', '*-dns-*', 'node*'])('is found by names like %s', async (pattern) => {
    const { look, asked } = await start({ [LIST]: { items } }, pattern);
    expect(await look()).toMatchObject({
      ...expected,
      sources: { nodeLocal: `daemonset kube-system/${pattern}` },
    });
    expect(asked()).toContain(LIST);
  });

  it.each([
    ['node-local-dns*.1', ['169.254.25.10']],
    ['*-b?1', []],
    ['node-*-dns', []],
    ['local-*', []],
  ])('is not found by more than names like %s', async (pattern, addresses) => {
    const { look } = await start({ [LIST]: { items } }, pattern);
    expect((await look()).addresses).toEqual(addresses);
  });

  it('is found by the labels that the API selects by', async () => {
    const selector = 'k8s-app=node-local-dns,gardener.cloud/role=system-component';
    const answer = ({ query, send }: Asked) => send({ items: query.get('labelSelector') === selector ? pools : [] });
    const { look } = await start({ [LIST]: answer }, selector);
    expect(await look()).toMatchObject(expected);
  });

  it('is not there, or may not be listed', async () => {
    const { answers, look, unread } = await start({ [LIST]: { items: [] } }, 'node-local-dns-*');
    expect(await look()).toMatchObject({ state: 'absent' });
    answers[LIST] = 403;
    expect(await look()).toMatchObject({ state: 'absent' });
    const object = 'daemonset kube-system/node-local-dns-*';
    expect(unread()).toMatchObject([{ object, verb: 'list', error: { code: 'forbidden' } }]);
    answers[LIST] = { kind: 'Status' };
    await look();
    expect(unread()).toMatchObject([{ object, error: { code: 'malformed' } }]);
  });
});

describe('a cache that gives the nodes no address', () => {
  const behindRedirect = daemonSet('node-local-dns', '169.254.20.10,10.96.0.10', false);
  const serviceMatcher = { serviceName: 'kube-dns', namespace: 'kube-system' };
  const redirects = { items: [{ spec: { redirectFrontend: { serviceMatcher } } }] };

  it('intercepts while a local redirect names the DNS Service', async () => {
    const { answers, look, unread } = await start({ [DAEMON_SET]: behindRedirect, [REDIRECTS]: redirects });
    expect(await look()).toMatchObject({ state: 'intercepting', addresses: [] });
    answers[REDIRECTS] = 403;
    expect(await look()).toMatchObject({ state: 'intercepting' });
    const object = 'ciliumlocalredirectpolicies in kube-system';
    expect(unread()).toMatchObject([{ object, verb: 'list', error: { code: 'forbidden' } }]);
    answers[REDIRECTS] = { items: [] };
    expect(await look()).toMatchObject({ state: 'unknown' });
    answers[REDIRECTS] = 500;
    await look();
    expect(unread()).toHaveLength(1);
    answers[DAEMON_SET] = daemonSet('node-local-dns', '169.254.20.10');
    expect(await look()).toMatchObject({ state: 'ready' });
    expect(unread()).toEqual([]);
  });

  it.each([
    ['there is no Cilium', 404, 'no CiliumLocalRedirectPolicy names the DNS Service'],
    ['local redirects may not be read', 403, 'whether a CiliumLocalRedirectPolicy brings Pods to it is not known'],
  ])('is not known where %s', async (_, answer, detail) => {
    const { look } = await start({ [DAEMON_SET]: behindRedirect, [REDIRECTS]: answer });
    expect(await look()).toMatchObject({ state: 'unknown', detail: expect.stringContaining(detail) as unknown });
  });

  it('is asked for its redirect, and no other is', async () => {
    const { answers, look, asked } = await start({ [DAEMON_SET]: daemonSet('node-local-dns', '169.254.20.10') });
    await look();
    expect(asked()).not.toContain(REDIRECTS);
    answers[DAEMON_SET] = behindRedirect;
    await look();
    expect(asked()).toContain(REDIRECTS);
  });
});
