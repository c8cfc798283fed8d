import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { install, type Installation } from '../support/installation.ts';
import { createPod, optionsOf, type PodObject } from '../support/pods.ts';

const KUBE_DNS = { 'k8s-app': 'kube-dns' };

/** The cluster DNS: behind the Service it listens on 5353, as on OpenShift. */
const DNS: readonly object[] = [
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'kube-dns', namespace: 'kube-system' },
    spec: {
      selector: KUBE_DNS,
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP', targetPort: 'dns' },
        { name: 'dns-tcp', port: 53, protocol: 'TCP', targetPort: 'dns-tcp' },
      ],
    },
  },
  {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'kube-dns-1', namespace: 'kube-system', labels: { 'kubernetes.io/service-name': 'kube-dns' } },
    addressType: 'IPv4',
    ports: [
      { name: 'dns', port: 5353, protocol: 'UDP' },
      { name: 'dns-tcp', port: 5353, protocol: 'TCP' },
    ],
    endpoints: [
      {
        addresses: ['10.244.1.7'],
        conditions: { ready: true },
        targetRef: { kind: 'Pod', namespace: 'kube-system', name: 'coredns' },
      },
    ],
  },
];

/** Enough of Cilium's CRD for the API server to serve the kind. */
const CILIUM_CRD = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'ciliumnetworkpolicies.cilium.io' },
  spec: {
    group: 'cilium.io',
    scope: 'Namespaced',
    names: { kind: 'CiliumNetworkPolicy', plural: 'ciliumnetworkpolicies' },
    versions: [
      {
        name: 'v2',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
};

const policy = (namespace: string, egress: readonly object[], podSelector: object = {}) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'egress', namespace },
  spec: { podSelector, policyTypes: ['Egress'], egress },
});

const toDns = (protocol: string, port: number | string) => ({
  to: [
    {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } },
      podSelector: { matchLabels: KUBE_DNS },
    },
  ],
  ports: [{ port, protocol }],
});

describe.runIf(hasCluster())('network policies of a real API server', () => {
  let cluster: TestCluster;
  let installation: Installation;
  let count = 0;

  beforeAll(async () => {
    cluster = await startCluster();
    await cluster.apply(CILIUM_CRD, ...DNS);
    await cluster.kubectl(['wait', '--for=condition=Established', 'crd/ciliumnetworkpolicies.cilium.io']);
    installation = await install(cluster, {
      settings: { GLIBC_TCP_PREFLIGHT: 'false', DETECTION_REGISTRY_ENABLED: 'false' },
    });
  });
  afterAll(async () => {
    await installation?.stop();
    await cluster?.stop();
  });

  async function place(name: string): Promise<(labels?: Record<string, string>) => Promise<boolean>> {
    await cluster.createNamespace(name, { 'libc-dns.dev/mode': 'enforce' });
    const create = async (labels: Record<string, string>): Promise<PodObject> => {
      count += 1;
      return await createPod(cluster, name, {
        name: `p${count}`,
        labels,
        annotations: { 'libc-dns.dev/libc': 'glibc' },
      });
    };
    /** Whether the next Pod gets use-vc; all get the rest. */
    return async (labels = { app: 'web' }) => {
      const options = optionsOf(await create(labels));
      expect(options).toContain('single-request-reopen');
      return options.includes('use-vc');
    };
  }

  const patience = { timeout: 10_000, interval: 50 };

  it('a policy that is created, changed and deleted counts for the Pods that come after', async () => {
    const givesTcp = await place('shop');
    expect(await givesTcp()).toBe(true);

    await cluster.apply(policy('shop', [toDns('UDP', 5353)], { matchLabels: { app: 'web' } }));
    await expect.poll(async () => await givesTcp(), patience).toBe(false);
    expect(await givesTcp({ app: 'db' })).toBe(true);

    await cluster.apply(policy('shop', [toDns('UDP', 5353), toDns('TCP', 53)]));
    expect(await givesTcp()).toBe(false);
    await cluster.apply(policy('shop', [toDns('UDP', 5353), toDns('TCP', 5353)]));
    await expect.poll(async () => await givesTcp(), patience).toBe(true);
    await cluster.apply(policy('shop', [toDns('UDP', 'dns'), toDns('TCP', 'dns-tcp')]));
    expect(await givesTcp()).toBe(true);

    await cluster.apply(policy('shop', []));
    await expect.poll(async () => await givesTcp(), patience).toBe(false);
    await cluster.kubectl(['-n', 'shop', 'delete', 'networkpolicy', 'egress']);
    await expect.poll(async () => await givesTcp(), patience).toBe(true);
  });

  it('Pods of one template get what the policies of that moment make of their labels', async () => {
    const givesTcp = await place('jobs');
    await cluster.apply(policy('jobs', [toDns('UDP', 5353)], { matchLabels: { step: 'fetch' } }));
    await expect.poll(async () => await givesTcp({ step: 'fetch' }), patience).toBe(false);
    const given = [];
    for (const step of ['fetch', 'build', 'fetch', 'build', 'build']) given.push(await givesTcp({ step }));
    expect(given).toEqual([false, true, false, true, true]);
  });

  it('a policy of one namespace does not count in others', async () => {
    const [first, second] = [await place('first'), await place('second')];
    await cluster.apply(policy('first', []));
    await expect.poll(async () => await first(), patience).toBe(false);
    expect(await second()).toBe(true);
  });

  it('policies of Cilium count where its kinds are installed', async () => {
    const givesTcp = await place(ownName('cilium'));
    expect(await givesTcp()).toBe(true);
    await cluster.apply({
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumNetworkPolicy',
      metadata: { name: 'egress', namespace: ownName('cilium') },
      spec: { endpointSelector: {}, egress: [{ toEntities: ['world'] }] },
    });
    await expect.poll(async () => await givesTcp(), patience).toBe(false);
  });

  it('a burst of Pods while a policy comes and goes: each gets the one or the other, and DNS in any case', async () => {
    const givesTcp = await place('burst');
    const given: boolean[] = [];
    for (let round = 0; round < 5; round += 1) {
      const pods = Array.from({ length: 10 }, async () => given.push(await givesTcp()));
      await cluster.apply(policy('burst', round % 2 === 0 ? [] : [{}]));
      await Promise.all(pods);
    }
    expect(given).toHaveLength(50);
    await expect.poll(async () => await givesTcp(), patience).toBe(false);
  });
});
