import { afterEach, describe, expect, it } from 'vitest';

import { podReach } from '../../../src/audit/reach.ts';
import { scanCluster } from '../../../src/audit/scan/cluster.ts';
import { createClusterReach } from '../../../src/cluster/reach/reach.ts';
import type { ClusterFacts, Permit, PolicyConfig } from '../../../src/policy/model.ts';
import { facts as usual, policy, withNodeLocal } from '../../support/policy.ts';
import { type Asked, isStream, type SmallApi, startSmallApi, status } from '../kubernetes/small-api.ts';

/** The webhook and the audit of a cluster, given the same answers of its API server. */

const SERVICE = '/api/v1/namespaces/kube-system/services/kube-dns';
const SLICES = '/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices';
const POLICIES = '/apis/networking.k8s.io/v1/networkpolicies';
const CILIUM = '/apis/cilium.io/v2/ciliumnetworkpolicies';
const CALICO = '/apis/crd.projectcalico.org/v1/networkpolicies';
const CALICO_AGAIN = '/apis/projectcalico.org/v3/networkpolicies';

type Answer = (asked: Asked) => void;

const listed =
  (...items: readonly object[]): Answer =>
  ({ send }) =>
    send({ metadata: { resourceVersion: '5' }, items });
const missing: Answer = ({ send }) => send(status(404, 'not found'), 404);
const forbidden: Answer = ({ send }) => send(status(403, 'forbidden'), 403);

const service = (k8sApp: string | null = 'kube-dns'): Answer => {
  const ports = (['UDP', 'TCP'] as const).map((protocol) => ({ name: protocol.toLowerCase(), port: 53, protocol }));
  return ({ send }) =>
    send({
      spec: { clusterIP: '10.96.0.10', clusterIPs: ['10.96.0.10'], selector: k8sApp && { 'k8s-app': k8sApp }, ports },
    });
};
const slices = (port = 53): Answer =>
  listed({
    endpoints: [{ addresses: ['10.244.1.7'], targetRef: { kind: 'Pod' } }],
    ports: (['UDP', 'TCP'] as const).map((protocol) => ({ name: protocol.toLowerCase(), port, protocol })),
  });

interface Rule {
  readonly to?: readonly object[];
  readonly ports?: readonly object[];
}
const object = (spec: object, name = 'p') => ({ metadata: { namespace: 'shop', name, resourceVersion: '1' }, spec });
const egress = (...rules: readonly Rule[]) => object({ podSelector: {}, policyTypes: ['Egress'], egress: rules });
const over = (...protocols: readonly string[]) => protocols.map((protocol) => ({ protocol, port: 53 }));
const DNS_PODS = [{ namespaceSelector: {}, podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } }];

const TO_DNS_PODS = egress({ to: DNS_PODS, ports: over('UDP', 'TCP') });
const UDP_TO_DNS_PODS = egress({ to: DNS_PODS, ports: over('UDP') });
const TO_ALL_PODS = egress({ to: [{ namespaceSelector: {} }] });
const TO_POD_NETWORK = egress({ to: [{ ipBlock: { cidr: '10.244.0.0/16' } }], ports: over('UDP', 'TCP') });
const many = (count: number): object[] =>
  Array.from({ length: count }, (_, index) => ({ ...TO_DNS_PODS, metadata: { namespace: 'shop', name: `p${index}` } }));
const large = egress({ to: DNS_PODS, ports: Array.from({ length: 10_000 }, (_, port) => ({ protocol: 'TCP', port })) });

interface Case {
  readonly name: string;
  readonly answers: Readonly<Record<string, Answer>>;
  readonly dnsTcp: Permit;
  readonly dnsUdp: Permit;
  readonly nodeLocal?: Permit;
}

const READABLE = { [SERVICE]: service(), [SLICES]: slices() };
const of = (...policies: readonly object[]) => ({ [POLICIES]: listed(...policies) });

