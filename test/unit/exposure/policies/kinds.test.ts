import { describe, expect, it, test } from 'vitest';
import { parseAllDocuments } from 'yaml';

import { dnsTargets, namedNamespace } from '../../../../src/exposure/dns-target.ts';
import type { Permit } from '../../../../src/policy/model.ts';
import { labelsOf } from '../../../../src/exposure/policies/match.ts';
import { egressTo } from '../../../../src/exposure/network-policies.ts';
import { createPolicySet, readPolicy } from '../../../../src/exposure/policies/kinds.ts';

const kubeDnsPod = {
  namespace: 'kube-system',
  namespaceLabels: labelsOf({ 'kubernetes.io/metadata.name': 'kube-system' }),
  labels: labelsOf({ 'k8s-app': 'kube-dns' }),
  ports: [{ name: 'dns-tcp', port: 53, protocol: 'TCP' }],
} as const;
const behind = {
  service: 'kube-system/kube-dns',
  addresses: ['10.96.0.10'],
  backends: [{ addresses: ['10.244.1.7'], port: { UDP: 53, TCP: 53 }, pod: kubeDnsPod }],
};
const TARGETS = dnsTargets({
  dns: ['10.96.0.10'],
  nodeLocal: ['169.254.20.10'],
  intercepting: false,
  behind,
  cilium: false,
});

const POD = { namespace: 'shop', namespaceLabels: namedNamespace('shop'), labels: labelsOf({ app: 'web' }) };

const read = (yaml: string) =>
  parseAllDocuments(yaml).flatMap((document) => readPolicy(document.toJS(), 'shop')?.policies ?? []);

const tcp = (yaml: string) => egressTo(read(yaml), POD, TARGETS.dns, 'TCP');

const header = (apiVersion: string, kind: string) => `apiVersion: ${apiVersion}
kind: ${kind}
metadata: { name: p, namespace: shop }
`;

type Row = [string, Permit, string];

const cilium = (spec: string): string =>
  `${header('cilium.io/v2', 'CiliumNetworkPolicy')}spec: { endpointSelector: {}, ${spec} }`;
const DNS = "{ 'k8s:io.kubernetes.pod.namespace': kube-system, k8s-app: kube-dns }";
const kubeDns = (protocol: string): string =>
  `egress: [{ toEndpoints: [{ matchLabels: ${DNS} }], toPorts: [{ ports: [{ port: "53", protocol: ${protocol} }] }] }]`;

