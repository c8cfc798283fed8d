import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { type ClusterFactsSource, createClusterFacts } from '../../src/cluster/dns-facts.ts';
import { policyConfig } from '../../src/config/policy-config.ts';
import { configSchema } from '../../src/config/schema.ts';
import { createKubeClient, type KubeClient } from '../../src/kubernetes/client.ts';
import { kubeConfigTransport } from '../../src/kubernetes/kubeconfig.ts';
import { hasCluster, startCluster, type TestCluster } from '../support/cluster.ts';
import { type Recording, recordingReporter } from '../support/recording-reporter.ts';

const role = (...rules: object[]) => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'Role',
  metadata: { name: 'facts', namespace: 'kube-system' },
  rules,
});

/** What docs/security.md says is needed. */
const RULES = [
  { apiGroups: [''], resources: ['services'], resourceNames: ['kube-dns'], verbs: ['get'] },
  { apiGroups: ['apps'], resources: ['daemonsets'], resourceNames: ['node-local-dns'], verbs: ['get'] },
  { apiGroups: ['cilium.io'], resources: ['ciliumlocalredirectpolicies'], verbs: ['list'] },
];

const binding = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'RoleBinding',
  metadata: { name: 'facts', namespace: 'kube-system' },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'facts' },
  subjects: [{ kind: 'ServiceAccount', name: 'default', namespace: 'libc-dns' }],
};

const service = (spec: object) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'kube-dns', namespace: 'kube-system' },
  spec: { ports: [{ name: 'dns', port: 53, protocol: 'UDP' }], selector: { 'k8s-app': 'kube-dns' }, ...spec },
});

interface Cache {
  readonly args: readonly string[];
  readonly hostNetwork?: boolean;
  readonly name?: string;
}

const LABELS = { 'k8s-app': 'node-local-dns' };

const daemonSet = ({ args, hostNetwork = true, name = 'node-local-dns' }: Cache) => ({
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: { name, namespace: 'kube-system', labels: LABELS },
  spec: {
    selector: { matchLabels: LABELS },
    template: {
      metadata: { labels: LABELS },
      spec: {
        hostNetwork,
        dnsPolicy: 'Default',
        containers: [{ name: 'node-cache', image: 'registry.k8s.io/dns/k8s-dns-node-cache:1.26.4', args }],
      },
    },
  },
});

const GROUP = 'cilium.io';

