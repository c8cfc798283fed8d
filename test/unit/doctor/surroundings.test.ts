import { describe, expect, it } from 'vitest';

import type { PodSeen } from '../../../src/cluster/pod-seen.ts';
import { dnsReplicas } from '../../../src/doctor/surroundings/dns-replicas.ts';
import type { Evidence } from '../../../src/doctor/evidence.ts';
import { judgeInjectors } from '../../../src/doctor/surroundings/injectors.ts';
import { added, judgePods, suspects, overwrittenPatch } from '../../../src/doctor/surroundings/pods.ts';
import { judgePolicies } from '../../../src/doctor/surroundings/policies.ts';
import { judgeRegistries, type InspectedImage } from '../../../src/doctor/surroundings/registries.ts';
import type { MutatingPolicy, WebhookConfiguration } from '../../../src/doctor/view/view.ts';
import { readPod } from '../../../src/policy/read-pod.ts';

const RULES = [{ apiGroups: [''], operations: ['CREATE'], resources: ['pods'] }];

describe('other webhooks', () => {
  const webhook = (name: string, entry: string, rules = RULES): WebhookConfiguration =>
    ({ name, entries: [{ name: entry, rules }] }) as unknown as WebhookConfiguration;
  it.each<[string, WebhookConfiguration[], string, string]>([
    ['none', [], 'ok', 'no other webhook sees Pods'],
    ['ours', [webhook('libc-dns-webhook', 'pods.libc-dns.dev')], 'ok', 'no other webhook sees Pods'],
    [
      'about something else',
      [webhook('istio-sidecar-injector', 'sidecar.istio.io')],
      'ok',
      '1 other webhook sees Pods, none is about DNS by its name',
    ],
    [
      'not about Pods',
      [webhook('dnsconfig', 'dns.example', [{ apiGroups: ['apps'], operations: ['*'], resources: ['*'] }])],
      'ok',
      'no other webhook sees Pods',
    ],
    [
      'dnsconfig-injector',
      [webhook('dnsconfig-injector', 'x.y.z')],
      'warning',
      '1 other webhook sets the DNS of Pods, by the name: dnsconfig-injector (x.y.z)',
    ],
    [
      'ndots by its entry',
      [webhook('a', 'ndots.example.com')],
      'warning',
      '1 other webhook sets the DNS of Pods, by the name: a (ndots.example.com)',
    ],
  ])('%s', (_, configurations, status, seen) => expect(judgeInjectors(configurations)).toMatchObject({ status, seen }));

  it('names policy engines apart: their rules decide', () => {
    const { details } = judgeInjectors([
      webhook('kyverno-resource', 'mutate.kyverno.svc'),
      webhook('istio', 'sidecar.istio.io'),
    ]);
    expect(details).toEqual([
      'may do so, too, if their rules say so: kyverno-resource (mutate.kyverno.svc)',
      'see Pods, and are about something else by their names: istio (sidecar.istio.io)',
    ]);
  });
});

describe('the replicas of the cluster DNS', () => {
  const dnsPod = (node: string, ready = true, phase = 'Running') => ({
    view: { nodeName: node },
    ready,
    phase,
    owner: { kind: 'ReplicaSet', name: 'rke2-coredns-6f9c8d7' },
  });
  /** A cluster whose DNS Service chooses these Pods. */
  const among = (pods: readonly object[], service: object | undefined = { selector: { 'k8s-app': 'kube-dns' } }) =>
    ({
      view: async () => ({ service: async () => service, podsWith: async () => pods }),
      webhookConfig: async () => ({ config: { cluster: { service: 'kube-system/kube-dns' } } }),
    }) as unknown as Evidence;

  it.each<[string, readonly object[], string, RegExp]>([
    ['two on two nodes', [dnsPod('a'), dnsPod('b')], 'ok', /^2 replicas of the cluster DNS ready on 2 nodes$/],
    ['one', [dnsPod('a')], 'warning', /has one replica: while it restarts or its node is drained, no name resolves/],
    ['one ready of two', [dnsPod('a'), dnsPod('b', false)], 'warning', /has one replica/],
    ['one, and one that has ended', [dnsPod('a'), dnsPod('b', true, 'Failed')], 'warning', /has one replica/],
    ['two on one node', [dnsPod('a'), dnsPod('a')], 'warning', /all 2 replicas of the cluster DNS are on the node a/],
    ['none ready', [dnsPod('a', false)], 'failure', /none of 1 Pod behind Service kube-system\/kube-dns is ready/],
    ['none chosen', [], 'skipped', /selects no Pods/],
  ])('%s', async (_, pods, status, seen) => {
    expect(await dnsReplicas(among(pods))).toMatchObject({ status, seen: expect.stringMatching(seen) as string });
  });

  it('one: says how to have more of the Deployment that it belongs to', async () => {
    const { advice } = await dnsReplicas(among([dnsPod('a')]));
    expect(advice[0]?.command).toBe('kubectl -n kube-system scale deployment rke2-coredns --replicas=2');
  });

  it('are not known without the Service, or if it has no selector', async () => {
    const view = async () => ({ service: async () => undefined });
    expect(await dnsReplicas({ ...among([]), view } as unknown as Evidence)).toMatchObject({ status: 'skipped' });
    expect(await dnsReplicas(among([dnsPod('a')], { selector: {} }))).toMatchObject({ status: 'skipped' });
  });
});

