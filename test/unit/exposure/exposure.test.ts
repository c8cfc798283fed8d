import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { type ExposureSeen, judgeExposure, linuxKernels } from '../../../src/exposure/exposure.ts';
import type { KubeProxy } from '../../../src/exposure/kube-proxy.ts';
import { judgeKernel } from '../../../src/exposure/kernels.ts';

const proxy = (mode: KubeProxy['mode']): KubeProxy => ({ mode, source: 'ConfigMap', detail: 'says so' });
const kernels = (...all: string[]) => new Map(all.map((kernel, index) => [`n${index}`, kernel]));

const NEW = '6.12.9';
const MIDDLE = '6.8.0-45-generic';
const OLD = '4.18.0';

const seen = (change: Partial<ExposureSeen> = {}): ExposureSeen => ({
  nodes: kernels(NEW, MIDDLE),
  kubeProxy: proxy('iptables'),
  nfqueue: [],
  nodeLocalIntercepts: false,
  ...change,
});

const KINDNET = 'kindnet (DaemonSet kube-system/kindnet)';

describe('whether some node can lose DNS packets', () => {
  it.each<[string, Partial<ExposureSeen>, string]>([
    ['all kernels have the fixes', {}, 'all 2 Linux nodes have kernels with the fixes of all three races'],
    ['so does the one', { nodes: kernels(NEW) }, 'the one Linux node has kernels with the fixes of all three races'],
    ['nftables', { kubeProxy: proxy('nftables') }, 'all 2 Linux nodes have kernels with the fixes of all three races'],
    [
      'NFQUEUE from 6.12 on',
      { nodes: kernels(NEW), nfqueue: [KINDNET] },
      'the one Linux node has kernels with the fixes of all three races',
    ],
    [
      'DaemonSets not read, and 6.12',
      { nodes: kernels(NEW), nfqueue: undefined },
      'the one Linux node has kernels with the fixes of all three races',
    ],
    ['Cilium in place of kube-proxy', { nodes: kernels(OLD), kubeProxy: proxy('other') }, 'says so'],
    [
      'a cache that intercepts',
      { nodes: undefined, kubeProxy: undefined, nfqueue: undefined, nodeLocalIntercepts: true },
      'the node-local DNS cache answers on the address of the cluster DNS',
    ],
  ])('not exposed: %s', (_, change, detail) => {
    expect(judgeExposure(seen(change))).toMatchObject({ exposed: false, detail, nodes: 0, nodeNames: [] });
  });

  it.each<[string, Partial<ExposureSeen>, string, string, string[]]>([
    ['nodes not read', { nodes: undefined }, 'unread', 'the nodes have not been read', []],
    ['no Linux node', { nodes: new Map() }, 'unread', 'there is no Linux node yet', []],
    [
      'one old node',
      { nodes: kernels(NEW, OLD, NEW) },
      'kernel',
      '1 node runs a kernel that lacks a fix of the race, or may lack one (4.18.0)',
      ['n1'],
    ],
    [
      'a kernel that does not tell',
      { nodes: kernels('4.18.0-553.el8.x86_64', '', NEW) },
      'kernel',
      '2 nodes run a kernel that lacks a fix of the race, or may lack one ((no version), 4.18.0-553.el8.x86_64)',
      ['n0', 'n1'],
    ],
    [
      'kube-proxy not read',
      { kubeProxy: undefined },
      'unread',
      'the mode of kube-proxy has not been read',
      ['n0', 'n1'],
    ],
    [
      'a mode that is not known',
      { kubeProxy: proxy('unknown') },
      'unread',
      'the mode of kube-proxy is unknown (ConfigMap: says so)',
      ['n0', 'n1'],
    ],
    [
      'ipvs',
      { kubeProxy: proxy('ipvs') },
      'ipvs',
      'kube-proxy is in ipvs mode, and it is not shown that the fixes of the kernels hold there',
      ['n0', 'n1'],
    ],
    [
      'NFQUEUE before 6.12',
      { nfqueue: [KINDNET, 'NeuVector (DaemonSet a/b)'] },
      'nfqueue',
      `1 node has a kernel before 6.12 (${MIDDLE}), and ${KINDNET} and 1 more use NFQUEUE`,
      ['n1'],
    ],
    [
      'DaemonSets not read, before 6.12',
      { nfqueue: undefined },
      'unread',
      `1 node has a kernel before 6.12 (${MIDDLE}), and whether a DaemonSet uses NFQUEUE has not been read`,
      ['n1'],
    ],
  ])('exposed: %s', (_, change, because, detail, nodeNames) => {
    const nodes = nodeNames.length;
    expect(judgeExposure(seen(change))).toEqual({ exposed: true, because, detail, nodes, nodeNames });
  });

  it('names five nodes of many, and three kernels', () => {
    const many = kernels(...Array.from({ length: 5000 }, (_, index) => `4.18.${index % 40}`));
    const { nodes, nodeNames, detail } = judgeExposure(seen({ nodes: many }));
    expect({ nodes, nodeNames }).toEqual({ nodes: 5000, nodeNames: ['n0', 'n1', 'n10', 'n100', 'n1000'] });
    expect(detail).toContain('(4.18.0, 4.18.1, 4.18.10 and 37 more)');
  });

  it('leaves Windows nodes out', () => {
    const windows = { name: 'w', os: 'windows', kernel: '10.0.20348' };
    expect([...linuxKernels([windows, { name: 'l', os: 'linux', kernel: NEW }])]).toEqual([['l', NEW]]);
  });
});

