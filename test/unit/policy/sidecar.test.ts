import jsonPatch from 'fast-json-patch';
import { describe, expect, it } from 'vitest';

import { createEvaluate } from '../../../src/admission/evaluate.ts';
import { policyConfig } from '../../../src/config/policy-config.ts';
import { configSchema } from '../../../src/config/schema.ts';
import type { ClusterFacts, PolicyConfig } from '../../../src/policy/model.ts';
import { REASONS } from '../../../src/policy/reasons.ts';
import { sidecarContainer } from '../../../src/policy/sidecar.ts';
import { decideFor, enforced, facts, podWith, policy, withNodeLocal } from '../../support/policy.ts';

type Json = Record<string, unknown>;

const ASKS = { annotations: { 'libc-dns.dev/remedy': 'sidecar' } };
const SEARCHES = ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local'];
const VIRTUAL = { nodeSelector: { type: 'virtual-kubelet' } };

const options = ({ change }: ReturnType<typeof decideFor>): string[] =>
  (change?.options ?? []).map(({ name, value }) => (value === undefined ? name : `${name}:${value}`));

describe('the cache in the Pod', () => {
  it('is asked for by annotation: loopback first, then the cluster DNS, with what the kubelet would have written', () => {
    const decision = decideFor({ resolvers: ['musl'], metadata: ASKS });
    expect(decision).toMatchObject({ reason: 'SidecarAdded', remedy: ['sidecar'] });
    expect(decision.change).toMatchObject({
      dnsPolicy: 'None',
      nameservers: ['127.0.0.1', '10.96.0.10'],
      searches: SEARCHES,
      sidecar: { image: 'registry.k8s.io/coredns/coredns:v1.14.6' },
    });
    expect(options(decision)).toEqual(['ndots:5', 'timeout:5', 'attempts:10']);
  });

  it('forwards to all addresses of the cluster DNS', () => {
    const cluster = { ...facts, dns: ['10.96.0.10', 'fd00:10:96::a'] };
    const { change } = decideFor({ resolvers: ['musl'], metadata: ASKS, cluster });
    expect(change?.nameservers).toEqual(['127.0.0.1', '10.96.0.10', 'fd00:10:96::a']);
    expect(change?.sidecar?.corefile).toContain('    forward . 10.96.0.10 fd00:10:96::a {\n');
  });

  it.each([
    { resolvers: ['glibc'], config: policy(), remedy: ['options', 'sidecar'], has: 'use-vc' },
    { resolvers: ['unknown'], config: policy(), remedy: ['options', 'sidecar'], has: 'use-vc' },
    { resolvers: ['musl', 'glibc'], config: policy(), remedy: ['options', 'sidecar'], has: 'attempts:10' },
    { resolvers: ['musl'], config: withNodeLocal(), remedy: ['sidecar'], has: 'attempts:10' },
    {
      resolvers: ['musl'],
      config: policy({ glibc: { options: [], tcpPreflight: true } }),
      remedy: ['sidecar'],
      has: 'ndots:5',
    },
  ] as const)('$resolvers: whatever is in the Pod, its author asked for it', ({ resolvers, config, remedy, has }) => {
    const decision = decideFor({ resolvers, metadata: ASKS, config });
    expect(decision).toMatchObject({ reason: 'SidecarAdded', remedy });
    expect(decision.change?.nameservers).toEqual(['127.0.0.1', '10.96.0.10']);
    expect(options(decision)).toContain(has);
  });

  it('is never given by default, on virtual nodes neither', () => {
    expect(decideFor({ resolvers: ['musl'] }).remedy).toEqual(['retry']);
    expect(decideFor({ resolvers: ['musl'], spec: VIRTUAL }).remedy).toEqual(['retry']);
  });

  describe('with virtualNodes: sidecar', () => {
    const config = policy({ virtualNodes: 'sidecar' });

    it('is given to musl in a namespace whose Pods go to virtual nodes', () => {
      const labels = { 'alibabacloud.com/eci': 'true' };
      expect(decideFor({ resolvers: ['musl'], labels, config }).reason).toBe('SidecarAdded');
    });

    it('is given to musl on virtual nodes, though a node-local cache runs elsewhere', () => {
      const known = withNodeLocal({ virtualNodes: 'sidecar' });
      for (const one of [config, known]) {
        expect(decideFor({ resolvers: ['musl'], spec: VIRTUAL, config: one })).toMatchObject({
          reason: 'SidecarAdded',
        });
      }
    });

    it.each([
      { resolvers: ['musl'], spec: {}, given: config, reason: 'MuslRetried' },
      { resolvers: ['glibc'], spec: VIRTUAL, given: config, reason: 'OptionsAdded' },
      {
        resolvers: ['musl'],
        spec: VIRTUAL,
        given: policy({ virtualNodes: 'sidecar', musl: { ...policy().musl, remedy: 'none' } }),
        reason: 'NothingConfigured',
      },
    ] as const)('is not given to others: $reason', ({ resolvers, spec, given, reason }) => {
      expect(decideFor({ resolvers, spec, config: given }).reason).toBe(reason);
    });
  });

  it.each<[string, Json, Partial<ClusterFacts>]>([
    ['SidecarUnsupported', {}, { nativeSidecars: false }],
    ['SidecarHostNetwork', { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }, {}],
    ['SidecarNameTaken', { containers: [{ name: 'libc-dns-cache', image: 'x' }] }, {}],
    ['SidecarNameTaken', { volumes: [{ name: 'libc-dns-cache', emptyDir: {} }] }, {}],
    [
      'SidecarPortTaken',
      { containers: [{ name: 'c0', image: 'x', ports: [{ containerPort: 53, protocol: 'UDP' }] }] },
      {},
    ],
    ['SidecarPortTaken', { containers: [{ name: 'c0', image: 'x', ports: [{ containerPort: 10_553 }] }] }, {}],
    ['SidecarPortTaken', { dnsConfig: { nameservers: ['127.0.0.1'] } }, {}],
    ['SidecarPodResources', { resources: { limits: { memory: '64Mi' } } }, {}],
    ['SearchesUnknown', {}, { searchesAssumed: true }],
    ['NameserversFull', { dnsConfig: { nameservers: ['192.0.2.1', '192.0.2.2'] } }, {}],
    ['NameserversFull', { dnsConfig: { nameservers: ['192.0.2.1', '192.0.2.2', '192.0.2.3'] } }, {}],
    [
      'SearchTooLong',
      { dnsConfig: { searches: Array.from({ length: 12 }, (_, n) => `a-long-search-domain-${n}.example`) } },
      {},
    ],
    ['SearchInvalid', {}, { nodeSearches: ['a_b.example'] }],
  ])('%s: the Pod gets what it would get without asking', (reason, spec, change) => {
    const cluster = { ...facts, ...change };
    for (const resolver of ['musl', 'glibc'] as const) {
      const asking = decideFor({ resolvers: [resolver], metadata: ASKS, spec, cluster });
      const other = decideFor({ resolvers: [resolver], spec, cluster });
      expect(asking).toEqual({ ...other, reason, message: asking.message });
      expect(asking.change).toBeDefined();
    }
    const none = policy({ glibc: { options: [], tcpPreflight: true } });
    expect(decideFor({ resolvers: ['go'], metadata: ASKS, spec, cluster, config: none })).toMatchObject({
      reason,
      remedy: [],
    });
  });

  it('where it is refused and a node-local cache runs, the Pod is redirected there, and the message says why', () => {
    const cluster = { ...facts, nativeSidecars: false };
    const decision = decideFor({ resolvers: ['musl'], metadata: ASKS, cluster, config: withNodeLocal() });
    expect(decision).toMatchObject({ reason: 'MuslRedirected', remedy: ['redirect'] });
    expect(decision.message).toBe(`${REASONS.MuslRedirected} ${REASONS.SidecarUnsupported}`);
  });

  it("a user's nameserver stays, behind the cluster DNS, as the kubelet has it; nothing is written twice", () => {
    const nameserversFor = (...nameservers: string[]): unknown =>
      decideFor({ resolvers: ['musl'], metadata: ASKS, spec: { dnsConfig: { nameservers } } }).change?.nameservers;
    expect(nameserversFor('192.0.2.1')).toEqual(['127.0.0.1', '10.96.0.10', '192.0.2.1']);
    expect(nameserversFor('192.0.2.1', '10.96.0.10')).toEqual(['127.0.0.1', '10.96.0.10', '192.0.2.1']);
  });

  it('an annotation of another value is ignored with a warning', () => {
    const decision = decideFor({
      resolvers: ['musl'],
      metadata: { annotations: { 'libc-dns.dev/remedy': 'redirect' } },
    });
    expect(decision).toMatchObject({
      reason: 'MuslRetried',
      warnings: ['annotation libc-dns.dev/remedy is "redirect": ignored; use sidecar'],
    });
  });
});

