import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { readPod } from '../../../src/policy/read-pod.ts';
import { kubeletResolvConf, parseResolvConf } from '../../../src/resolv-conf/kubelet.ts';

interface KubeletCase {
  name: string;
  namespace: string;
  clusterDNS: string[];
  clusterDomain: string;
  nodeResolvConf: string;
  spec: Record<string, unknown>;
  resolvConf: { servers: string[]; searches: string[]; options: string[] };
  events?: string[];
}

const file = new URL('../../fixtures/kubelet-resolv-conf.json', import.meta.url);
const cases = JSON.parse(readFileSync(file, 'utf8')) as KubeletCase[];

const answer = (row: Pick<KubeletCase, 'namespace' | 'clusterDNS' | 'clusterDomain' | 'nodeResolvConf' | 'spec'>) =>
  kubeletResolvConf(
    { clusterDns: row.clusterDNS, clusterDomain: row.clusterDomain, node: parseResolvConf(row.nodeResolvConf) },
    { name: 'p', namespace: row.namespace, ...readPod({ spec: row.spec }) },
  );

describe("the kubelet's own answers are reproduced", () => {
  it('all 24 of them', () => expect(cases).toHaveLength(24));

  it.each(cases)('$name', (row) => {
    const { resolvConf, warnings } = answer(row);
    expect(resolvConf.servers).toEqual(row.resolvConf.servers);
    expect(resolvConf.searches).toEqual(row.resolvConf.searches);
    expect(resolvConf.options.toSorted()).toEqual(row.resolvConf.options.toSorted());
    expect(warnings.map((warning) => `Warning ${warning}`)).toEqual(row.events ?? []);
  });
});

describe("the kubelet's limits on searches", () => {
  const base = { namespace: 'shop', clusterDNS: ['10.96.0.10'], clusterDomain: 'cluster.local', nodeResolvConf: '' };
  const searches = (list: string[]) => answer({ ...base, spec: { dnsConfig: { searches: list } } });

  it('32 domains, the rest is cut with a warning', () => {
    const { resolvConf, warnings } = searches(Array.from({ length: 32 }, (_, index) => `d${index}.example`));
    expect(resolvConf.searches).toHaveLength(32);
    expect(resolvConf.searches.at(-1)).toBe('d28.example');
    expect(warnings[0]).toMatch(
      /^DNSConfigForming Search Line limits were exceeded, .*: shop\.svc\.cluster\.local svc\./,
    );
  });

  it('2048 characters, whole domains are cut from the end', () => {
    const label = 'a'.repeat(60);
    const long = Array.from({ length: 12 }, (_, index) => `${index}${label}.${label}.${label}.${label}`.slice(0, 240));
    const { resolvConf } = searches(long);
    expect(resolvConf.searches.join(' ').length).toBeLessThanOrEqual(2048);
    expect([...resolvConf.searches, long[resolvConf.searches.length - 3]].join(' ').length).toBeGreaterThan(2048);
  });

  it('a domain over 253 characters is left out, the ones behind it stay', () => {
    const { resolvConf, warnings } = searches(['x'.repeat(254), 'kept.example']);
    expect(resolvConf.searches.at(-1)).toBe('kept.example');
    expect(resolvConf.searches).toHaveLength(4);
    expect(warnings).toHaveLength(1);
  });
});

describe('parsing a resolv.conf', () => {
  it('takes the last search line, joins options by name, skips comments and junk', () => {
    const text =
      '# c\nsearch a.example\nsearch . b.example.\nnameserver\nnameserver 192.0.2.1 x\noptions a:1 b\noptions a:2\n';
    expect(parseResolvConf(text)).toEqual({
      servers: ['192.0.2.1'],
      searches: ['.', 'b.example'],
      options: ['a:2', 'b'],
    });
  });

  it('reads the file of a container runtime, and an empty one', () => {
    const conf = { servers: ['192.0.2.1', 'fd00::a'], searches: ['a.example', 'b'], options: ['ndots:5', 'use-vc'] };
    const text = 'search a.example b\nnameserver 192.0.2.1\nnameserver fd00::a\noptions ndots:5 use-vc\n';
    expect(parseResolvConf(text)).toEqual(conf);
    expect(parseResolvConf('')).toEqual({ servers: [], searches: [], options: [] });
  });
});
