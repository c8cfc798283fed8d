import { afterEach, describe, expect, it } from 'vitest';

import { createDnsBackends } from '../../../../src/cluster/reach/dns-backends.ts';
import { createReach } from '../../../../src/cluster/reach/reach.ts';
import { readNetworkPolicy } from '../../../../src/exposure/network-policies.ts';
import type { ClusterFacts } from '../../../../src/policy/model.ts';
import { recordingReporter } from '../../../support/recording-reporter.ts';
import { facts, policy } from '../../../support/policy.ts';
import { type SmallApi, startSmallApi, status } from '../../kubernetes/small-api.ts';

const SERVICE = '/api/v1/namespaces/kube-system/services/kube-dns';
const SLICES = '/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices';
const NAMESPACE = '/api/v1/namespaces/kube-system';

const service = {
  spec: {
    clusterIP: '10.96.0.10',
    clusterIPs: ['10.96.0.10'],
    selector: { 'k8s-app': 'kube-dns' },
    ports: [
      { name: 'dns', port: 53, protocol: 'UDP', targetPort: 5353 },
      { name: 'dns-tcp', port: 53, protocol: 'TCP', targetPort: 'dns-tcp' },
      { name: 'metrics', port: 9153, protocol: 'TCP', targetPort: 9153 },
    ],
  },
};
const ports = [
  { name: 'dns-tcp', port: 5353, protocol: 'TCP' },
  { name: 'dns', port: 5353, protocol: 'UDP' },
  { name: 'metrics', port: 9153, protocol: 'TCP' },
];
const endpoint = (address: string, name: string) => ({ addresses: [address], targetRef: { kind: 'Pod', name } });
const slices = { items: [{ endpoints: [endpoint('10.244.1.7', 'a'), endpoint('10.244.2.9', 'b')], ports }] };
const namespace = { metadata: { name: 'kube-system', labels: { team: 'platform' } } };

let api: SmallApi | undefined;
afterEach(async () => await api?.close());

/** Answers by path; a number is a status. */
async function start(change: Record<string, unknown> = {}) {
  const answers = { [SERVICE]: service, [SLICES]: slices, [NAMESPACE]: namespace, ...change };
  api = await startSmallApi(({ path, send }) => {
    const answer = (answers as Record<string, unknown>)[path];
    const code = answer === undefined ? 404 : answer;
    if (typeof code === 'number') send(status(code, 'no'), code);
    else send(answer);
  });
  const recording = recordingReporter();
  const backends = createDnsBackends({
    client: api.client,
    service: 'kube-system/kube-dns',
    timeoutMs: 1000,
    reporter: recording.reporter,
  });
  const look = async (): Promise<void> => await backends.look(new AbortController().signal);
  await look();
  const reachWith = (egress: unknown, cluster = facts) => {
    const spec = { podSelector: {}, policyTypes: ['Egress'], egress: [egress] };
    const all = readNetworkPolicy({ namespace: 'shop', name: 'p', spec });
    const policies = { of: (name: string) => (name === 'shop' ? all : []), cilium: false };
    const options = {
      facts: () => cluster,
      behind: () => backends.current,
      config: policy(),
      service: backends.current?.service ?? '',
    };
    return createReach({ policies, ...options })('shop', { app: 'web' }).dnsTcp;
  };
  const codes = (): unknown[] => recording.of('cluster.apiFailed').map(([, code]) => code);
  return { answers, backends, codes, messages: recording.messages, look, reachWith };
}

const kubeDns = { namespaceSelector: {}, podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } };
const byLabel = (labels: object) => ({ to: [{ namespaceSelector: {}, podSelector: { matchLabels: labels } }] });