describe('its container', () => {
  const containerWith = (sidecar: object): object =>
    sidecarContainer({ ...policyConfig(configSchema.parse({ sidecar })).sidecar, corefile: '' });
  const container = containerWith({});

  it('complies with Pod Security restricted, and is a native sidecar with a probe', () => {
    expect(container).toMatchObject({
      restartPolicy: 'Always',
      securityContext: {
        runAsNonRoot: true,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'], add: ['NET_BIND_SERVICE'] },
        seccompProfile: { type: 'RuntimeDefault' },
      },
      startupProbe: { httpGet: { port: 10_553 } },
    });
  });

  it('has requests and limits, which are equal: a Guaranteed Pod stays so', () => {
    const { requests, limits } = (container as { resources: Record<string, Json> }).resources;
    expect(requests).toEqual({ cpu: '100m', memory: '64Mi' });
    expect(limits).toEqual(requests);
    expect(container).toMatchObject({ env: [{ name: 'GOMEMLIMIT', value: '56MiB' }] });
  });

  it('has what is configured, and a heap that fits the limit', () => {
    const resources = {
      requests: { cpu: '20m', memory: '48Mi', 'ephemeral-storage': '10Mi' },
      limits: { cpu: '0.2', memory: '128Mi', 'ephemeral-storage': '10Mi' },
    };
    const env = [{ name: 'GOMEMLIMIT', value: '112MiB' }];
    expect(containerWith({ resources })).toMatchObject({ resources, env });
  });

  it('asks for what it may use, if the configuration has limits alone', () => {
    const limits = { cpu: '200m', memory: '96Mi' };
    expect(containerWith({ resources: { limits } })).toMatchObject({ resources: { limits, requests: limits } });
  });
});

