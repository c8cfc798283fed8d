import { describe, expect, it } from 'vitest';

import { type ExposureInput, workloadExposure } from '../../../src/audit/exposure.ts';
import { judgeKernel, kernelEntries, worstKernel } from '../../../src/exposure/kernels.ts';
import type { KubeProxy } from '../../../src/exposure/kube-proxy.ts';

const proxy = (mode: KubeProxy['mode']): KubeProxy => ({ mode, source: 'test', detail: 'test' });

const input = (change: Partial<ExposureInput> = {}): ExposureInput => ({
  resolvers: ['glibc'],
  file: { servers: ['10.96.0.10'], searches: [], options: ['ndots:5'] },
  nodeFile: false,
  cluster: { dns: ['10.96.0.10'], nodeLocal: 'absent' },
  kubeProxy: proxy('iptables'),
  kernel: { level: 'exposed', kernel: '4.14.90' },
  ...change,
});

const file = (servers: readonly string[], ...options: string[]) => ({ servers, searches: [], options });

describe('exposure of a Pod', () => {
  it.each<[string, string, Partial<ExposureInput>]>([
    ['yes', 'glibc', {}],
    ['yes', 'musl', { resolvers: ['musl'] }],
    ['no', 'Go asks from two sockets', { resolvers: ['go'] }],
    ['possible', 'a resolver of its own kind', { resolvers: ['other'] }],
    ['possible', 'a resolver that is not known', { resolvers: ['unknown'] }],
    ['yes', 'the worst of its containers', { resolvers: ['go', 'unknown', 'musl'] }],
    ['no', 'no containers', { resolvers: [] }],
    ['no', "the node's own file", { nodeFile: true }],
    ['no', 'glibc in turn', { file: file(['10.96.0.10'], 'single-request-reopen') }],
    ['no', 'glibc over TCP', { file: file(['10.96.0.10'], 'use-vc') }],
    ['yes', 'musl ignores both', { resolvers: ['musl'], file: file(['10.96.0.10'], 'use-vc', 'single-request') }],
    [
      'possible',
      'c-ares ignores single-request',
      { resolvers: ['other'], file: file(['10.96.0.10'], 'single-request') },
    ],
    ['possible', 'unknown may be musl', { resolvers: ['unknown'], file: file(['10.96.0.10'], 'use-vc') }],
    ['mitigated', 'musl sends again soon', { resolvers: ['musl'], file: file(['10.96.0.10'], 'attempts:10') }],
    ['no', 'glibc asks the cache first', { file: file(['169.254.20.10', '10.96.0.10']) }],
    ['yes', 'glibc asks the cache second', { file: file(['10.96.0.10', '169.254.20.10']) }],
    ['no', 'musl asks the cache too', { resolvers: ['musl'], file: file(['10.96.0.10', '169.254.20.10']) }],
    ['no', 'a server outside', { file: file(['192.0.2.53']) }],
    ['no', 'the cache intercepts', { cluster: { dns: ['10.96.0.10'], nodeLocal: 'intercepting' } }],
    [
      'no',
      'the kubelet names a local cache',
      { cluster: { dns: ['169.254.20.10'], nodeLocal: 'unknown' }, file: file(['169.254.20.10']) },
    ],
    ['no', 'kernels with all fixes', { kernel: { level: 'fixed', kernel: '6.12.0' } }],
    [
      'no',
      'kernels with all fixes, though it is musl',
      { resolvers: ['musl'], kernel: { level: 'fixed', kernel: '6.12.0' } },
    ],
    ['possible', 'a kernel that does not tell', { kernel: { level: 'unknown', kernel: '4.18.0-305.el8' } }],
    ['possible', 'nodes that were not read', { kernel: { level: 'unknown', kernel: undefined } }],
    ['no', 'Services are not kube-proxy’s', { kubeProxy: proxy('other') }],
    [
      'possible',
      'kernels with all fixes, and ipvs',
      { kubeProxy: proxy('ipvs'), kernel: { level: 'fixed', kernel: '6.12.0' } },
    ],
    ['possible', 'kube-proxy is not known', { kubeProxy: proxy('unknown') }],
    ['yes', 'ipvs has the same fault', { kubeProxy: proxy('ipvs') }],
  ])('%s: %s', (level, _what, change) => {
    const { level: found, detail } = workloadExposure(input(change));
    expect(found).toBe(level);
    expect(detail).toMatch(/^[A-Zm].*\.$/);
  });
});

describe('kernels', () => {
  it.each([
    ['4.14.90', 'exposed', 'It lacks the fixes of all three races.'],
    ['5.4.0', 'exposed', 'It lacks the fix of race 3.'],
    ['5.7.3', 'unknown', 'Of race 3 it has a first version of the fix, completed in 5.9.'],
    ['5.15.0-1051-aws', 'fixed', 'It has the fixes of all three races.'],
    ['4.18.0-305.el8.x86_64', 'unknown', /^Its version does not show whether it has the fixes of all three races/],
    ['', 'unknown', /^Its version does not show/],
  ])('%s: %s', (kernel, level, detail) => {
    expect(judgeKernel(kernel)).toMatchObject({
      level,
      detail: typeof detail === 'string' ? detail : expect.stringMatching(detail),
    });
  });

  const node = (name: string, kernel: string, os = 'linux') => ({ name, kernel, os, osImage: `image of ${name}` });
  const group = (nodes: Record<string, number>) => ({
    owner: { kind: 'Pod', namespace: 'n', name: 'p' },
    pod: {},
    template: undefined,
    pods: 1,
    podNames: [],
    nodes: new Map(Object.entries(nodes)),
  });

  it('nodes with the same kernel are one entry, worst first, Windows left out', () => {
    const nodes = [
      node('c', '6.12.0'),
      node('b', '4.14.90'),
      node('a', '6.12.0'),
      node('w', '10.0.20348.2031', 'windows'),
      node('d', '4.18.0-305.el8.x86_64'),
    ];
    const entries = kernelEntries(nodes, [group({ a: 2, b: 1 }), group({ a: 1, gone: 7 })]);
    expect(entries.map(({ kernel, level, nodeNames, pods }) => [kernel, level, nodeNames, pods])).toEqual([
      ['4.14.90', 'exposed', ['b'], 1],
      ['4.18.0-305.el8.x86_64', 'unknown', ['d'], 0],
      ['6.12.0', 'fixed', ['a', 'c'], 3],
    ]);
    expect(entries[2]?.osImage).toBe('image of a');
  });

  it('a group is as exposed as the worst of its nodes; a node that was not read is unknown', () => {
    const byNode = new Map([node('a', '6.12.0'), node('b', '4.14.90')].map((one) => [one.name, one]));
    expect(worstKernel(group({ a: 1, b: 1 }), byNode)).toEqual({ level: 'exposed', kernel: '4.14.90' });
    expect(worstKernel(group({ a: 1, gone: 1 }), byNode)).toEqual({ level: 'unknown', kernel: undefined });
    expect(worstKernel(group({}), byNode)).toEqual({ level: 'unknown', kernel: undefined });
  });
});
