import { describe, expect, it } from 'vitest';

import { configSchema } from '../../../src/config/schema.ts';
import { judgeKernels, judgeKubeProxy, judgeNodeLocal, judgeSetting } from '../../../src/doctor/fault/checks.ts';
import type { DnsSeen, NodeSeen } from '../../../src/doctor/view/view.ts';
import { judgeExposure } from '../../../src/exposure/exposure.ts';
import { judgeKernel } from '../../../src/exposure/kernels.ts';
import type { KubeProxySources } from '../../../src/exposure/kube-proxy.ts';
import { statusError } from '../../../src/kubernetes/errors.ts';
import type { ClusterFacts, NodeLocalState } from '../../../src/policy/model.ts';

const FORBIDDEN = statusError(403, '{}', {
  method: 'GET',
  path: '/api/v1/namespaces/kube-system/configmaps/kube-proxy',
});

const nodes = (...kernels: string[]): NodeSeen[] =>
  kernels.map((kernel, index) => ({ name: `n${index}`, kernel, os: kernel.startsWith('10.0.') ? 'windows' : 'linux' }));

describe('kernels', () => {
  it.each<[string, NodeSeen[], string, string]>([
    ['all fixed', nodes('6.12.1', '6.18.0'), 'ok', 'all 2 Linux nodes run kernels with the fixes of all three races'],
    ['one node', nodes('6.12.1'), 'ok', 'the one Linux node runs a kernel with the fixes of all three races'],
    [
      'one lacks',
      nodes('6.12.1', '5.4.10'),
      'warning',
      '1 of 2 Linux nodes runs a kernel that lacks a fix of the race: the fault is possible there',
    ],
    [
      'a part of a fix',
      nodes('5.6.0', '5.6.0'),
      'warning',
      '2 of 2 Linux nodes run a kernel that may lack a fix of the race: its version does not tell',
    ],
    [
      'who knows',
      nodes('4.18.0-553.el8_10.x86_64'),
      'warning',
      '1 of 1 Linux node runs a kernel that may lack a fix of the race: its version does not tell',
    ],
    [
      'Windows is left out',
      nodes('10.0.20348.2402', '6.12.0'),
      'ok',
      'the one Linux node runs a kernel with the fixes of all three races',
    ],
    ['Windows alone', nodes('10.0.20348.2402'), 'skipped', 'the cluster has no Linux nodes'],
    ['no nodes', [], 'skipped', 'the cluster has no Linux nodes'],
  ])('%s', (_, seen, status, sentence) => {
    expect(judgeKernels(seen)).toMatchObject({ status, seen: sentence });
  });

  it('says for each kernel what it lacks, the worst first, and names the nodes', () => {
    const { details, advice, data } = judgeKernels(
      nodes('6.1.0', '5.4.0-91-generic', '4.19.20', '4.19.20', '5.14.0-427.el9.x86_64'),
    );
    expect(details).toEqual([
      "4.19.20, 2 nodes (n2, n3): lacks 4e35c1cb9460 (one packet's entry is confirmed before the other has chosen its own), " +
        '6a757c07e51f (the two packets are sent to different endpoints of the Service)',
      '5.4.0-91-generic, 1 node (n1): its number does not tell whether it has 6a757c07e51f (the two packets are sent to different endpoints of the Service)',
    ]);
    expect(advice[0]?.text).toMatch(/^Kernels from 5\.9 on/);
    expect(data).toMatchObject({
      nodes: 5,
      exposed: 2,
      unknown: 1,
      kernels: [{ kernel: '4.19.20', level: 'exposed' }, {}, {}, {}],
    });
  });

  it.each(['4.19.20', '4.18.0-553.el8_10.x86_64', '5.7.3', '5.9.0', '6.18.0', '', '5.4.0-91-generic'])(
    '%j is judged as the audit judges it',
    (kernel) => {
      const { data } = judgeKernels(nodes(kernel));
      expect(data).toMatchObject({ kernels: [{ level: judgeKernel(kernel).level }] });
    },
  );

  it('a first version of a fix is told as such', () => {
    const { details } = judgeKernels(nodes('5.7.3'));
    expect(details).toEqual([expect.stringContaining('has only a first version of 6a757c07e51f')]);
  });

  it('mentions NFQUEUE only where it matters', () => {
    expect(judgeKernels(nodes('6.11.0')).details).toEqual([expect.stringContaining('NFQUEUE')]);
    expect(judgeKernels(nodes('6.12.0')).details).toEqual([]);
  });
});

describe('kube-proxy', () => {
  const source = 'ConfigMap kube-system/kube-proxy';
  const config = (mode: string) => ({
    text: `kind: KubeProxyConfiguration\nmode: ${mode}\n`,
    from: source,
    key: 'config.conf',
  });
  it.each<[string, Partial<KubeProxySources>, string, object]>([
    ['by name', { config: config('ipvs') }, `ipvs mode (${source}: config.conf says so)`, { mode: 'ipvs', source }],
    [
      'by default',
      { config: config('""') },
      `iptables mode (${source}: config.conf names none)`,
      { mode: 'iptables', source },
    ],
    [
      'Cilium',
      { cilium: 'true' },
      'Cilium replaces kube-proxy (ConfigMap kube-system/cilium-config)',
      { mode: 'ebpf', source: 'ConfigMap kube-system/cilium-config' },
    ],
  ])('%s', (_, sources, seen, data) => {
    expect(judgeKubeProxy({ unread: [], ...sources })).toMatchObject({ status: 'ok', seen, data });
  });

  it.each<[string, readonly Error[], string]>([
    ['nothing there', [], 'neither a ConfigMap nor a Pod of kube-proxy or Cilium says it'],
    ['a right that is missing, once', [FORBIDDEN, FORBIDDEN], 'may not get configmaps in kube-system'],
  ])('not known: %s', (_, unread, because) => {
    const { status, seen, advice } = judgeKubeProxy({ unread });
    expect([status, seen]).toEqual(['skipped', `the mode of kube-proxy is unknown: ${because}`]);
    expect(advice).toHaveLength(1);
  });
});

