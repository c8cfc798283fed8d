import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { type ClusterExposure, createClusterExposure } from '../../src/cluster/exposure.ts';
import { createKubeClient, type KubeClient } from '../../src/kubernetes/client.ts';
import { kubeConfigTransport } from '../../src/kubernetes/kubeconfig.ts';
import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { kubeProxyConfig, node } from '../support/doctor-objects.ts';
import { install, type Installation, NAME, NAMESPACE } from '../support/installation.ts';
import { createPod, optionsOf } from '../support/pods.ts';
import { type Recording, recordingReporter } from '../support/recording-reporter.ts';

const NEW = '6.12.9';
const MIDDLE = '6.8.0-45-generic';
const OLD = '4.14.90';

const rbac = (kind: string, name: string, namespace: string | undefined, more: object) => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind,
  metadata: { name, ...(namespace !== undefined && { namespace }) },
  ...more,
});

/** What docs/security.md grants with `exposure: auto`, for a service account of the webhook's namespace. */
function rightsOf(account: string): object[] {
  const subjects = [{ kind: 'ServiceAccount', name: account, namespace: NAMESPACE }];
  const name = `exposure-${account}`;
  const roleRef = (kind: string) => ({ apiGroup: 'rbac.authorization.k8s.io', kind, name });
  return [
    rbac('ClusterRole', name, undefined, {
      rules: [
        { apiGroups: [''], resources: ['nodes'], verbs: ['list', 'watch'] },
        { apiGroups: ['apps'], resources: ['daemonsets'], verbs: ['list'] },
      ],
    }),
    rbac('ClusterRoleBinding', name, undefined, { roleRef: roleRef('ClusterRole'), subjects }),
    rbac('Role', name, 'kube-system', {
      rules: [
        {
          apiGroups: [''],
          resources: ['configmaps'],
          resourceNames: ['kube-proxy', 'kube-proxy-config', 'cilium-config'],
          verbs: ['get'],
        },
        { apiGroups: [''], resources: ['pods'], verbs: ['list'] },
      ],
    }),
    rbac('RoleBinding', name, 'kube-system', { roleRef: roleRef('Role'), subjects }),
  ];
}

const proxyConfig = (mode: string): object => ({
  ...kubeProxyConfig,
  data: { 'config.conf': `kind: KubeProxyConfiguration\nmode: ${mode}\n` },
});

const kindnet = {
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: { name: 'kindnet', namespace: 'kube-system' },
  spec: {
    selector: { matchLabels: { app: 'kindnet' } },
    template: {
      metadata: { labels: { app: 'kindnet' } },
      spec: { containers: [{ name: 'kindnet-cni', image: 'docker.io/kindest/kindnetd:v20250214-acbabc1a' }] },
    },
  },
};

describe.runIf(hasCluster())('exposure: auto on a real API server', () => {
  let cluster: TestCluster;
  let client: KubeClient;
  let installation: Installation;
  let source: ClusterExposure | undefined;
  let report: Recording;

  beforeAll(async () => {
    cluster = await startCluster();
    await cluster.createNamespace(NAMESPACE);
    await cluster.createNamespace(ownName('enforced'), { 'libc-dns.dev/mode': 'enforce' });
    await cluster.apply(...rightsOf('default'), ...rightsOf(NAME), kubeProxyConfig, node('new', NEW));
    const file = await cluster.kubeconfigOf(NAMESPACE, 'default');
    client = createKubeClient(kubeConfigTransport({ files: [file], userAgent: 'test' }));
  });
  afterEach(async () => {
    await source?.close();
    await cluster.kubectl(['delete', 'node', 'old', '--ignore-not-found']);
  });
  afterAll(async () => {
    await installation?.stop();
    await client?.close();
    await cluster?.stop();
  });

  async function follow(by: KubeClient = client): Promise<ClusterExposure> {
    report = recordingReporter();
    const clock = { now: () => Date.now() };
    source = createClusterExposure({ client: by, clock, reporter: report.reporter, times: { everyMs: 100 } });
    await source.settled;
    return source;
  }

  it('follows nodes, kube-proxy and DaemonSets with the rights that the documentation names', async () => {
    const exposure = await follow();
    const because = () => exposure.current.because;
    expect(exposure.current).toMatchObject({ exposed: false, because: 'fixed' });
    await cluster.apply(node('old', OLD));
    await expect.poll(() => exposure.current).toMatchObject({ because: 'kernel', nodes: 1, nodeNames: ['old'] });
    await cluster.kubectl(['delete', 'node', 'old']);
    await expect.poll(because).toBe('fixed');
    await cluster.apply(proxyConfig('ipvs'));
    await expect.poll(because).toBe('ipvs');
    await cluster.apply(kindnet, node('old', MIDDLE));
    await cluster.apply(kubeProxyConfig);
    await expect.poll(() => exposure.current).toMatchObject({ because: 'nfqueue', nodes: 1, nodeNames: ['old'] });
    await cluster.kubectl(['-n', 'kube-system', 'delete', 'daemonset', 'kindnet']);
    await expect.poll(because).toBe('fixed');
    expect(report.messages('warn')).toEqual([]);
    const flips = report.lines.filter(({ level }) => level === 'info').map(({ fields }) => fields['exposed']);
    expect(flips).toEqual([false, true, false, true, false]);
  });

  it('counts as exposed what the account may not read, and says so', async () => {
    await cluster.createNamespace(ownName('elsewhere'));
    const file = await cluster.kubeconfigOf(ownName('elsewhere'), 'default');
    const stranger = createKubeClient(kubeConfigTransport({ files: [file], userAgent: 'test' }));
    const exposure = await follow(stranger);
    expect(exposure.current).toMatchObject({ exposed: true, because: 'unread' });
    await expect.poll(() => report.messages('warn').length).toBeGreaterThanOrEqual(3);
    expect(new Set(report.lines.filter(({ level }) => level === 'warn').map(({ fields }) => fields['code']))).toEqual(
      new Set(['forbidden']),
    );
    await source?.close();
    await stranger.close();
  });

  it('a webhook patches Pods from the moment that an old node joins, and no more once it is gone', async () => {
    const settings = { EXPOSURE: 'auto', DETECTION_REGISTRY_ENABLED: 'false' };
    installation = await install(cluster, { settings });
    let created = 0;
    const newPod = async () => {
      created += 1;
      return await createPod(cluster, ownName('enforced'), { name: `pod-${created}` });
    };
    const retry = ['timeout:5', 'attempts:10'];
    const before = await newPod();
    expect(optionsOf(before)).toEqual([]);
    expect(before.metadata.annotations).not.toHaveProperty('libc-dns.dev/decision');
    await cluster.apply(node('old', OLD));
    await expect.poll(async () => optionsOf(await newPod()), { timeout: 10_000 }).toEqual(retry);
    const [replica] = installation.replicas;
    const metrics = await (await fetch(`${replica?.probes}/metrics`)).text();
    expect(metrics).toMatch(/^libc_dns_exposed 1$/m);
    expect(metrics).toMatch(/^libc_dns_exposed_nodes 1$/m);
    await cluster.kubectl(['delete', 'node', 'old']);
    await expect.poll(async () => optionsOf(await newPod()), { timeout: 10_000 }).toEqual([]);
    expect(await (await fetch(`${replica?.probes}/metrics`)).text()).toMatch(/reason="NotExposed".* [1-9]/);
  });
});