describe('policies', () => {
  const policy = (mutation: string, bindings: string[] = ['b'], rules = RULES): MutatingPolicy => ({
    name: 'p',
    bindings,
    rules,
    mutations: [mutation],
  });
  it.each<[MutatingPolicy[], string, string]>([
    [[], 'ok', 'MutatingAdmissionPolicies: there is none'],
    [
      [policy('Object{spec: Object.spec{priority: 1}}')],
      'ok',
      'MutatingAdmissionPolicies: none of 1 sets the DNS of Pods',
    ],
    [
      [policy('Object{spec: Object.spec{dnsPolicy: "None"}}')],
      'warning',
      '1 MutatingAdmissionPolicy sets the DNS of Pods: p',
    ],
    [[policy('[JSONPatch{path: "/spec/dnsConfig"}]')], 'warning', '1 MutatingAdmissionPolicy sets the DNS of Pods: p'],
    [[{ ...policy('dnsConfig'), name: 'x.libc-dns.dev' }], 'ok', 'MutatingAdmissionPolicies: there is none but ours'],
    [[policy('dnsConfig', [])], 'ok', 'MutatingAdmissionPolicies: none of 1 sets the DNS of Pods'],
    [
      [policy('dnsConfig', ['b'], [{ apiGroups: ['apps'], operations: ['*'], resources: ['*'] }])],
      'ok',
      'MutatingAdmissionPolicies: none of 1 sets the DNS of Pods',
    ],
  ])('%j', (policies, status, seen) => expect(judgePolicies(policies)).toMatchObject({ status, seen }));
});

interface PodSettings {
  readonly name?: string;
  readonly decision?: string;
  readonly dnsPolicy?: string;
  readonly options?: readonly { name: string; value?: string }[];
  readonly owner?: string;
}

function pod({ name = 'p', decision, dnsPolicy, options = [], owner }: PodSettings): PodSeen {
  const annotations = decision === undefined ? {} : { 'libc-dns.dev/decision': decision };
  return {
    namespace: 'shop',
    name,
    view: readPod({ metadata: { annotations }, spec: { dnsPolicy, dnsConfig: { options }, containers: [] } }),
    ...(owner !== undefined && { owner: { kind: 'ReplicaSet', name: owner, apiVersion: 'apps/v1' } }),
    phase: 'Running',
    ready: true,
    ip: '',
    restarts: 0,
    trouble: [],
  };
}

const CONFIG = { glibc: { options: [{ name: 'single-request-reopen' }, { name: 'use-vc' }], tcpPreflight: true } };
const remedy = (...names: string[]): string => JSON.stringify({ reason: 'x', remedy: names });