describe('the node-local cache', () => {
  const dns = (nodeLocal: NodeLocalState): DnsSeen => ({
    facts: { nodeLocal } as ClusterFacts,
    sources: { dns: '', domain: '', nodeSearches: '', nodeLocal: 'daemonset kube-system/node-local-dns' },
    nodeLocalDetail: 'DETAIL',
  });
  it.each<[NodeLocalState, object, string, string]>([
    ['ready', {}, 'ok', 'ready: DETAIL'],
    ['intercepting', {}, 'ok', 'answers at the address of the cluster DNS: DETAIL; no redirect is needed'],
    ['absent', {}, 'ok', 'absent (no DaemonSet kube-system/node-local-dns): a lost packet costs musl Pods 0.5 s'],
    ['unready', {}, 'warning', 'not ready on enough nodes: DETAIL'],
    ['unknown', {}, 'warning', 'not understood: DETAIL'],
    ['ready', { nodeLocal: { mode: 'on' } }, 'ok', 'ready: DETAIL'],
    [
      'absent',
      { nodeLocal: { mode: 'on' } },
      'warning',
      'nodeLocal.mode is on, and there is no DaemonSet kube-system/node-local-dns',
    ],
    [
      'unready',
      { nodeLocal: { mode: 'on' } },
      'warning',
      'nodeLocal.mode is on, and the cache is not ready everywhere: DETAIL',
    ],
    [
      'absent',
      { musl: { remedy: 'redirect' } },
      'warning',
      'musl.remedy is redirect, and there is no DaemonSet kube-system/node-local-dns',
    ],
    ['unready', { nodeLocal: { mode: 'off' } }, 'warning', 'not ready on enough nodes: DETAIL'],
  ])('%s with %o', (state, settings, status, seen) => {
    expect(judgeNodeLocal(configSchema.parse(settings), dns(state))).toMatchObject({ status, seen });
  });

  it('says what it costs where redirected Pods have no second server', () => {
    const config = configSchema.parse({ nodeLocal: { mode: 'on', fallback: false } });
    expect(judgeNodeLocal(config, dns('absent')).details).toEqual([expect.stringContaining('resolve nothing')]);
  });

  it.each([
    ['kube-system/node-local-dns-*', 'kubectl -n kube-system get daemonsets'],
    ['kube-system/k8s-app=node-local-dns', "kubectl -n kube-system get daemonsets -l 'k8s-app=node-local-dns'"],
  ])('says how to see the DaemonSets of %s', (daemonSet, command) => {
    const config = configSchema.parse({ nodeLocal: { daemonSet } });
    expect(judgeNodeLocal(config, dns('unready')).advice[0]?.command).toBe(command);
  });

  it('a name in a command is one word of a shell', () => {
    const config = configSchema.parse({ nodeLocal: { daemonSet: 'kube-system/$(id);x' } });
    expect(judgeNodeLocal(config, dns('unready')).advice[0]?.command).toBe(
      "kubectl -n kube-system describe daemonset '$(id);x'",
    );
  });
});

describe('what exposure: auto does here', () => {
  const exposure = (...kernels: string[]) =>
    judgeExposure({
      nodes: new Map(kernels.map((kernel, index) => [`n${index}`, kernel])),
      kubeProxy: { mode: 'iptables', source: '', detail: '' },
      nfqueue: [],
      nodeLocalIntercepts: false,
    });
  const LACKS = '1 node runs a kernel that lacks a fix of the race, or may lack one (4.14.90)';
  const FIXED = 'the one Linux node has kernels with the fixes of all three races';

  it.each<['always' | 'auto', string[], string, string[]]>([
    ['always', ['6.12.1'], `always: Pods are patched; with auto none would be: ${FIXED}`, []],
    [
      'always',
      ['6.12.1', '4.14.90'],
      `always: Pods are patched; with auto they would be too: ${LACKS}`,
      ['because of n1'],
    ],
    ['auto', ['6.12.1'], `auto: no Pod is patched: ${FIXED}`, []],
    ['auto', ['6.12.1', '4.14.90'], `auto: Pods are patched: ${LACKS}`, ['because of n1']],
  ])('%s, kernels %j', (setting, kernels, seen, details) => {
    expect(judgeSetting(setting, exposure(...kernels))).toMatchObject({ status: 'ok', seen, details });
  });

  it('names five nodes of many, and is data for programs', () => {
    const { details, data } = judgeSetting('auto', exposure(...Array.from({ length: 12 }, () => '4.14.90')));
    expect(details).toEqual(['because of n0, n1, n10, n11, n2 and 7 more']);
    expect(data).toMatchObject({ configured: 'auto', exposed: true, because: 'kernel', nodes: 12 });
  });
});
