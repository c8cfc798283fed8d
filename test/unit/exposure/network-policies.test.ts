import { expect, it, test } from 'vitest';

import {
  assumedBackends,
  type DnsBackend,
  dnsReach,
  dnsTargets,
  namedNamespace,
} from '../../../src/exposure/dns-target.ts';
import type { Permit } from '../../../src/policy/model.ts';
import { labelsOf } from '../../../src/exposure/policies/match.ts';
import { egressTo, readNetworkPolicy, type Target } from '../../../src/exposure/network-policies.ts';

const CLUSTER_DNS = '10.96.0.10';
const NODE_LOCAL = '169.254.20.10';

const backend = (change: Partial<DnsBackend> = {}): DnsBackend => ({
  addresses: ['10.244.1.7', '10.244.2.9'],
  port: { UDP: 53, TCP: 53 },
  pod: {
    namespace: 'kube-system',
    namespaceLabels: labelsOf({ 'kubernetes.io/metadata.name': 'kube-system', team: 'platform' }),
    labels: labelsOf({ 'k8s-app': 'kube-dns', 'pod-template-hash': '5d78c9869d' }),
    ports: [
      { name: 'dns', port: 53, protocol: 'UDP' },
      { name: 'dns-tcp', port: 53, protocol: 'TCP' },
    ],
  },
  ...change,
});

const places = {
  dns: [CLUSTER_DNS],
  nodeLocal: [NODE_LOCAL],
  intercepting: false,
  behind: { service: 'kube-system/kube-dns', addresses: [CLUSTER_DNS], backends: [backend()] },
  cilium: false,
};

const KUBEADM = dnsTargets(places).dns;

const openShift = {
  namespace: 'openshift-dns',
  namespaceLabels: labelsOf({ 'kubernetes.io/metadata.name': 'openshift-dns' }),
  labels: labelsOf({ 'dns.operator.openshift.io/daemonset-dns': 'default' }),
  ports: [
    { name: 'dns', port: 5353, protocol: 'UDP' },
    { name: 'dns-tcp', port: 5353, protocol: 'TCP' },
  ],
} as const;
const OPENSHIFT = dnsTargets({
  ...places,
  behind: { ...places.behind, backends: [backend({ port: { UDP: 5353, TCP: 5353 }, pod: openShift })] },
}).dns;

const ASSUMED = dnsTargets({ ...places, behind: assumedBackends([CLUSTER_DNS]) }).dns;

const POD = {
  namespace: 'shop',
  namespaceLabels: namedNamespace('shop'),
  labels: labelsOf({ app: 'web', tier: 'front' }),
};

const read = (specs: readonly unknown[], namespace = 'shop') =>
  specs.flatMap((spec, index) => readNetworkPolicy({ namespace, name: `p${index}`, spec }));

const tcp = (target: Target, ...specs: unknown[]) => egressTo(read(specs), POD, target, 'TCP');

const UDP_53 = { port: 53, protocol: 'UDP' };
const TCP_53 = { port: 53, protocol: 'TCP' };
const udp = { ports: [UDP_53] };
const both = { ports: [UDP_53, TCP_53] };
const defaultDeny = { podSelector: {}, policyTypes: ['Ingress', 'Egress'] };
const allowing = (...egress: unknown[]) => ({ podSelector: {}, policyTypes: ['Egress'], egress });
const to = (...peers: unknown[]) => allowing({ ...both, to: peers });

const kubeSystem = { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } } };
const kubeDns = { podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } };
const block = (cidr: string, ...except: string[]) => ({ ipBlock: { cidr, ...(except.length > 0 && { except }) } });