test.each<Row>([
  ['UDP to kube-dns', 'denied', cilium(kubeDns('UDP'))],
  ['any protocol to kube-dns', 'allowed', cilium(kubeDns('ANY'))],
  ['TCP to kube-dns', 'allowed', cilium(kubeDns('TCP'))],
  [
    'the proxy for DNS',
    'allowed',
    cilium(
      `egress: [{ toEndpoints: [{ matchLabels: ${DNS} }], toPorts: [{ ports: [{ port: "53" }], rules: { dns: [{ matchPattern: "*" }] } }] }]`,
    ),
  ],
  [
    'requirements beside a destination',
    'uncertain',
    cilium(`egress: [{ toEndpoints: [{ matchLabels: ${DNS} }], toRequires: [{ matchLabels: { x: y } }] }]`),
  ],
  [
    'requirements in another rule',
    'uncertain',
    cilium(`egress: [{ toEndpoints: [{ matchLabels: ${DNS} }] }, { toRequires: [{ matchLabels: { x: y } }] }]`),
  ],
  ['no nodeSelector', 'denied', cilium('nodeSelector: null, egress: [{}]')],
  ['another proxy', 'uncertain', cilium('egress: [{ toPorts: [{ ports: [{ port: "53" }], rules: { http: [{}] } }] }]')],
  ['no egress part', 'allowed', cilium('ingress: [{}]')],
  ['an empty rule', 'denied', cilium('egress: [{}]')],
  ['all', 'allowed', cilium('egress: [{ toEntities: [all] }]')],
  ['the cluster', 'allowed', cilium('egress: [{ toEntities: [cluster] }]')],
  ['the world', 'denied', cilium('egress: [{ toEntities: [world] }]')],
  ['the host', 'uncertain', cilium('egress: [{ toEntities: [host] }]')],
  ['addresses, which do not lead to Pods', 'uncertain', cilium('egress: [{ toCIDR: [0.0.0.0/0] }]')],
  ['other addresses', 'denied', cilium('egress: [{ toCIDRSet: [{ cidr: 10.244.0.0/16, except: [10.244.1.0/24] }] }]')],
  ['endpoints of the own namespace', 'denied', cilium('egress: [{ toEndpoints: [{}] }]')],
  ['no endpoints', 'denied', cilium('egress: [{ toEndpoints: [] }]')],
  ['names', 'uncertain', cilium('egress: [{ toFQDNs: [{ matchName: example.com }] }]')],
  [
    'names at another port',
    'denied',
    cilium('egress: [{ toFQDNs: [{ matchName: x.com }], toPorts: [{ ports: [{ port: "443" }] }] }]'),
  ],
  ['a range', 'allowed', cilium('egress: [{ toPorts: [{ ports: [{ port: "1", endPort: 100 }] }] }]')],
  ['a name', 'allowed', cilium('egress: [{ toPorts: [{ ports: [{ port: dns-tcp, protocol: TCP }] }] }]')],
  ['all ports', 'allowed', cilium('egress: [{ toPorts: [{ ports: [{ port: "0", protocol: TCP }] }] }]')],
  [
    'denied by port',
    'denied',
    cilium('egress: [{ toEntities: [all] }], egressDeny: [{ toPorts: [{ ports: [{ port: "53", protocol: TCP }] }] }]'),
  ],
  ['denied elsewhere', 'allowed', cilium('egress: [{ toEntities: [all] }], egressDeny: [{ toEntities: [world] }]')],
  [
    'denials without isolation',
    'allowed',
    cilium('enableDefaultDeny: { egress: false }, egressDeny: [{ toEntities: [world] }]'),
  ],
  ['a rule without isolation', 'allowed', cilium(`enableDefaultDeny: { egress: false }, ${kubeDns('UDP')}`)],
  [
    'another subject',
    'allowed',
    cilium('egress: [{}]').replace('endpointSelector: {}', 'endpointSelector: { matchLabels: { "k8s:app": db } }'),
  ],
  [
    'this subject',
    'denied',
    cilium('egress: [{}]').replace('endpointSelector: {}', 'endpointSelector: { matchLabels: { "any:app": web } }'),
  ],
  [
    'a label of Cilium’s own',
    'uncertain',
    cilium('egress: [{}]').replace(
      'endpointSelector: {}',
      'endpointSelector: { matchLabels: { "reserved:init": "" } }',
    ),
  ],
  [
    'specs',
    'denied',
    `${header('cilium.io/v2', 'CiliumNetworkPolicy')}specs: [{ endpointSelector: {}, egress: [{}] }]`,
  ],
  ['no list', 'uncertain', cilium('egress: 7')],
  ['no spec', 'uncertain', `${header('cilium.io/v2', 'CiliumNetworkPolicy')}spec: 7`],
  [
    'a NetworkPolicy adds to it',
    'allowed',
    `${cilium(kubeDns('UDP'))}\n---\n${header('networking.k8s.io/v1', 'NetworkPolicy')}spec: { egress: [{ ports: [{ port: 53 }] }] }`,
  ],
  [
    'of the whole cluster, by namespace',
    'denied',
    `${header('cilium.io/v2', 'CiliumClusterwideNetworkPolicy')}spec: { endpointSelector: { matchExpressions: [{ key: io.kubernetes.pod.namespace, operator: NotIn, values: [kube-system] }] }, ${kubeDns('UDP')} }`,
  ],
  [
    'of the whole cluster, for other namespaces',
    'allowed',
    `${header('cilium.io/v2', 'CiliumClusterwideNetworkPolicy')}spec: { endpointSelector: { matchLabels: { io.kubernetes.pod.namespace: bank } }, ${kubeDns('UDP')} }`,
  ],
  [
    'of the whole cluster, by a label of the namespace',
    'uncertain',
    `${header('cilium.io/v2', 'CiliumClusterwideNetworkPolicy')}spec: { endpointSelector: { matchLabels: { io.cilium.k8s.namespace.labels.env: prod } }, ${kubeDns('UDP')} }`,
  ],
  [
    'about nodes',
    'allowed',
    `${header('cilium.io/v2', 'CiliumClusterwideNetworkPolicy')}spec: { nodeSelector: {}, egress: [{}] }`,
  ],
])('Cilium: %s: %s', (_what, permit, yaml) => {
  expect(tcp(yaml).permit).toBe(permit);
});

const calico = (spec: string): string =>
  `${header('projectcalico.org/v3', 'NetworkPolicy')}spec: { types: [Egress], ${spec} }`;
const globally = (spec: string): string =>
  `${header('crd.projectcalico.org/v1', 'GlobalNetworkPolicy')}spec: { types: [Egress], ${spec} }`;