describe('what is behind the DNS Service', () => {
  it('is its endpoints: their ports and addresses, and what the Service tells of labels and names', async () => {
    const { backends, reachWith, codes } = await start();
    expect(backends.current).toMatchObject({
      service: 'kube-system/kube-dns',
      addresses: ['10.96.0.10'],
      backends: [{ addresses: ['10.244.1.7', '10.244.2.9'], port: { TCP: 5353, UDP: 5353 } }],
    });
    expect(codes()).toEqual([]);
    expect(reachWith({ to: [kubeDns], ports: [{ port: 53 }] })).toBe('denied');
    expect(reachWith({ to: [kubeDns], ports: [{ port: 5353 }] })).toBe('allowed');
    expect(reachWith({ to: [kubeDns], ports: [{ port: 'dns-tcp' }] })).toBe('allowed');
    expect(reachWith({ to: [kubeDns], ports: [{ port: 'dns' }] })).toBe('uncertain');
    expect(reachWith(byLabel({ app: 'coredns' }))).toBe('uncertain');
    expect(reachWith(byLabel({ 'k8s-app': 'other' }))).toBe('denied');
    expect(reachWith({ to: [{ namespaceSelector: { matchLabels: { team: 'platform' } } }] })).toBe('allowed');
    expect(reachWith({ to: [{ ipBlock: { cidr: '10.244.0.0/16' } }] })).toBe('allowed');
    expect(reachWith({ to: [{ ipBlock: { cidr: '10.96.0.0/12' } }] })).toBe('uncertain');
  });

  it('addresses that are no Pods have no labels either', async () => {
    const endpoints = [{ addresses: ['192.0.2.1'] }, { addresses: ['192.0.2.2'], targetRef: null }];
    const { reachWith } = await start({ [SLICES]: { items: [{ endpoints, ports }] } });
    expect(reachWith({ to: [kubeDns] })).toBe('denied');
    expect(reachWith({ to: [{ ipBlock: { cidr: '192.0.2.0/24' } }] })).toBe('allowed');
  });

  it('many endpoints are any address', async () => {
    const many = Array.from({ length: 100 }, (_, index) => endpoint(`10.244.3.${index}`, `n${index}`));
    const { reachWith, backends } = await start({ [SLICES]: { items: [{ endpoints: many, ports }] } });
    expect(reachWith({ to: [kubeDns] })).toBe('allowed');
    expect(reachWith({ to: [{ ipBlock: { cidr: '10.244.0.0/16' } }] })).toBe('uncertain');
    expect(backends.current?.backends).toMatchObject([{ addresses: ['0.0.0.0/0'] }]);
  });

  it.each([
    ['endpoints', SLICES],
    ['its namespace', NAMESPACE],
  ])('where %s may not be read, the Service’s selector has to do', async (_what, path) => {
    const { reachWith, codes, messages, look, answers } = await start({ [path]: 403 });
    expect(codes()).toEqual(['forbidden']);
    expect(reachWith({ to: [kubeDns] })).toBe('allowed');
    expect(reachWith(byLabel({ app: 'coredns' }))).toBe('uncertain');
    Object.assign(answers, { [SLICES]: slices, [NAMESPACE]: namespace });
    await look();
    expect(messages('info')).toEqual([expect.stringMatching(/^over: /)]);
  });

  it('a Service without endpoints: what is known of it has to do', async () => {
    const { reachWith } = await start({ [SLICES]: { items: [] } });
    expect(reachWith({ to: [kubeDns] })).toBe('allowed');
    expect(reachWith({ to: [kubeDns], ports: [{ port: 5353 }] })).toBe('uncertain');
  });

  it.each([
    ['there is no Service', 404, 'not-found'],
    ['it may not be read', 403, 'forbidden'],
    ['it is something else', {}, 'malformed'],
  ])('%s: nothing is certain but what allows all', async (_what, answer, code) => {
    const { reachWith, codes } = await start({ [SERVICE]: answer });
    expect(codes()).toEqual([code]);
    expect(reachWith({ to: [kubeDns] })).toBe('uncertain');
    expect(reachWith({ ports: [{ port: 53 }] })).toBe('uncertain');
    expect(reachWith({})).toBe('allowed');
  });

  it('what was read stays where the API server goes away', async () => {
    const { backends, look, answers, codes } = await start();
    const before = backends.current;
    Object.assign(answers, { [SERVICE]: 500 });
    await look();
    expect(backends.current).toBe(before);
    expect(codes()).toEqual(['server']);
  });
});

describe('what Pods reach', () => {
  const reach = (of: () => never[] | 'unread' | 'forbidden' | 'too-many') =>
    createReach({
      policies: { of, cilium: false },
      facts: () => facts,
      behind: () => undefined,
      config: policy(),
      service: 'a/b',
    });

  it('all of it where no policy selects them, as one constant', () => {
    const found = reach(() => []);
    expect(found('shop', {})).toEqual({ dnsTcp: 'allowed', nodeLocalUdp: 'allowed', nodeLocalTcp: 'allowed' });
    expect(found('shop', {})).toBe(found('bank', { a: 'b' }));
  });

  it.each(['unread', 'forbidden', 'too-many'] as const)('nothing is certain where policies are %s', (why) => {
    expect(reach(() => why)('shop', {})).toEqual({
      dnsTcp: 'uncertain',
      nodeLocalUdp: 'uncertain',
      nodeLocalTcp: 'uncertain',
    });
  });

  it('the node-local cache counts where Pods are led to it', async () => {
    const ready = { ...facts, nodeLocal: 'ready', nodeLocalAddresses: ['169.254.20.10'] } as const;
    const all = readNetworkPolicy({ namespace: 'shop', name: 'p', spec: { egress: [{ to: [kubeDns] }] } });
    const find = (cluster: ClusterFacts) =>
      createReach({
        policies: { of: () => all, cilium: false },
        facts: () => cluster,
        behind: () => undefined,
        config: policy(),
        service: 'a/b',
      })('shop', {});
    expect(find(ready)).toMatchObject({ nodeLocalUdp: 'denied', nodeLocalTcp: 'denied' });
    const policyName = 'NetworkPolicy shop/p';
    expect(find(ready).by).toEqual({ dnsTcp: policyName, nodeLocalUdp: policyName, nodeLocalTcp: policyName });
    expect(find({ ...facts, nodeLocal: 'absent' })).toMatchObject({ nodeLocalUdp: 'allowed' });
  });
});