describe('Pods', () => {
  it.each<[string, PodSettings, string | undefined]>([
    ['nothing of ours', {}, undefined],
    ['options are there', { decision: remedy('options'), options: [{ name: 'single-request-reopen' }] }, undefined],
    [
      'options are gone',
      { decision: remedy('options'), options: [{ name: 'ndots', value: '2' }] },
      'single-request-reopen, use-vc',
    ],
    ['the redirect is there', { decision: remedy('redirect'), dnsPolicy: 'None' }, undefined],
    ['the redirect is gone', { decision: remedy('redirect') }, 'dnsPolicy None'],
    ['the retry is gone', { decision: remedy('retry') }, 'timeout and attempts'],
    ["the author's own timeout", { decision: remedy('retry'), options: [{ name: 'timeout', value: '3' }] }, undefined],
    ['an annotation of somebody else', { decision: 'nonsense' }, undefined],
    ['an annotation of another shape', { decision: '{"remedy":"options"}' }, undefined],
    ['null', { decision: 'null' }, undefined],
    ['an annotation without end', { decision: `${' '.repeat(100_000)}{}` }, undefined],
  ])('%s', (_, settings, expected) => expect(overwrittenPatch(pod(settings), CONFIG)).toBe(expected));

  it('what was added to a template is found, whatever it is', () => {
    const odd = {
      nameservers: ['1.1.1.1'],
      searches: ['a.b'],
      options: [{ name: 'ndots', value: '2' }, { name: 'debug' }],
    };
    expect(added(odd, { nameservers: [], searches: [], options: [{ name: 'debug' }] })).toEqual([
      'nameserver 1.1.1.1',
      'search a.b',
      'ndots:2',
    ]);
    expect(added(odd, odd)).toEqual([]);
  });

  it('suspects are workloads whose Pods carry settings that are not ours: the largest first, one Pod of each', () => {
    const options = [{ name: 'ndots', value: '2' }];
    const all = [
      pod({ name: 'a', owner: 'one', options }),
      pod({ name: 'b', owner: 'two', options }),
      pod({ name: 'c', owner: 'two', options }),
      pod({ name: 'd', owner: 'three' }),
      pod({ name: 'e', owner: 'four', options, decision: remedy('options') }),
      pod({ name: 'f', options }),
    ];
    expect(suspects(all, 10).map(({ owner, pods }) => [owner.name, pods])).toEqual([
      ['two', 2],
      ['one', 1],
    ]);
    expect(suspects(all, 1)).toHaveLength(1);
  });

  it('all is summed up', () => {
    const fine = pod({ decision: remedy('retry'), options: [{ name: 'timeout', value: '5' }] });
    const base = { config: CONFIG, changed: [] };
    expect(judgePods({ ...base, pods: [] }).status).toBe('skipped');
    expect(judgePods({ ...base, pods: [fine] })).toMatchObject({
      status: 'ok',
      seen: '1 of 1 Pod patched by the webhook; nobody else has set the DNS of any',
    });
    expect(judgePods({ ...base, pods: [fine, pod({ name: 'q', decision: remedy('retry') })] })).toMatchObject({
      status: 'warning',
      seen: '1 Pod lost what the webhook had set: shop/q (timeout and attempts)',
    });
  });
});

describe('registries', () => {
  const inspected = (registry: string, code?: string): InspectedImage => ({
    registry,
    image: `${registry}/app:1`,
    detection: {
      verdict: { resolver: 'musl' },
      meter: { requests: 3, bytes: 9 },
      ...(code !== undefined && { failure: { code, message: 'MESSAGE' } }),
    } as InspectedImage['detection'],
    ms: 12.4,
  });
  const evidence = (...all: InspectedImage[]) => ({
    inspected: all,
    more: 0,
    whose: 'Pods in scope',
    inside: true,
    notes: [],
  });
  it.each<[string, InspectedImage[], string, string, RegExp | undefined]>([
    ['none', [], 'skipped', 'no images of Pods in scope', undefined],
    ['readable', [inspected('ghcr.io')], 'ok', '1 registry of Pods in scope: images can be read', undefined],
    [
      'no login',
      [inspected('ghcr.io'), inspected('quay.io', 'unauthorized')],
      'warning',
      'quay.io: MESSAGE (unauthorized)',
      /pullSecrets/,
    ],
    [
      'not allowed',
      [inspected('quay.io', 'forbidden-host')],
      'warning',
      'quay.io: MESSAGE (forbidden-host)',
      /allow and deny/,
    ],
    ['down', [inspected('quay.io', 'unavailable')], 'warning', 'quay.io: MESSAGE (unavailable)', /NetworkPolicy/],
    [
      'too many requests',
      [inspected('docker.io', 'rate-limited')],
      'warning',
      'docker.io: MESSAGE (rate-limited)',
      /mirror/,
    ],
  ])('%s', (_, all, status, seen, advice) => {
    const outcome = judgeRegistries(evidence(...all));
    expect(outcome).toMatchObject({ status, seen });
    if (advice !== undefined) expect(outcome.advice[0]?.text).toMatch(advice);
  });

  it('says that another place may see it otherwise, what was left out and what was not asked', () => {
    const outcome = judgeRegistries({ ...evidence(inspected('ghcr.io')), inside: false, more: 4, notes: ['NOTE'] });
    expect(outcome.seen).toBe('1 registry of Pods in scope: images can be read from here');
    expect(outcome.details).toEqual([
      'ghcr.io: ghcr.io/app:1 is musl (3 requests, 12 ms)',
      '4 more were not asked',
      'NOTE',
    ]);
  });
});