describe('the patch', () => {
  const evaluateWith = (config: PolicyConfig = policy()) =>
    createEvaluate({
      config,
      cluster: () => facts,
      verdicts: { platform: { os: 'linux', architecture: 'amd64' } },
    });

  async function patched(pod: object, config?: PolicyConfig) {
    const { decision, patch } = await evaluateWith(config)(pod, enforced(), { budgetMs: 100 });
    return { decision, patch, pod: jsonPatch.applyPatch(structuredClone(pod), patch, true, true).newDocument };
  }

  const annotated = (more: Json = {}): Json => ({
    annotations: { 'libc-dns.dev/remedy': 'sidecar', 'libc-dns.dev/libc': 'musl', ...more },
  });

  it('puts the container before the others, and adds volume and Corefile', async () => {
    const spec = { initContainers: [{ name: 'i', image: 'x' }], volumes: [{ name: 'v', emptyDir: {} }] };
    const { pod, patch } = await patched(podWith(1, spec, annotated()));
    expect(pod).toMatchObject({
      metadata: { annotations: { 'libc-dns.dev/corefile': expect.stringContaining('bind 127.0.0.1') as string } },
      spec: {
        dnsPolicy: 'None',
        initContainers: [{ name: 'libc-dns-cache' }, { name: 'i' }],
        volumes: [{ name: 'v' }, { name: 'libc-dns-cache', downwardAPI: { items: [{ path: 'Corefile' }] } }],
      },
    });
    expect(patch.map(({ op, path }) => `${op} ${path}`)).toContain('add /spec/initContainers/0');
  });

  it('applied twice changes nothing, and its own container is no container of the Pod', async () => {
    const once = await patched(podWith(1, {}, annotated()));
    const twice = await patched(once.pod);
    expect(twice.patch).toEqual([]);
    expect(twice.decision).toMatchObject({ reason: 'AlreadyConfigured', containers: [{ name: 'c0' }] });
  });

  it('gives a container that another webhook added later its options, and says sidecar again', async () => {
    const { pod } = await patched(podWith(1, {}, annotated()));
    const { metadata, spec } = pod as { metadata: { annotations: Json }; spec: Json };
    const annotations = { ...metadata.annotations, 'libc-dns.dev/libc.late': 'glibc' };
    const containers = [...(spec['containers'] as object[]), { name: 'late', image: 'x' }];
    const again = await patched({ metadata: { annotations }, spec: { ...spec, containers } });
    expect(again.decision).toMatchObject({ reason: 'SidecarAdded', remedy: ['options', 'sidecar'] });
    expect(again.decision.change).toEqual({ options: [{ name: 'single-request-reopen' }, { name: 'use-vc' }] });
    expect((await patched(again.pod)).patch).toEqual([]);
  });

  it('is empty if the Pod has no room for the Corefile: a cache without one would not start', async () => {
    const full = podWith(1, {}, annotated({ note: 'x'.repeat(262_000) }));
    expect((await patched(full)).patch).toEqual([]);
  });
});