describe('for any cluster', () => {
  const kernel = fc.oneof(
    fc.constantFrom(NEW, MIDDLE, OLD, '', '5.4.0-200-generic', '5.7.1', '5.10.0', '4.18.0-553.el8.x86_64'),
    fc.string({ maxLength: 20 }),
  );
  const cluster = fc.record({
    nodes: fc.option(
      fc.array(kernel, { maxLength: 30 }).map((all) => kernels(...all)),
      { nil: undefined },
    ),
    kubeProxy: fc.option(
      fc.constantFrom<KubeProxy['mode']>('iptables', 'ipvs', 'nftables', 'other', 'unknown').map((mode) => proxy(mode)),
      { nil: undefined },
    ),
    nfqueue: fc.option(fc.constantFrom([], [KINDNET]), { nil: undefined }),
    nodeLocalIntercepts: fc.boolean(),
  });

  it('nothing that is not known leaves Pods unprotected', () => {
    fc.assert(
      fc.property(cluster, (given) => {
        const { exposed } = judgeExposure(given);
        if (exposed || given.nodeLocalIntercepts || given.kubeProxy?.mode === 'other') return;
        expect(given.nodes?.size).toBeGreaterThan(0);
        expect(['iptables', 'nftables']).toContain(given.kubeProxy?.mode);
        for (const one of given.nodes?.values() ?? []) expect(judgeKernel(one).level).toBe('fixed');
      }),
    );
  });

  it('one more old node exposes a cluster, unless its packets are not translated by conntrack', () => {
    fc.assert(
      fc.property(cluster, (given) => {
        const nodes = new Map([...(given.nodes ?? []), ['old', OLD]]);
        const after = judgeExposure({ ...given, nodes });
        const spared = given.nodeLocalIntercepts || given.kubeProxy?.mode === 'other';
        expect(after.exposed).toBe(!spared);
        expect(after.nodes > 0).toBe(!spared);
      }),
    );
  });

  it('names are bounded, and belong to nodes', () => {
    fc.assert(
      fc.property(cluster, (given) => {
        const { nodes, nodeNames } = judgeExposure(given);
        expect(nodeNames).toHaveLength(Math.min(5, nodes));
        expect(nodes).toBeLessThanOrEqual(given.nodes?.size ?? 0);
        for (const name of nodeNames) expect(given.nodes?.has(name)).toBe(true);
      }),
    );
  });
});
