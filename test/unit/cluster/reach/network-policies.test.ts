import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, it } from 'vitest';

import { createNetworkPolicies } from '../../../../src/cluster/reach/network-policies.ts';
import { recordingReporter } from '../../../support/recording-reporter.ts';
import { type Asked, isStream, type SmallApi, startSmallApi, status } from '../../kubernetes/small-api.ts';

const POLICIES = '/apis/networking.k8s.io/v1/networkpolicies';
const CILIUM = '/apis/cilium.io/v2/ciliumnetworkpolicies';
const CLUSTERWIDE = '/apis/cilium.io/v2/ciliumclusterwidenetworkpolicies';

const policy = (namespace: string, name: string, egress: unknown = [], resourceVersion = '1') => ({
  metadata: { namespace, name, resourceVersion },
  spec: { podSelector: {}, policyTypes: ['Egress'], egress },
});

type Answer = (asked: Asked) => void;

const listed =
  (...items: unknown[]): Answer =>
  ({ send }) =>
    send({ metadata: { resourceVersion: '5' }, items });
const missing: Answer = ({ send }) => send(status(404, 'not found'), 404);
const forbidden: Answer = ({ send }) => send(status(403, 'forbidden'), 403);
const open: Answer = ({ open: begin }) => begin();
const silent: Answer = () => {};

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

interface Kind {
  list?: Answer;
  watch?: Answer;
}

async function start(kinds: Record<string, Kind>, bounds?: Parameters<typeof createNetworkPolicies>[0]['bounds']) {
  const answers = new Map(Object.entries(kinds));
  const api: SmallApi = await startSmallApi((asked) => {
    const kind = answers.get(asked.path);
    if (kind === undefined) missing(asked);
    else if (isStream(asked)) asked.send(status(422, 'sendInitialEvents is forbidden'), 422);
    else if (asked.query.get('watch') === 'true') (kind.watch ?? open)(asked);
    else (kind.list ?? listed())(asked);
  });
  closers.push(() => api.close());
  const recording = recordingReporter();
  const policies = createNetworkPolicies({
    client: api.client,
    clock: { now: () => 1_000_000 },
    backoff: { first: 10, most: 50 },
    ...(bounds && { bounds }),
    reporter: recording.reporter,
  });
  closers.push(() => policies.close());
  const names = (namespace: string): unknown => {
    const found = policies.of(namespace);
    return typeof found === 'string' ? found : found.map(({ name }) => name);
  };
  return { api, answers, policies, names, ...recording };
}

describe('the copy of policies', () => {
  it('has those about egress, by namespace; kinds that are not installed do not count', async () => {
    const ingress = { metadata: { namespace: 'shop', name: 'in' }, spec: { policyTypes: ['Ingress'] } };
    const { policies, names, lines } = await start({
      [POLICIES]: { list: listed(policy('shop', 'a'), policy('shop', 'b'), policy('bank', 'c'), ingress) },
    });
    expect(names('shop')).toBe('unread');
    await policies.ready;
    expect(names('shop')).toEqual(['NetworkPolicy shop/a', 'NetworkPolicy shop/b']);
    expect(names('bank')).toEqual(['NetworkPolicy bank/c']);
    expect(names('plain')).toEqual([]);
    expect(policies).toMatchObject({ synced: true, size: 3, contactAt: 1_000_000, cilium: false });
    expect(policies.of('shop')).toBe(policies.of('shop'));
    expect(lines).toEqual([]);
  });

  it('cluster-wide policies count in each namespace, after Cilium is installed too', async () => {
    const clusterwide = {
      metadata: { name: 'all', resourceVersion: '1' },
      spec: { endpointSelector: {}, egress: [{}] },
    };
    const { policies, names, answers } = await start({ [POLICIES]: { list: listed(policy('shop', 'a')) } });
    await policies.ready;
    answers.set(CILIUM, {});
    answers.set(CLUSTERWIDE, { list: listed(clusterwide) });
    const cluster = 'CiliumClusterwideNetworkPolicy all';
    await expect.poll(() => names('shop')).toEqual([cluster, 'NetworkPolicy shop/a']);
    expect(names('plain')).toEqual([cluster]);
    expect(policies.cilium).toBe(true);
  });

  it('follows policies as they come, change and go', async () => {
    const { policies, names } = await start({
      [POLICIES]: {
        list: listed(policy('shop', 'a'), policy('shop', 'b')),
        watch: ({ open: begin, event }) => {
          begin();
          event('DELETED', policy('shop', 'a'));
          event('MODIFIED', { ...policy('shop', 'b', [], '2'), spec: { policyTypes: ['Ingress'] } });
          event('ADDED', policy('shop', 'c'));
        },
      },
    });
    await policies.ready;
    await expect.poll(() => names('shop')).toEqual(['NetworkPolicy shop/c']);
    expect(policies.size).toBe(1);
  });

  it('a kind that is taken away takes its policies with it, and brings them back', async () => {
    const own = { ...policy('shop', 'p'), spec: { endpointSelector: {}, egress: [{}] } };
    const { policies, names, answers, api } = await start({ [POLICIES]: {}, [CILIUM]: { list: listed(own) } });
    await policies.ready;
    expect(names('shop')).toHaveLength(1);
    answers.delete(CILIUM);
    api.cut();
    await expect.poll(() => names('shop')).toEqual([]);
    answers.set(CILIUM, { list: listed(own) });
    await expect.poll(() => names('shop')).toHaveLength(1);
  });
});