test.each<Row>([
  ['nothing allowed', 'denied', calico('selector: all()')],
  ['UDP', 'denied', calico('egress: [{ action: Allow, protocol: UDP, destination: { ports: [53] } }]')],
  ['TCP', 'allowed', calico('egress: [{ action: Allow, protocol: TCP, destination: { ports: [53] } }]')],
  ['TCP by number', 'allowed', calico('egress: [{ action: Allow, protocol: 6, destination: { ports: ["50:60"] } }]')],
  ['not UDP', 'allowed', calico('egress: [{ action: Allow, notProtocol: UDP }]')],
  ['IPv6', 'denied', calico('egress: [{ action: Allow, ipVersion: 6 }]')],
  ['a text as port', 'allowed', calico('egress: [{ action: Allow, protocol: TCP, destination: { ports: ["53"] } }]')],
  ['a name', 'allowed', calico('egress: [{ action: Allow, protocol: TCP, destination: { ports: [dns-tcp] } }]')],
  [
    'kube-dns',
    'allowed',
    calico(
      `egress: [{ action: Allow, destination: { selector: "k8s-app == 'kube-dns'", namespaceSelector: "projectcalico.org/name == 'kube-system'" } }]`,
    ),
  ],
  ['Pods of the own namespace', 'denied', calico('egress: [{ action: Allow, destination: { selector: all() } }]')],
  ['addresses', 'allowed', calico('egress: [{ action: Allow, destination: { nets: [10.244.0.0/16] } }]')],
  [
    'all addresses but some',
    'denied',
    calico('egress: [{ action: Allow, destination: { nets: [10.244.0.0/16], notNets: [10.244.1.0/24] } }]'),
  ],
  [
    'the Service',
    'allowed',
    calico('egress: [{ action: Allow, destination: { services: { name: kube-dns, namespace: kube-system } } }]'),
  ],
  [
    'another Service',
    'denied',
    calico('egress: [{ action: Allow, destination: { services: { name: x, namespace: shop } } }]'),
  ],
  ['names of hosts', 'uncertain', calico('egress: [{ action: Allow, destination: { domains: [example.com] } }]')],
  ['a source', 'uncertain', calico('egress: [{ action: Allow, source: { nets: [10.0.0.0/8] } }]')],
  ['logged, then allowed', 'allowed', calico('egress: [{ action: Log }, { action: Allow }]')],
  ['denied, then allowed', 'denied', calico('egress: [{ action: Deny, protocol: TCP }, { action: Allow }]')],
  ['allowed, then denied', 'allowed', calico('egress: [{ action: Allow, protocol: TCP }, { action: Deny }]')],
  ['passed on, to what allows all', 'allowed', calico('egress: [{ action: Pass }]')],
  ['an action of the future', 'uncertain', calico('egress: [{ action: constructor }]')],
  [
    'an earlier order',
    'denied',
    `${calico('order: 1, egress: [{ action: Deny }]')}\n---\n${globally('order: 2, egress: [{ action: Allow }]')}`,
  ],
  [
    'a later order',
    'allowed',
    `${calico('order: 3, egress: [{ action: Deny }]')}\n---\n${globally('order: 2, egress: [{ action: Allow }]')}`,
  ],
  [
    'before NetworkPolicies',
    'denied',
    `${calico('order: 3, egress: [{ action: Deny }]')}\n---\n${header('networking.k8s.io/v1', 'NetworkPolicy')}spec: { egress: [{}] }`,
  ],
  ['about ingress', 'allowed', calico('ingress: []').replace('Egress', 'Ingress')],
  ['no types', 'allowed', calico('selector: all()').replace('types: [Egress], ', '')],
  ['another tier', 'uncertain', calico('tier: security, egress: [{ action: Allow }]')],
  ['for nodes', 'allowed', globally('preDNAT: true')],
  ['this subject', 'denied', globally(`selector: "app == 'web'"`)],
  ['another subject', 'allowed', globally(`selector: "app in {'db', \\"cache\\"}"`)],
  ['all but another', 'denied', globally(`selector: "app not in {'db'} && !has(x)"`)],
  ['either', 'denied', globally(`selector: "has(x) || app != 'db'"`)],
  ['parentheses', 'uncertain', globally(`selector: "(has(app))"`)],
  ['a group of three', 'uncertain', globally(`selector: "!(app == 'dns' && role == 'db' && tier == 'x')"`)],
  ['a group, then a term', 'uncertain', globally(`selector: "(a == 'x' || b != 'y' || c == 'z') && env == 'prod'"`)],
  ['a group between terms', 'uncertain', globally(`selector: "x == 'y' || !(has(x) || all() || has(y))"`)],
  ['an operator in a text', 'uncertain', globally(`selector: "app == 'x || all() || y'"`)],
  ['parentheses in a text', 'denied', globally(`selector: "app != '(x)' && all()"`)],
  ['a quote without its pair', 'uncertain', globally(`selector: "app == 'x || all() || y"`)],
  ['another namespace', 'allowed', globally(`namespaceSelector: "projectcalico.org/name == 'bank'"`)],
  ['the namespace', 'denied', globally(`namespaceSelector: "projectcalico.org/name != 'bank'"`)],
  ['a label of the namespace', 'uncertain', globally(`namespaceSelector: "env == 'prod'"`)],
  ['an account', 'uncertain', globally(`serviceAccountSelector: "x == 'y'"`)],
  ['no spec', 'uncertain', `${header('projectcalico.org/v3', 'NetworkPolicy')}spec: 7`],
])('Calico: %s: %s', (_what, permit, yaml) => {
  expect(tcp(yaml).permit).toBe(permit);
});

