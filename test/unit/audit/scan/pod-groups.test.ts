import { describe, expect, it } from 'vitest';

import { createPodGroups, strippedPod } from '../../../../src/audit/scan/pod-groups.ts';
import { readPod } from '../../../../src/policy/read-pod.ts';

const owner = { kind: 'Deployment', namespace: 'shop', name: 'web' };
const pod = (name: string, spec: Record<string, unknown> = {}, metadata: Record<string, unknown> = {}) => ({
  metadata: { name, ...metadata },
  spec: { containers: [{ name: 'main', image: 'x', env: [{ name: 'SECRET', value: 's' }] }], ...spec },
});

function groupsOf(...pods: unknown[]) {
  const groups = createPodGroups();
  for (const one of pods) groups.add(owner, one, undefined);
  return groups.all();
}

describe('Pods that are alike', () => {
  it('are one group, however many and wherever they run', () => {
    const many = Array.from({ length: 1000 }, (_, index) =>
      pod(
        `web-${String(index).padStart(4, '0')}`,
        { nodeName: `node-${index % 3}`, volumes: [{ name: `token-${index}` }] },
        {
          labels: { 'pod-template-hash': String(index % 7), app: 'web' },
          uid: String(index),
          annotations: { x: String(index) },
        },
      ),
    );
    const [group, ...others] = groupsOf(...many.toReversed());
    expect(others).toEqual([]);
    expect(group).toMatchObject({ pods: 1000, podNames: ['web-0000', 'web-0001', 'web-0002', 'web-0003', 'web-0004'] });
    expect(group?.nodes).toEqual(
      new Map([
        ['node-0', 334],
        ['node-1', 333],
        ['node-2', 333],
      ]),
    );
    expect(JSON.stringify(group?.pod)).not.toContain('token-');
  });

  it.each([
    ['image', { containers: [{ name: 'main', image: 'y' }] }, {}],
    ['a variable', { containers: [{ name: 'main', image: 'x', env: [{ name: 'SECRET', value: 't' }] }] }, {}],
    ['command', { containers: [{ name: 'main', image: 'x', command: ['/other'] }] }, {}],
    ['dnsConfig', { dnsConfig: { options: [{ name: 'ndots', value: '1' }] } }, {}],
    ['mode label', {}, { labels: { 'libc-dns.dev/mode': 'off' } }],
    ['our annotation', {}, { annotations: { 'libc-dns.dev/libc': 'musl' } }],
    ['virtual node', { nodeName: 'virtual-node-aci-linux' }, {}],
  ])('are two groups where they differ in %s', (_what, spec, metadata) => {
    expect(groupsOf(pod('a'), pod('b', spec, metadata))).toHaveLength(2);
  });

  it('DaemonSets pin each Pod to its node: that is no difference, but architectures are', () => {
    const pinned = (name: string, more: object = {}) => {
      const terms = [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [name] }], ...more }];
      const required = { nodeSelectorTerms: terms };
      return { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } } };
    };
    const arm = { matchExpressions: [{ key: 'kubernetes.io/arch', operator: 'In', values: ['arm64'] }] };
    const groups = groupsOf(pod('a', pinned('n1')), pod('b', pinned('n2')), pod('c', pinned('n3', arm)));
    expect(groups.map(({ pods }) => pods).toSorted((a, b) => a - b)).toEqual([1, 2]);
  });

  it('come in one order, whatever order they came in', () => {
    const some = [pod('a', { dnsPolicy: 'None' }), pod('b'), pod('c', { hostNetwork: true })];
    const key = (list: unknown[]): string => JSON.stringify(groupsOf(...list).map((group) => group.pod));
    expect(key(some.toReversed())).toBe(key(some));
  });
});

describe('what is kept of a Pod', () => {
  it('all that a decision reads', () => {
    const whole = {
      metadata: {
        name: 'p',
        labels: { 'libc-dns.dev/mode': 'audit', 'alibabacloud.com/eci': 'true' },
        annotations: { 'libc-dns.dev/libc.main': 'go', 'kubernetes.io/config.mirror': 'x' },
      },
      spec: {
        dnsPolicy: 'ClusterFirst',
        dnsConfig: { nameservers: ['10.0.0.1'], searches: ['a'], options: [{ name: 'ndots', value: '2' }] },
        hostNetwork: true,
        os: { name: 'linux' },
        schedulerName: 'fargate-scheduler',
        nodeSelector: { 'kubernetes.io/arch': 'arm64' },
        tolerations: [{ key: 'virtual-kubelet.io/provider', value: 'azure', operator: 'Equal' }],
        imagePullSecrets: [{ name: 's' }],
        serviceAccountName: 'sa',
        nodeName: 'fargate-ip-10-0-0-1',
        initContainers: [{ name: 'init', image: 'i', command: ['a'], args: ['b'] }],
        containers: [{ name: 'main', image: 'x' }],
      },
    };
    expect(readPod(strippedPod(whole))).toEqual(readPod(whole));
  });

  it.each([null, 'x', [], {}, { spec: null }, { spec: { containers: 'x', tolerations: {}, affinity: [] } }])(
    'nothing of %j',
    (strange) => {
      expect(() => readPod(strippedPod(strange))).not.toThrow();
    },
  );
});