/** As Cilium installs it, without its schema. */
const localRedirectKind = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `ciliumlocalredirectpolicies.${GROUP}` },
  spec: {
    group: GROUP,
    scope: 'Namespaced',
    names: { kind: 'CiliumLocalRedirectPolicy', plural: 'ciliumlocalredirectpolicies' },
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

/** docs.cilium.io/en/stable/network/kubernetes/local-redirect-policy/#node-local-dns-cache */
const localRedirect = {
  apiVersion: `${GROUP}/v2`,
  kind: 'CiliumLocalRedirectPolicy',
  metadata: { name: 'nodelocaldns', namespace: 'kube-system' },
  spec: {
    redirectFrontend: { serviceMatcher: { serviceName: 'kube-dns', namespace: 'kube-system' } },
    redirectBackend: {
      localEndpointSelector: { matchLabels: LABELS },
      toPorts: [{ port: '53', name: 'dns', protocol: 'UDP' }],
    },
  },
};

describe.runIf(hasCluster())('cluster facts from a real API server', () => {
  let cluster: TestCluster;
  let client: KubeClient;
  let source: ClusterFactsSource | undefined;
  let report: Recording;

  beforeAll(async () => {
    cluster = await startCluster({ 'service-cluster-ip-range': '10.0.0.0/24,fd00:10::/112' });
    await cluster.createNamespace('libc-dns');
    await cluster.apply(role(...RULES), binding);
    const file = await cluster.kubeconfigOf('libc-dns', 'default');
    client = createKubeClient(kubeConfigTransport({ files: [file], userAgent: 'test' }));
  });
  afterEach(async () => {
    await source?.close();
    await cluster.kubectl([
      '-n',
      'kube-system',
      'delete',
      'service/kube-dns',
      'daemonset/node-local-dns',
      '--ignore-not-found',
    ]);
  });
  afterAll(async () => {
    await client?.close();
    await cluster?.stop();
  });

  /** Facts with just the rights that the documentation asks for. */
  async function facts(yaml: object = {}): Promise<ClusterFactsSource> {
    const config = configSchema.parse({ glibc: { tcpPreflight: false }, ...yaml });
    report = recordingReporter();
    source = createClusterFacts({
      client,
      config,
      policy: policyConfig(config),
      own: {},
      times: { intervalMs: 100, retryMs: 100 },
      reporter: report.reporter,
    });
    await source.ready;
    return source;
  }

  /** No controller counts Pods here. */
  async function scheduled(
    desiredNumberScheduled: number,
    numberReady: number,
    name = 'node-local-dns',
  ): Promise<void> {
    await cluster.client.request({
      method: 'PATCH',
      path: `/apis/apps/v1/namespaces/kube-system/daemonsets/${name}/status`,
      contentType: 'application/merge-patch+json',
      body: {
        status: {
          desiredNumberScheduled,
          numberReady,
          currentNumberScheduled: desiredNumberScheduled,
          numberMisscheduled: 0,
        },
      },
    });
  }

  it('nothing there: built-in addresses, no cache, and nothing went wrong', async () => {
    const { current } = await facts();
    expect(current).toMatchObject({
      facts: { dns: ['10.96.0.10'], nodeLocal: 'absent' },
      sources: { dns: 'built-in', nodeLocal: 'daemonset kube-system/node-local-dns' },
    });
    expect(report.messages('warn')).toEqual([]);
    expect(report.of('cluster.apiFailed')).toEqual([]);
  });

  it.each([
    { title: 'one address', spec: { clusterIP: '10.0.0.10' }, dns: ['10.0.0.10'] },
    {
      title: 'dual stack',
      spec: { clusterIP: '10.0.0.10', clusterIPs: ['10.0.0.10', 'fd00:10::a'], ipFamilyPolicy: 'RequireDualStack' },
      dns: ['10.0.0.10', 'fd00:10::a'],
    },
    {
      title: 'IPv6 first',
      spec: {
        clusterIP: 'fd00:10::a',
        clusterIPs: ['fd00:10::a', '10.0.0.10'],
        ipFamilies: ['IPv6', 'IPv4'],
        ipFamilyPolicy: 'RequireDualStack',
      },
      dns: ['fd00:10::a', '10.0.0.10'],
    },
    { title: 'headless', spec: { clusterIP: 'None' }, dns: ['10.96.0.10'] },
    { title: 'ExternalName', spec: { type: 'ExternalName', externalName: 'dns.example' }, dns: ['10.96.0.10'] },
  ])('the DNS Service, $title', async ({ spec, dns }) => {
    await cluster.apply(service(spec));
    expect((await facts()).current.facts.dns).toEqual(dns);
  });

  it.each([
    {
      title: 'ipvs style',
      cache: { args: ['-localip', '169.254.20.10', '-conf', '/etc/Corefile', '-upstreamsvc', 'kube-dns-upstream'] },
      expected: { nodeLocal: 'ready', nodeLocalAddresses: ['169.254.20.10'] },
    },
    {
      title: 'iptables style',
      cache: { args: ['-localip', '169.254.20.10,10.0.0.10', '-conf', '/etc/Corefile'] },
      expected: { nodeLocal: 'intercepting', nodeLocalAddresses: ['169.254.20.10'] },
    },
    {
      title: 'placeholders left in',
      cache: { args: ['-localip', '__PILLAR__LOCAL__DNS__,__PILLAR__DNS__SERVER__'] },
      expected: { nodeLocal: 'unknown', nodeLocalAddresses: [] },
    },
  ])('the node-local cache, $title', async ({ cache, expected }) => {
    await cluster.apply(service({ clusterIP: '10.0.0.10' }), daemonSet(cache));
    await scheduled(3, 3);
    expect((await facts()).current.facts).toMatchObject(expected);
  });

  it('a cache behind a local redirect of Cilium is seen as soon as the redirect is there', async () => {
    const flags = ['-skipteardown=true', '-setupinterface=false', '-setupiptables=false'];
    const args = ['-localip', '169.254.20.10,10.0.0.10', ...flags];
    await cluster.apply(service({ clusterIP: '10.0.0.10' }), daemonSet({ args, hostNetwork: false }));
    await scheduled(3, 3);
    const { current } = await facts();
    expect(current.facts).toMatchObject({ nodeLocal: 'unknown', nodeLocalAddresses: [] });
    expect(report.messages('warn')).toEqual([]);
    await cluster.apply(localRedirectKind);
    await cluster.kubectl(['wait', '--for=condition=Established', `crd/${localRedirectKind.metadata.name}`]);
    await cluster.apply(localRedirect);
    await expect.poll(() => source?.current.facts.nodeLocal).toBe('intercepting');
    expect(source?.current.facts.nodeLocalAddresses).toEqual([]);
  });

  it.each(['node-local-dns-*', 'k8s-app=node-local-dns'])(
    'a cache with a DaemonSet for each pool of nodes, found by %s with the right to list',
    async (which) => {
      const names = ['node-local-dns-small', 'node-local-dns-large'];
      const list = { apiGroups: ['apps'], resources: ['daemonsets'], verbs: ['list'] };
      await cluster.apply(role(...RULES.slice(0, 1), list));
      for (const name of names) {
        await cluster.apply(daemonSet({ args: ['-localip', '169.254.20.10'], name }));
        await scheduled(2, 2, name);
      }
      await cluster.apply(daemonSet({ args: ['-localip', 'none'], name: 'other' }));
      await cluster.kubectl(['-n', 'kube-system', 'label', 'daemonset', 'other', 'k8s-app-']);
      const { current } = await facts({ nodeLocal: { daemonSet: `kube-system/${which}` } });
      expect(current.facts).toMatchObject({ nodeLocal: 'ready', nodeLocalAddresses: ['169.254.20.10'] });
      await scheduled(2, 1, 'node-local-dns-large');
      await expect.poll(() => source?.current.facts.nodeLocal).toBe('unready');
      await cluster.kubectl(['-n', 'kube-system', 'delete', 'daemonset', 'other', ...names]);
      await expect.poll(() => source?.current.facts.nodeLocal).toBe('absent');
      expect(report.of('cluster.apiFailed')).toEqual([]);
      await cluster.apply(role(...RULES));
    },
  );

  it('the cache is followed as it is installed, loses nodes and goes', async () => {
    const { current } = await facts({ nodeLocal: { minReady: 0.6 } });
    const state = () => source?.current.facts.nodeLocal;
    expect(current.facts.nodeLocal).toBe('absent');
    await cluster.apply(daemonSet({ args: ['-localip', '169.254.20.10'] }));
    await expect.poll(state).toBe('unready');
    await scheduled(3, 2);
    await expect.poll(state).toBe('ready');
    await scheduled(3, 1);
    await expect.poll(state).toBe('unready');
    await cluster.kubectl(['-n', 'kube-system', 'delete', 'daemonset', 'node-local-dns']);
    await expect.poll(state).toBe('absent');
  });

  it('rights that are taken away: what was known stays, said once for each object', async () => {
    await cluster.apply(service({ clusterIP: '10.0.0.10' }), daemonSet({ args: ['-localip', '169.254.20.10'] }));
    await scheduled(1, 1);
    await facts();
    const looked = report.lines.length;
    await cluster.apply(role());
    const unread = ['daemonset kube-system/node-local-dns', 'service kube-system/kube-dns'].map(
      (object) => `the ${object} cannot be read; what was known of it stays`,
    );
    await expect.poll(() => report.messages().slice(looked).toSorted()).toEqual(unread);
    expect(report.lines.slice(looked).map(({ level, fields }) => [level, fields['code']])).toEqual([
      ['warn', 'forbidden'],
      ['warn', 'forbidden'],
    ]);
    expect(source?.current.facts).toMatchObject({ dns: ['10.0.0.10'], nodeLocal: 'ready' });
    await cluster.apply(role(...RULES));
    const over = unread.map((message) => `over: ${message}`);
    await expect
      .poll(() =>
        report
          .messages()
          .slice(looked + 2)
          .toSorted(),
      )
      .toEqual(over);
  });
});