const CASES: readonly Case[] = [
  { name: 'no policies', answers: READABLE, dnsTcp: 'allowed', dnsUdp: 'allowed' },
  {
    name: 'no policies, an unreadable Service',
    answers: { [SERVICE]: forbidden },
    dnsTcp: 'allowed',
    dnsUdp: 'allowed',
  },
  {
    name: 'the Pods behind the Service, by both',
    answers: { ...READABLE, ...of(TO_DNS_PODS) },
    dnsTcp: 'allowed',
    dnsUdp: 'allowed',
    nodeLocal: 'denied',
  },
  {
    name: 'the Pods behind the Service, by UDP',
    answers: { ...READABLE, ...of(UDP_TO_DNS_PODS) },
    dnsTcp: 'denied',
    dnsUdp: 'allowed',
    nodeLocal: 'denied',
  },
  {
    name: 'another port behind the Service',
    answers: { ...READABLE, [SLICES]: slices(5353), ...of(TO_DNS_PODS) },
    dnsTcp: 'denied',
    dnsUdp: 'denied',
    nodeLocal: 'denied',
  },
  {
    name: 'a Service that selects other Pods',
    answers: { ...READABLE, [SERVICE]: service('coredns'), ...of(TO_DNS_PODS) },
    dnsTcp: 'denied',
    dnsUdp: 'denied',
    nodeLocal: 'denied',
  },
  ...[forbidden, missing].map((answer): Case => ({
    name: `a Service that is ${answer === missing ? 'missing' : 'forbidden'}: what is usual does not count`,
    answers: { [SERVICE]: answer, [SLICES]: slices(), ...of(TO_DNS_PODS) },
    dnsTcp: 'uncertain',
    dnsUdp: 'uncertain',
    nodeLocal: 'denied',
  })),
  {
    name: 'unreadable endpoints: the Service tells enough',
    answers: { ...READABLE, [SLICES]: forbidden, ...of(TO_DNS_PODS) },
    dnsTcp: 'allowed',
    dnsUdp: 'allowed',
    nodeLocal: 'denied',
  },
  {
    name: 'all Pods, and a Service that is forbidden: what answers may be no Pod',
    answers: { [SERVICE]: forbidden, ...of(TO_ALL_PODS) },
    dnsTcp: 'uncertain',
    dnsUdp: 'uncertain',
    nodeLocal: 'denied',
  },
  {
    name: 'all Pods, and a Service without a selector whose endpoints cannot be read',
    answers: { [SERVICE]: service(null), [SLICES]: forbidden, ...of(TO_ALL_PODS) },
    dnsTcp: 'uncertain',
    dnsUdp: 'uncertain',
    nodeLocal: 'denied',
  },
  {
    name: 'all Pods, and a Service whose endpoints are some',
    answers: { ...READABLE, ...of(TO_ALL_PODS) },
    dnsTcp: 'allowed',
    dnsUdp: 'allowed',
    nodeLocal: 'denied',
  },
  {
    name: 'a block of addresses',
    answers: { ...READABLE, ...of(TO_POD_NETWORK) },
    dnsTcp: 'allowed',
    dnsUdp: 'allowed',
    nodeLocal: 'denied',
  },
  {
    name: 'a block of addresses, with Cilium, which has no policies',
    answers: { ...READABLE, ...of(TO_POD_NETWORK), [CILIUM]: listed() },
    dnsTcp: 'uncertain',
    dnsUdp: 'uncertain',
    nodeLocal: 'denied',
  },
  {
    name: 'a policy of Calico that cannot be read',
    answers: { ...READABLE, [CALICO]: listed(object({ types: ['Egress'], egress: 7 })) },
    dnsTcp: 'uncertain',
    dnsUdp: 'uncertain',
    nodeLocal: 'uncertain',
  },
  ...[POLICIES, CILIUM, CALICO].map((path): Case => ({
    name: `${path} is forbidden`,
    answers: { ...READABLE, [path]: forbidden },
    dnsTcp: 'uncertain',
    dnsUdp: 'uncertain',
    nodeLocal: 'uncertain',
  })),
  {
    name: 'the second view of Calico’s policies is forbidden',
    answers: { ...READABLE, ...of(TO_DNS_PODS), [CALICO_AGAIN]: forbidden },
    dnsTcp: 'allowed',
    dnsUdp: 'allowed',
    nodeLocal: 'denied',
  },
  {
    name: 'more policies in a namespace than are read',
    answers: { ...READABLE, ...of(...many(501)) },
    dnsTcp: 'uncertain',
    dnsUdp: 'uncertain',
    nodeLocal: 'uncertain',
  },
  {
    name: 'a policy that is too large to be read',
    answers: { ...READABLE, ...of(large) },
    dnsTcp: 'uncertain',
    dnsUdp: 'uncertain',
    nodeLocal: 'uncertain',
  },
];

let api: SmallApi;
afterEach(async () => await api.close());

async function start(answers: Case['answers']): Promise<void> {
  const unnamed = (path: string): Answer => (path.includes('policies') || path === SERVICE ? missing : listed());
  api = await startSmallApi((asked) => {
    if (isStream(asked)) asked.send(status(422, 'sendInitialEvents is forbidden'), 422);
    else if (asked.query.get('watch') === 'true' && answers[asked.path] !== forbidden) asked.open();
    else (answers[asked.path] ?? (asked.path === POLICIES ? listed() : unnamed(asked.path)))(asked);
  });
}

const LABELS = { app: 'web' };
const NAME = 'kube-system/kube-dns';

/** What the webhook sees. */
async function byWebhook(facts: ClusterFacts, config: PolicyConfig) {
  const clock = { now: () => 0 };
  const reach = createClusterReach({ client: api.client, clock, config, service: NAME, facts: () => facts });
  try {
    await reach.ready;
    return reach.of('shop', LABELS);
  } finally {
    await reach.close();
  }
}

/** What the audit sees, and the gaps that it tells of. */
async function byAudit(facts: ClusterFacts, config: PolicyConfig) {
  const signal = AbortSignal.timeout(10_000);
  const scanned = await scanCluster({ client: api.client, namespaces: [], dnsService: NAME, signal });
  const { dnsUdp, ...reach } = podReach({ scanned, facts, config, service: NAME })('shop', LABELS);
  return { dnsUdp, reach, gaps: scanned.gaps };
}

describe('the audit reads policies as the webhook does', () => {
  it.each(CASES)('$name', async ({ answers, dnsTcp, dnsUdp, nodeLocal = 'allowed' }) => {
    await start(answers);
    const facts: ClusterFacts = { ...usual, nodeLocal: 'ready' };
    const config = withNodeLocal();
    const webhook = await byWebhook(facts, config);
    const audit = await byAudit(facts, config);
    expect(webhook).toMatchObject({ dnsTcp, nodeLocalUdp: nodeLocal, nodeLocalTcp: nodeLocal });
    expect(audit).toMatchObject({ dnsUdp, reach: webhook });
    expect(Object.keys(audit.reach.by ?? {})).toEqual(Object.keys(webhook.by ?? {}));
  });

  it('more policies than are read are a gap', async () => {
    await start({ ...READABLE, ...of(...many(501)) });
    const { gaps } = await byAudit(usual, policy());
    expect(gaps.find(({ what }) => what === 'network policies')).toMatchObject({
      message: 'more than are read, in shop',
      grant: expect.stringMatching(/^nothing: the webhook reads no more/),
    });
  });
});