const SUBJECT = 'subject: { namespaces: {} }';
const admin = (spec: string, change = ''): string =>
  `${header('policy.networking.k8s.io/v1alpha1', `${change}AdminNetworkPolicy`)}spec: { ${SUBJECT}, priority: 10, ${spec} }`;
const clusterwide = (spec: string): string =>
  `${header('policy.networking.k8s.io/v1alpha2', 'ClusterNetworkPolicy')}spec: { ${SUBJECT}, priority: 10, ${spec} }`;
const DENY_ALL = `${header('networking.k8s.io/v1', 'NetworkPolicy')}spec: { policyTypes: [Egress] }`;
const ALL = 'to: [{ namespaces: {} }]';
const PODS = 'to: [{ pods: { namespaceSelector: {}, podSelector: { matchLabels: { k8s-app: kube-dns } } } }]';

test.each<Row>([
  ['no egress rules', 'allowed', admin('ingress: [{ action: Deny }]')],
  ['denied', 'denied', admin(`egress: [{ action: Deny, ${ALL} }]`)],
  [
    'denied over UDP',
    'allowed',
    admin(`egress: [{ action: Deny, ${ALL}, ports: [{ portNumber: { protocol: UDP, port: 53 } }] }]`),
  ],
  [
    'denied over TCP',
    'denied',
    admin(`egress: [{ action: Deny, ${PODS}, ports: [{ portRange: { protocol: TCP, start: 1, end: 99 } }] }]`),
  ],
  ['denied by name', 'denied', admin(`egress: [{ action: Deny, ${PODS}, ports: [{ namedPort: dns-tcp }] }]`)],
  ['denied elsewhere', 'allowed', admin('egress: [{ action: Deny, to: [{ nodes: {} }] }]')],
  ['networks', 'uncertain', admin('egress: [{ action: Deny, to: [{ networks: [0.0.0.0/0] }] }]')],
  ['other networks', 'allowed', admin('egress: [{ action: Deny, to: [{ networks: [192.0.2.0/24] }] }]')],
  [
    'names',
    'uncertain',
    admin('egress: [{ action: Allow, to: [{ domainNames: [x.com] }] }, { action: Deny, to: [{ namespaces: {} }] }]'),
  ],
  ['allowed before a NetworkPolicy', 'allowed', `${admin(`egress: [{ action: Allow, ${ALL} }]`)}\n---\n${DENY_ALL}`],
  ['passed on to a NetworkPolicy', 'denied', `${admin(`egress: [{ action: Pass, ${ALL} }]`)}\n---\n${DENY_ALL}`],
  ['the first rule', 'allowed', admin(`egress: [{ action: Allow, ${ALL} }, { action: Deny, ${ALL} }]`)],
  [
    'the lower priority',
    'denied',
    `${admin(`egress: [{ action: Allow, ${ALL} }]`)}\n---\n${admin(`egress: [{ action: Deny, ${ALL} }]`).replace('10', '9')}`,
  ],
  [
    'another namespace',
    'allowed',
    admin(`egress: [{ action: Deny, ${ALL} }]`).replace('{}', '{ matchLabels: { kubernetes.io/metadata.name: bank } }'),
  ],
  [
    'a label of the namespace',
    'uncertain',
    admin(`egress: [{ action: Deny, ${ALL} }]`).replace('{}', '{ matchLabels: { env: prod } }'),
  ],
  ['an action of the future', 'uncertain', admin(`egress: [{ action: Reject, ${ALL} }]`)],
  ['no peers', 'uncertain', admin('egress: [{ action: Deny }]')],
  ['baseline', 'denied', admin(`egress: [{ action: Deny, ${ALL} }]`, 'Baseline')],
  [
    'baseline, where a NetworkPolicy allows',
    'allowed',
    `${admin(`egress: [{ action: Deny, ${ALL} }]`, 'Baseline')}\n---\n${DENY_ALL.replace('policyTypes: [Egress]', 'egress: [{}]')}`,
  ],
  [
    'v1alpha2',
    'denied',
    clusterwide(
      `tier: Admin, egress: [{ action: Deny, ${ALL}, protocols: [{ tcp: { destinationPort: { number: 53 } } }] }]`,
    ),
  ],
  [
    'v1alpha2 over UDP',
    'allowed',
    clusterwide(`tier: Admin, egress: [{ action: Deny, ${ALL}, protocols: [{ udp: {} }] }]`),
  ],
  [
    'v1alpha2, accepted',
    'allowed',
    `${clusterwide(`tier: Admin, egress: [{ action: Accept, ${ALL}, protocols: [{ tcp: {} }] }]`)}\n---\n${DENY_ALL}`,
  ],
  [
    'v1alpha2, a range',
    'denied',
    clusterwide(
      `tier: Baseline, egress: [{ action: Deny, ${ALL}, protocols: [{ tcp: { destinationPort: { range: { start: 1, end: 99 } } } }] }]`,
    ),
  ],
  ['v1alpha2, a tier of the future', 'uncertain', clusterwide(`tier: X, egress: [{ action: Deny, ${ALL} }]`)],
  ['no spec', 'uncertain', `${header('policy.networking.k8s.io/v1alpha1', 'AdminNetworkPolicy')}spec: 7`],
])('AdminNetworkPolicy and its kin: %s: %s', (_what, permit, yaml) => {
  expect(tcp(yaml).permit).toBe(permit);
});