test.each<[string, Permit, unknown[]]>([
  ['no policy', 'allowed', []],
  ['default deny alone', 'denied', [defaultDeny]],
  ['default deny and DNS over UDP', 'denied', [defaultDeny, allowing(udp)]],
  ['default deny and DNS over both', 'allowed', [defaultDeny, allowing(both)]],
  ['UDP and TCP in two policies', 'allowed', [allowing(udp), allowing({ ports: [TCP_53] })]],
  ['a port without a protocol is TCP', 'allowed', [allowing({ ports: [UDP_53, { port: 53 }] })]],
  ['all ports', 'allowed', [allowing(udp, {})]],
  ['all of TCP', 'allowed', [allowing(udp, { ports: [{ protocol: 'TCP' }] })]],
  ['all of UDP', 'denied', [allowing({ ports: [{ protocol: 'UDP' }] })]],
  ['a range that holds it', 'allowed', [allowing({ ports: [{ port: 1, endPort: 1024 }] })]],
  ['a range beside it', 'denied', [allowing({ ports: [{ port: 54, endPort: 1024 }] })]],
  ['other ports', 'denied', [allowing({ ports: [{ port: 443 }] })]],
  ['empty lists are all', 'allowed', [allowing({ ports: [], to: [] })]],
  // Subjects.
  ['about ingress alone', 'allowed', [{ podSelector: {}, policyTypes: ['Ingress'], egress: [udp] }]],
  ['no types and egress rules', 'denied', [{ podSelector: {}, egress: [udp] }]],
  ['no types and no egress rules', 'allowed', [{ podSelector: {}, egress: [] }]],
  ['no selector is all Pods', 'denied', [{ policyTypes: ['Egress'], egress: [udp] }]],
  ['other Pods', 'allowed', [{ ...defaultDeny, podSelector: { matchLabels: { app: 'db' } } }]],
  ['these Pods', 'denied', [{ ...defaultDeny, podSelector: { matchLabels: { app: 'web' } } }]],
  ...(
    [
      ['In', { key: 'tier', operator: 'In', values: ['front', 'back'] }, 'denied'],
      ['not In', { key: 'tier', operator: 'In', values: ['back'] }, 'allowed'],
      ['NotIn', { key: 'app', operator: 'NotIn', values: ['web'] }, 'allowed'],
      ['NotIn, without the label', { key: 'x', operator: 'NotIn', values: ['web'] }, 'denied'],
      ['Exists', { key: 'tier', operator: 'Exists' }, 'denied'],
      ['DoesNotExist', { key: 'tier', operator: 'DoesNotExist' }, 'allowed'],
      ['DoesNotExist, without the label', { key: 'x', operator: 'DoesNotExist' }, 'denied'],
      ['an operator of the future', { key: 'tier', operator: 'Gt' }, 'uncertain'],
      ['a key that objects inherit', { key: 'constructor', operator: 'Exists' }, 'allowed'],
    ] as const
  ).map(([what, expression, permit]): [string, Permit, unknown[]] => [
    what,
    permit,
    [{ ...defaultDeny, podSelector: { matchExpressions: [expression] } }],
  ]),
  // Peers.
  ['the namespace by name', 'allowed', [to(kubeSystem)]],
  ['the namespace by another label', 'allowed', [to({ namespaceSelector: { matchLabels: { team: 'platform' } } })]],
  ['all namespaces', 'allowed', [to({ namespaceSelector: {} })]],
  ['another namespace', 'denied', [to({ namespaceSelector: { matchLabels: { team: 'shop' } } })]],
  ['Pods in all namespaces', 'allowed', [to({ namespaceSelector: {}, ...kubeDns })]],
  ['Pods in the namespace', 'allowed', [to({ ...kubeSystem, ...kubeDns })]],
  ['other Pods there', 'denied', [to({ ...kubeSystem, podSelector: { matchLabels: { app: 'x' } } })]],
  ['Pods of the own namespace', 'denied', [to(kubeDns)]],
  ['all Pods of the own namespace', 'denied', [to({ podSelector: {} })]],
  ['one of several peers', 'allowed', [to({ podSelector: {} }, kubeSystem)]],
  ['a peer of the future', 'uncertain', [to({ serviceSelector: {} })]],
  ['everywhere', 'allowed', [to(block('0.0.0.0/0'))]],
  ['IPv6 alone', 'denied', [to(block('::/0'))]],
  ['the Pod network', 'allowed', [to(block('10.244.0.0/16'))]],
  ['one endpoint of two', 'uncertain', [to(block('10.244.1.7/32'))]],
  ['each endpoint', 'allowed', [to(block('10.244.1.7/32')), to(block('10.244.2.9/32'))]],
  ['the Service address alone', 'uncertain', [to(block('10.96.0.10/32'))]],
  ['the Service address, and UDP', 'denied', [allowing({ ...udp, to: [block('10.96.0.10/32')] })]],
  ['the internet', 'denied', [to(block('0.0.0.0/0', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'))]],
  ['all but something else', 'allowed', [to(block('0.0.0.0/0', '169.254.169.254/32'))]],
  ['all but an endpoint', 'uncertain', [to(block('0.0.0.0/0', '10.244.2.9/32'))]],
  ['no block at all', 'uncertain', [to(block('10.0.0.0/99'))]],
  // Names of ports.
  ['its name', 'allowed', [allowing({ ports: [{ port: 'dns-tcp', protocol: 'TCP' }] })]],
  ['the name of its port for UDP', 'uncertain', [allowing({ ports: [{ port: 'dns', protocol: 'TCP' }] })]],
  ['names for UDP', 'denied', [allowing({ ports: [{ port: 'dns', protocol: 'UDP' }] })]],
  // Objects that the API server would not take.
  ['no object', 'uncertain', [7, 'x']],
  ['rules that are no list', 'uncertain', [{ policyTypes: ['Egress'], egress: 'x' }]],
  ['a rule that is no object', 'uncertain', [allowing(null)]],
  ['a port that is no object', 'uncertain', [allowing({ ports: [null] })]],
  ['a selector that is no object', 'uncertain', [{ ...defaultDeny, podSelector: [] }]],
  ['labels that are no object', 'uncertain', [{ ...defaultDeny, podSelector: { matchLabels: 'x' } }]],
  ['an unreadable rule beside one that allows all', 'allowed', [allowing({ to: [7] }, {})]],
])('TCP to CoreDNS of kubeadm: %s: %s', (_what, permit, specs) => {
  expect(tcp(KUBEADM, ...specs).permit).toBe(permit);
});

test.each<[string, Permit, unknown[]]>([
  ['port 53 of the Pods', 'denied', [allowing({ ...both, to: [{ namespaceSelector: {} }] })]],
  ['port 53', 'denied', [allowing(both)]],
  ['port 5353', 'allowed', [allowing({ ports: [{ port: 5353 }] })]],
  ['port 5353 over UDP', 'denied', [allowing({ ports: [{ port: 5353, protocol: 'UDP' }] })]],
  ['by name', 'allowed', [allowing({ ports: [{ port: 'dns-tcp', protocol: 'TCP' }] })]],
  ['a range', 'allowed', [allowing({ ports: [{ port: 5000, endPort: 6000 }] })]],
  ['k8s-app: kube-dns', 'denied', [allowing({ ports: [{ port: 5353 }], to: [{ namespaceSelector: {}, ...kubeDns }] })]],
])('TCP to CoreDNS of OpenShift, which listens on 5353: %s: %s', (_what, permit, specs) => {
  expect(tcp(OPENSHIFT, ...specs).permit).toBe(permit);
});

test.each<[string, Permit, unknown[]]>([
  ['UDP alone', 'denied', [allowing(udp)]],
  ['both', 'allowed', [allowing(both)]],
  ['kube-dns in kube-system', 'allowed', [to({ ...kubeSystem, ...kubeDns })]],
  ['its usual name', 'allowed', [allowing({ ports: [{ port: 'dns-tcp', protocol: 'TCP' }] })]],
  ['another label', 'uncertain', [to({ namespaceSelector: {}, podSelector: { matchLabels: { app: 'coredns' } } })]],
  [
    'another label of its namespace',
    'uncertain',
    [to({ namespaceSelector: { matchLabels: { name: 'kube-system' } } })],
  ],
  ['another value', 'denied', [to({ ...kubeSystem, podSelector: { matchLabels: { 'k8s-app': 'x' } } })]],
  ['everywhere', 'allowed', [to(block('0.0.0.0/0'))]],
  ['private addresses', 'uncertain', [to(block('10.0.0.0/8'))]],
  ['the internet', 'uncertain', [to(block('0.0.0.0/0', '10.0.0.0/8'))]],
])('TCP to a cluster DNS that is assumed: %s: %s', (_what, permit, specs) => {
  expect(tcp(ASSUMED, ...specs).permit).toBe(permit);
});

test.each<[string, Permit, unknown[]]>([
  ['by selector', 'denied', [to({ ...kubeSystem, podSelector: { matchLabels: { 'k8s-app': 'node-local-dns' } } })]],
  ['all namespaces', 'denied', [to({ namespaceSelector: {} })]],
  ['its address', 'allowed', [to(block('169.254.20.10/32'))]],
  ['no peers', 'allowed', [allowing(udp)]],
  ['all but link-local', 'denied', [to(block('0.0.0.0/0', '169.254.0.0/16'))]],
])('UDP to a node-local cache, which no selector reaches: %s: %s', (_what, permit, specs) => {
  const { nodeLocal } = dnsTargets(places);
  expect(nodeLocal && egressTo(read(specs), POD, nodeLocal, 'UDP').permit).toBe(permit);
});

it('a cache on the Service address is reached by that address, and by what is behind it', () => {
  const { dns } = dnsTargets({ ...places, intercepting: true });
  const onAddress = to(block('10.96.0.10/32'));
  expect(tcp(dns, to({ ...kubeSystem, ...kubeDns })).permit).toBe('uncertain');
  expect(tcp(dns, onAddress).permit).toBe('uncertain');
  expect(tcp(dns, onAddress, to({ ...kubeSystem, ...kubeDns })).permit).toBe('allowed');
});

it('a kubelet that names the node-local cache sends Pods there and not to the Service', () => {
  const { dns } = dnsTargets({ ...places, dns: [NODE_LOCAL] });
  expect(tcp(dns, to({ ...kubeSystem, ...kubeDns })).permit).toBe('denied');
  expect(tcp(dns, to(block('169.254.20.10/32'))).permit).toBe('allowed');
});

it('Pods on their node’s network are not matched by selectors', () => {
  const { pod, ...onNode } = backend();
  const { dns } = dnsTargets({ ...places, behind: { ...places.behind, backends: [onNode] } });
  expect(pod).toBeDefined();
  expect(tcp(dns, to({ namespaceSelector: {} })).permit).toBe('denied');
});

it('with Cilium a block of addresses does not surely lead to Pods', () => {
  const { dns } = dnsTargets({ ...places, cilium: true });
  expect(tcp(dns, to(block('0.0.0.0/0'))).permit).toBe('uncertain');
  expect(tcp(dns, allowing(both)).permit).toBe('allowed');
});

it('a Service without endpoints, or without a port for TCP, is uncertain', () => {
  const none = dnsTargets({ ...places, behind: { ...places.behind, backends: [] } }).dns;
  expect(tcp(none, allowing(both)).permit).toBe('uncertain');
  expect(tcp(none).permit).toBe('allowed');
  const udpAlone = { ...places.behind, backends: [backend({ port: { UDP: 53 } })] };
  expect(tcp(dnsTargets({ ...places, behind: udpAlone }).dns, allowing(both)).permit).toBe('uncertain');
});

test.each<[string, string | undefined, unknown[]]>([
  ['nothing where all is allowed', undefined, [allowing(both)]],
  ['that which allows UDP alone', 'NetworkPolicy shop/p1', [defaultDeny, allowing(udp)]],
  ['the first that isolates', 'NetworkPolicy shop/p0', [defaultDeny, allowing({ ports: [{ port: 443 }] })]],
])('names %s', (_what, by, specs) => {
  expect(tcp(KUBEADM, ...specs).by).toBe(by);
});

it('names the policy for each place and protocol', () => {
  const udpTo = (peer: unknown) => allowing({ ...udp, to: [peer] });
  const policies = read([udpTo({ ...kubeSystem, ...kubeDns }), udpTo(block('169.254.20.10/32'))]);
  expect(dnsReach(policies, POD, dnsTargets(places))).toEqual({
    dnsTcp: 'denied',
    nodeLocalUdp: 'allowed',
    nodeLocalTcp: 'denied',
    by: { dnsTcp: 'NetworkPolicy shop/p0', nodeLocalTcp: 'NetworkPolicy shop/p1' },
  });
});

it('policies of other namespaces do not count', () => {
  expect(egressTo(read([defaultDeny], 'other'), POD, KUBEADM, 'TCP').permit).toBe('allowed');
});