describe('what is not known', () => {
  it.each([POLICIES, CILIUM])('%s: a kind that may not be read, until it may', async (path) => {
    const { policies, names, messages, answers } = await start({ [POLICIES]: {}, [path]: { list: forbidden } });
    await policies.ready;
    expect(names('shop')).toBe('forbidden');
    expect(policies.synced).toBe(false);
    await sleep(100);
    expect(messages('warn')).toHaveLength(1);
    answers.set(path, { list: listed() });
    await expect.poll(() => names('shop')).toEqual([]);
    expect(messages()).toEqual([
      expect.stringMatching(/^network policies cannot be read/),
      expect.stringMatching(/^over: /),
    ]);
  });

  it('several kinds that may not be read are told of once', async () => {
    const { policies, names, messages, answers } = await start({
      [POLICIES]: { list: forbidden },
      [CILIUM]: { list: forbidden },
    });
    await policies.ready;
    answers.set(CILIUM, { list: listed() });
    await sleep(100);
    expect(names('shop')).toBe('forbidden');
    answers.set(POLICIES, { list: listed() });
    await expect.poll(() => names('shop')).toEqual([]);
    expect(messages()).toEqual([
      expect.stringMatching(/^network policies cannot be read/),
      expect.stringMatching(/^over: /),
    ]);
  });

  it('the second view of Calico’s policies counts only where it may be read', async () => {
    const path = '/apis/projectcalico.org/v3/networkpolicies';
    const own = { metadata: { namespace: 'shop', name: 'p' }, spec: { types: ['Egress'] } };
    const { policies, names, answers } = await start({ [POLICIES]: {}, [path]: { list: forbidden } });
    await policies.ready;
    expect(names('shop')).toEqual([]);
    answers.set(path, { list: listed(own) });
    await expect.poll(() => names('shop')).toEqual(['Calico NetworkPolicy shop/p']);
  });

  it('a list without a watch is out of date', async () => {
    const { names, messages } = await start({ [POLICIES]: { list: listed(), watch: forbidden } });
    await expect.poll(() => names('shop')).toBe('forbidden');
    await sleep(100);
    expect(names('shop')).toBe('forbidden');
    expect(messages('warn')).toHaveLength(1);
  });

  it('an API server that does not answer', async () => {
    const { names } = await start({ [POLICIES]: { list: silent } });
    await sleep(50);
    expect(names('shop')).toBe('unread');
  });

  it('an API server that goes away: what was read stays', async () => {
    const { policies, names, api } = await start({ [POLICIES]: { list: listed(policy('shop', 'a')) } });
    await policies.ready;
    api.answer = ({ response }) => void response.destroy();
    api.cut();
    await sleep(50);
    expect(names('shop')).toEqual(['NetworkPolicy shop/a']);
  });

  it('more policies in a namespace than are held against each of its Pods', async () => {
    const { policies, names, lines } = await start(
      { [POLICIES]: { list: listed(policy('shop', 'a'), policy('shop', 'b'), policy('bank', 'c')) } },
      { namespaceEntries: 1 },
    );
    await policies.ready;
    expect(names('shop')).toBe('too-many');
    expect(names('bank')).toEqual(['NetworkPolicy bank/c']);
    expect(lines).toMatchObject([{ level: 'warn', fields: { namespace: 'shop' } }]);
  });

  it('more policies than are kept: namespaces that have lost one are uncertain until there is room', async () => {
    const { policies, names, lines, answers, api } = await start(
      { [POLICIES]: { list: listed(policy('shop', 'a'), policy('bank', 'b'), policy('bank', 'c')) } },
      { entries: 1 },
    );
    await policies.ready;
    expect(names('shop')).toEqual(['NetworkPolicy shop/a']);
    expect(names('bank')).toEqual(['NetworkPolicy bank/(too many)']);
    expect(lines).toMatchObject([{ level: 'warn', fields: { namespace: 'bank' } }]);
    answers.set(POLICIES, {
      list: listed(),
      watch: ({ event, open: begin }) => {
        begin();
        event('ERROR', { code: 410 });
      },
    });
    api.cut();
    await expect.poll(() => names('bank')).toEqual([]);
  });

  it('policies that are too large are not read: what they say is uncertain', async () => {
    const rules = Array.from({ length: 100 }, (_, port) => ({ ports: [{ port }] }));
    const { policies, names } = await start(
      {
        [POLICIES]: { list: listed(policy('shop', 'large', rules), policy('shop', 'small'), policy('bank', 'small')) },
      },
      { characters: 1000 },
    );
    await policies.ready;
    const found = policies.of('shop');
    const [large] = typeof found === 'string' ? [] : found;
    expect(large).toMatchObject({ name: 'NetworkPolicy shop/large', tier: 'admin' });
    expect(names('bank')).toEqual(['NetworkPolicy bank/small']);
  });
});
