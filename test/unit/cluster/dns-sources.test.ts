import { describe, expect, it } from 'vitest';

import { clusterDns, serviceAddresses } from '../../../src/cluster/dns-sources.ts';
import { defaultConfig } from '../../../src/config/schema.ts';

const service = (spec: object) => ({ kind: 'Service', metadata: { name: 'kube-dns' }, spec });

describe('the addresses of the DNS Service', () => {
  it.each([
    { title: 'one', spec: { clusterIP: '10.96.0.10', clusterIPs: ['10.96.0.10'] }, expected: ['10.96.0.10'] },
    { title: 'IPv6', spec: { clusterIP: 'fd00::a', clusterIPs: ['fd00::a'] }, expected: ['fd00::a'] },
    {
      title: 'dual stack, the primary first',
      spec: { clusterIP: 'fd00::a', clusterIPs: ['fd00::a', '10.96.0.10'] },
      expected: ['fd00::a', '10.96.0.10'],
    },
    { title: 'an old API server', spec: { clusterIP: '10.96.0.10' }, expected: ['10.96.0.10'] },
    { title: 'headless', spec: { clusterIP: 'None', clusterIPs: ['None'] }, expected: [] },
    { title: 'ExternalName', spec: { type: 'ExternalName', externalName: 'dns.example' }, expected: [] },
    { title: 'not assigned yet', spec: { clusterIP: '' }, expected: [] },
  ])('$title', ({ spec, expected }) => {
    expect(serviceAddresses(service(spec))).toEqual(expected);
  });

  it.each([null, 'x', {}, service({ clusterIPs: [1] })])('no Service at all: %j', (object) => {
    expect(() => serviceAddresses(object)).toThrow(/^not a Service: (the answer|spec[.a-zA-Z0-9]*): /);
  });
});

describe('the cluster’s DNS and where each part of it comes from', () => {
  const auto = defaultConfig();
  const given = (cluster: object) => ({ ...auto, cluster: { ...auto.cluster, ...cluster } });
  const own = {
    namespace: 'libc-dns',
    resolvConf:
      'search libc-dns.svc.prod.example svc.prod.example prod.example Corp.Example. .\nnameserver 10.0.0.10\noptions ndots:5\n',
  };

  it('our own resolv.conf, as the kubelet wrote it, goes before the Service', () => {
    expect(clusterDns(auto, own, ['10.96.0.10'])).toEqual({
      dns: { value: ['10.0.0.10'], source: 'own resolv.conf' },
      domain: { value: 'prod.example', source: 'own resolv.conf' },
      nodeSearches: { value: ['corp.example', '.'], source: 'own resolv.conf' },
    });
  });

  it('what is configured goes before all, each key for itself', () => {
    const config = given({ dns: ['10.9.9.9'], nodeSearches: [] });
    expect(clusterDns(config, own, ['10.96.0.10'])).toEqual({
      dns: { value: ['10.9.9.9'], source: 'configuration' },
      domain: { value: 'prod.example', source: 'own resolv.conf' },
      nodeSearches: { value: [], source: 'configuration' },
    });
  });

  it.each([
    {
      title: 'a node’s resolv.conf (hostNetwork, dnsPolicy Default)',
      resolvConf: 'search corp.example\nnameserver 192.0.2.1\n',
    },
    { title: 'another namespace’s', resolvConf: own.resolvConf.replaceAll('libc-dns', 'other') },
    { title: 'no search', resolvConf: 'nameserver 10.0.0.10\n' },
    { title: 'no nameserver', resolvConf: own.resolvConf.replace('nameserver', '#') },
    { title: 'a nameserver that is none', resolvConf: own.resolvConf.replace('10.0.0.10', '$(kube-dns)') },
    { title: 'empty', resolvConf: '' },
  ])('$title is of no use: the Service’s addresses and the usual domain', ({ resolvConf }) => {
    expect(clusterDns(auto, { ...own, resolvConf }, ['10.96.0.10', 'fd00::a'])).toEqual({
      dns: { value: ['10.96.0.10', 'fd00::a'], source: 'service kube-system/kube-dns' },
      domain: { value: 'cluster.local', source: 'built-in' },
      nodeSearches: { value: [], source: 'built-in' },
    });
  });

  it('the source names the Service that is configured', () => {
    const config = given({ service: 'kube-system/coredns' });
    expect(clusterDns(config, {}, ['10.233.0.3']).dns.source).toBe('service kube-system/coredns');
  });

  it.each([{}, { resolvConf: own.resolvConf }, { namespace: 'libc-dns' }])(
    'nothing known (%j): what most clusters have',
    (place) => {
      expect(clusterDns(auto, place)).toEqual({
        dns: { value: ['10.96.0.10'], source: 'built-in' },
        domain: { value: 'cluster.local', source: 'built-in' },
        nodeSearches: { value: [], source: 'built-in' },
      });
    },
  );

  it('a kubelet that points Pods at the node-local cache is believed', () => {
    const resolvConf = own.resolvConf.replace('10.0.0.10', '169.254.20.10');
    expect(clusterDns(auto, { ...own, resolvConf }, ['10.96.0.10']).dns.value).toEqual(['169.254.20.10']);
  });
});