describe('which kinds are read', () => {
  const kindOf = (apiVersion: string, kind: string) =>
    readPolicy({ apiVersion, kind, metadata: { name: 'p' }, spec: 7 }, 'shop')?.policies;

  it('a version that is not known here is read like the known one', () => {
    expect(kindOf('policy.networking.k8s.io/v1', 'ClusterNetworkPolicy')?.[0]?.name).toBe('ClusterNetworkPolicy p');
  });

  it('other objects are not', () => {
    expect(kindOf('v1', 'Pod')).toBeUndefined();
    expect(kindOf('projectcalico.org/v3', 'StagedNetworkPolicy')).toBeUndefined();
    expect(readPolicy(null)).toBeUndefined();
  });

  it.each([
    ['extensions/v1', 'NetworkPolicy'],
    ['crd.antrea.io/v1beta1', 'ClusterNetworkPolicy'],
  ])('one of %s is uncertain', (apiVersion, kind) => {
    const found = kindOf(apiVersion, kind) ?? [];
    expect(egressTo(found, POD, TARGETS.dns, 'TCP')).toEqual({ permit: 'uncertain', by: `${kind} p` });
  });

  it('a policy without a namespace is of the one that is meant', () => {
    expect(kindOf('networking.k8s.io/v1', 'NetworkPolicy')?.[0]?.name).toBe('NetworkPolicy shop/p');
    expect(kindOf('crd.projectcalico.org/v1', 'GlobalNetworkPolicy')?.[0]?.name).toBe('GlobalNetworkPolicy p');
  });
});

it('a set has the policies of a namespace, and cluster-wide ones', () => {
  const set = createPolicySet();
  const add = (apiVersion: string, kind: string, spec: object): void => {
    const found = readPolicy({ apiVersion, kind, metadata: { name: 'p' }, spec }, 'shop');
    if (found !== undefined) set.add(found);
  };
  add('networking.k8s.io/v1', 'NetworkPolicy', { egress: [{}] });
  add('crd.projectcalico.org/v1', 'GlobalNetworkPolicy', { egress: [{ action: 'Allow' }] });
  const names = (namespace: string) => set.of(namespace).map(({ name }) => name);
  expect(names('shop')).toEqual(['GlobalNetworkPolicy p', 'NetworkPolicy shop/p']);
  expect(names('bank')).toEqual(['GlobalNetworkPolicy p']);
  expect(set.cilium).toBe(false);
  add('cilium.io/v2', 'CiliumNetworkPolicy', {});
  expect(set.cilium).toBe(true);
});
