import { describe, expect, it } from 'vitest';

import { decideFor, withNodeLocal } from '../../support/policy.ts';

const term = (key: string, operator: string, ...values: string[]) => ({
  matchExpressions: [{ key, operator, values }],
});
const terms = (...nodeSelectorTerms: object[]) => ({
  nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
});
const requiring = (...words: Parameters<typeof term>) => terms(term(...words));

const OS = 'kubernetes.io/os';
const WINDOWS = term(OS, 'In', 'windows');

describe('never touched', () => {
  it.each([
    { reason: 'HostNetwork', spec: { hostNetwork: true } },
    { reason: 'HostNetwork', spec: { hostNetwork: true, dnsPolicy: 'ClusterFirst' } },
    { reason: 'PolicyDefault', spec: { dnsPolicy: 'Default' } },
    { reason: 'PolicyNone', spec: { dnsPolicy: 'None', dnsConfig: { nameservers: ['192.0.2.1'] } } },
    { reason: 'Windows', spec: { os: { name: 'windows' } } },
    { reason: 'Windows', spec: { nodeSelector: { 'kubernetes.io/os': 'windows' } } },
    { reason: 'Windows', spec: { nodeSelector: { 'beta.kubernetes.io/os': 'windows' } } },
    { reason: 'Windows', spec: { affinity: requiring('kubernetes.io/os', 'In', 'windows') } },
    { reason: 'Windows', spec: { affinity: terms(WINDOWS, WINDOWS) } },
    { reason: 'MirrorPod', spec: {}, metadata: { annotations: { 'kubernetes.io/config.mirror': 'x' } } },
    { reason: 'NoContainers', spec: { containers: [] } },
  ])('$reason $spec', ({ reason, spec, metadata }) => {
    const decision = decideFor({ resolvers: ['musl'], spec, config: withNodeLocal(), ...(metadata && { metadata }) });
    expect(decision).toMatchObject({ reason, remedy: [] });
    expect(decision).not.toHaveProperty('change');
  });

  it.each([
    { affinity: requiring('kubernetes.io/os', 'In', 'windows', 'linux') },
    { affinity: requiring('kubernetes.io/os', 'NotIn', 'windows') },
    { affinity: terms(WINDOWS, term(OS, 'In', 'linux')) },
    { affinity: terms(WINDOWS, term('disk', 'In', 'ssd')) },
    { affinity: terms(WINDOWS, { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['a'] }] }) },
    { affinity: terms() },
    { runtimeClassName: 'windows-2022', tolerations: [{ key: 'os', value: 'windows' }] },
  ])('a Pod that may run on Linux is looked after: %j', (spec) => {
    expect(decideFor({ resolvers: ['glibc'], spec }).remedy).toEqual(['options']);
  });

  it.each(['ClusterFirstWithHostNet', 'ClusterFirst'])(
    'dnsPolicy %s with the cluster DNS is looked after',
    (dnsPolicy) => {
      const hostNetwork = dnsPolicy === 'ClusterFirstWithHostNet';
      expect(decideFor({ resolvers: ['glibc'], spec: { dnsPolicy, hostNetwork } }).remedy).toEqual(['options']);
    },
  );

  it.each([
    { nodeSelector: { type: 'virtual-kubelet' } },
    { nodeSelector: { 'eks.amazonaws.com/compute-type': 'fargate' } },
    { schedulerName: 'fargate-scheduler' },
    { nodeName: 'virtual-node-aci-linux' },
    { nodeName: 'eklet-subnet-1' },
    { nodeName: 'bursting-node' },
    { nodeSelector: { 'node.kubernetes.io/instance-type': 'eklet' } },
    { nodeSelector: { 'k8s.aliyun.com/vnode': 'true' } },
    { nodeSelector: { 'vci.vke.volcengine.com/node-type': 'vci' } },
    { nodeSelector: { 'liqo.io/type': 'virtual-node' } },
    { nodeSelector: { 'virtual-node.interlink/type': 'virtual-kubelet' } },
    { nodeSelector: { 'node-role.kubernetes.io/virtual-node': '' } },
    { affinity: requiring('eks.amazonaws.com/compute-type', 'In', 'fargate') },
    { affinity: requiring('type', 'In', 'virtual-kubelet') },
    { tolerations: [{ key: 'virtual-kubelet.io/provider', operator: 'Exists' }] },
    { tolerations: [{ key: 'eks.tke.cloud.tencent.com/eklet', operator: 'Exists' }] },
    { tolerations: [{ key: 'vci.vke.volcengine.com/node-type', value: 'vci' }] },
    { tolerations: [{ key: 'k8s.aliyun.com/vnode', value: 'true' }] },
    { tolerations: [{ key: 'virtual-node.liqo.io/not-allowed', operator: 'Exists' }] },
    { tolerations: [{ key: 'virtual-node.interlink/no-schedule', operator: 'Exists' }] },
  ])('no redirect for a Pod that may run on a virtual node: %j', (spec) => {
    expect(decideFor({ resolvers: ['musl'], spec, config: withNodeLocal() })).toMatchObject({
      reason: 'VirtualNode',
      remedy: ['retry'],
    });
  });

  it.each([
    { labels: { 'eks.amazonaws.com/fargate-profile': 'p' }, reason: 'VirtualNode' },
    { labels: { 'alibabacloud.com/eci': 'true' }, reason: 'VirtualNode' },
    { labels: { 'alibabacloud.com/eci': 'false' }, reason: 'MuslRedirected' },
    { labels: { 'alibabacloud.com/acs': 'true' }, reason: 'VirtualNode' },
    { labels: { 'alibabacloud.com/acs': 'false' }, reason: 'MuslRedirected' },
    { labels: { eci: 'true' }, reason: 'VirtualNode' },
    { labels: { eci: 'billing' }, reason: 'MuslRedirected' },
    { labels: { 'bursting.cci.io/burst-to-cci': 'localPrefer' }, reason: 'VirtualNode' },
    { labels: { 'bursting.cci.io/burst-to-cci': 'off' }, reason: 'MuslRedirected' },
    { labels: { 'virtual-kubelet.io/burst-to-cci': 'enforce' }, reason: 'VirtualNode' },
    { labels: { 'vke.volcengine.com/burst-to-vci': 'enforce' }, reason: 'VirtualNode' },
    { annotations: { 'vke.volcengine.com/burst-to-vci': 'enforce' }, reason: 'VirtualNode' },
    { annotations: { 'eks.tke.cloud.tencent.com/cpu': '2' }, reason: 'VirtualNode' },
  ])('labels and annotations of virtual nodes: %j', ({ reason, ...metadata }) => {
    expect(decideFor({ resolvers: ['musl'], metadata, config: withNodeLocal() }).reason).toBe(reason);
  });

  it.each([
    { labels: { 'alibabacloud.com/eci': 'true' }, reason: 'VirtualNode' },
    { labels: { 'alibabacloud.com/eci': 'false' }, reason: 'MuslRedirected' },
    { labels: { eci: 'true' }, reason: 'VirtualNode' },
    { labels: { eci: 'billing' }, reason: 'MuslRedirected' },
    { labels: { 'virtual-node-affinity-injection': 'enabled' }, reason: 'VirtualNode' },
    { labels: { 'virtual-node-affinity-injection': 'disabled' }, reason: 'MuslRedirected' },
  ])('labels of namespaces whose Pods go to virtual nodes: %j', ({ reason, labels }) => {
    expect(decideFor({ resolvers: ['musl'], labels, config: withNodeLocal() }).reason).toBe(reason);
  });

  it('an affinity that keeps a Pod off virtual nodes is no sign of one', () => {
    const spec = { affinity: requiring('eks.amazonaws.com/compute-type', 'NotIn', 'fargate') };
    expect(decideFor({ resolvers: ['musl'], spec, config: withNodeLocal() }).reason).toBe('MuslRedirected');
  });

  it('a toleration of everything is no sign of a virtual node', () => {
    const spec = { tolerations: [{ operator: 'Exists' }] };
    expect(decideFor({ resolvers: ['musl'], spec, config: withNodeLocal() }).reason).toBe('MuslRedirected');
  });
});
