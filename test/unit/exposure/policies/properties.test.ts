import fc from 'fast-check';
import { expect, it } from 'vitest';

import { assumedBackends, dnsReach, dnsTargets, namedNamespace } from '../../../../src/exposure/dns-target.ts';
import { labelsOf } from '../../../../src/exposure/policies/match.ts';
import {
  type EgressPolicy,
  egressTo,
  readNetworkPolicy,
  type Protocol,
} from '../../../../src/exposure/network-policies.ts';
import { POLICY_KINDS, readObject } from '../../../../src/exposure/policies/kinds.ts';

const DNS = '10.96.0.10';
const known = labelsOf({ 'kubernetes.io/metadata.name': 'kube-system' });
const assumed = assumedBackends([DNS]);
const dnsPod = (labels: object) => ({
  namespace: 'kube-system',
  namespaceLabels: known,
  labels: labelsOf(labels),
});
const backends = [
  { addresses: ['10.244.0.3', '10.244.1.4'], port: { TCP: 53, UDP: 53 }, pod: dnsPod({ 'k8s-app': 'kube-dns' }) },
  { addresses: ['fd00::3'], port: { TCP: 5353, UDP: 5353 }, pod: dnsPod({ 'k8s-app': 'kube-dns', zone: 'b' }) },
];
const TARGETS = [assumed, { ...assumed, backends }].map((behind) =>
  dnsTargets({ dns: [DNS], nodeLocal: ['169.254.20.10'], intercepting: true, behind, cilium: false }),
);
const POD = { namespace: 'shop', namespaceLabels: namedNamespace('shop'), labels: labelsOf({ app: 'web' }) };

const protocol = fc.constantFrom('TCP', 'UDP');
const port = fc.record(
  {
    protocol,
    port: fc.constantFrom<unknown>(53, 5353, 443, 'dns', 'dns-tcp', 'x'),
    endPort: fc.constantFrom(60, 6000),
  },
  { requiredKeys: [] },
);
const selector = fc.oneof(
  fc.constant({}),
  fc.record({ matchLabels: fc.constantFrom({ 'k8s-app': 'kube-dns' }, { zone: 'b' }, { x: 'y' }) }),
  fc.record({
    matchExpressions: fc.array(
      fc.record({
        key: fc.constantFrom('k8s-app', 'zone', 'app', 'kubernetes.io/metadata.name'),
        operator: fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist', 'Future'),
        values: fc.array(fc.constantFrom('kube-dns', 'b', 'web', 'kube-system')),
      }),
      { maxLength: 2 },
    ),
  }),
);
const cidr = fc.constantFrom('0.0.0.0/0', '::/0', '10.244.0.0/16', '10.244.1.0/24', '10.96.0.10/32', '169.254.0.0/16');
const peer = fc.oneof(
  fc.record({ podSelector: selector, namespaceSelector: selector }, { requiredKeys: [] }),
  fc.record({ ipBlock: fc.record({ cidr, except: fc.array(cidr, { maxLength: 2 }) }, { requiredKeys: ['cidr'] }) }),
);
const rule = fc.record(
  { ports: fc.array(port, { maxLength: 3 }), to: fc.array(peer, { maxLength: 3 }) },
  { requiredKeys: [] },
);
const spec = fc.record({
  podSelector: fc.constantFrom<unknown>({}, { matchLabels: { app: 'web' } }),
  policyTypes: fc.constant(['Egress']),
  egress: fc.array(rule, { maxLength: 3 }),
});

const read = (specs: readonly unknown[]): readonly EgressPolicy[] =>
  specs.flatMap((one, index) => readNetworkPolicy({ namespace: 'shop', name: `p${index}`, spec: one }));

const RANK = { denied: 0, uncertain: 1, allowed: 2 };

function ranks(specs: readonly unknown[]): number[] {
  const policies = read(specs);
  const protocols: readonly Protocol[] = ['TCP', 'UDP'];
  return TARGETS.flatMap((targets) =>
    protocols.flatMap((one) =>
      [targets.dns, targets.nodeLocal].map((target) =>
        target ? RANK[egressTo(policies, POD, target, one).permit] : 0,
      ),
    ),
  );
}

it('a further policy never takes away from a Pod that policies isolate already', () => {
  fc.assert(
    fc.property(fc.array(spec, { minLength: 1, maxLength: 3 }), spec, (specs, further) => {
      const before = ranks(specs);
      for (const [index, rank] of ranks([...specs, further]).entries()) {
        expect(rank).toBeGreaterThanOrEqual(before[index] ?? 0);
      }
    }),
  );
});

it('a further rule never takes away', () => {
  fc.assert(
    fc.property(spec, rule, (one, further) => {
      const before = ranks([one]);
      for (const [index, rank] of ranks([{ ...one, egress: [...one.egress, further] }]).entries()) {
        expect(rank).toBeGreaterThanOrEqual(before[index] ?? 0);
      }
    }),
  );
});

it('the order of policies makes no difference', () => {
  fc.assert(
    fc.property(fc.array(spec, { maxLength: 4 }), (specs) => {
      expect(ranks(specs.toReversed())).toEqual(ranks(specs));
    }),
  );
});

const FIELDS = [
  'podSelector egress to ports port protocol policyTypes ipBlock cidr except selector endpointSelector egressDeny',
  'toPorts toEndpoints toCIDR toEntities rules specs types subject priority tier action pods namespaces networks',
  'destination nets services matchLabels matchExpressions key operator values __proto__ constructor toString',
].flatMap((line) => line.split(' '));

/** What has the fields of policies, and anything in them. */
const anything = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 5 }, fc.jsonValue(), tie('fields'), fc.array(tie('value'), { maxLength: 3 })),
  fields: fc.dictionary(fc.constantFrom(...FIELDS), tie('value'), { maxKeys: 6 }),
})).fields;

it('anything at all is read without an error', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(...POLICY_KINDS), anything), { maxLength: 3 }),
      anything,
      (objects, labels) => {
        const policies = objects.flatMap(
          ([kind, object]) =>
            readObject(kind, { metadata: { name: 'p', namespace: 'shop' }, spec: object, ...(object as object) })
              .policies,
        );
        const pod = { ...POD, labels: labelsOf(labels) };
        for (const targets of TARGETS) {
          const { dnsTcp, nodeLocalUdp } = dnsReach(policies, pod, targets);
          expect(RANK).toHaveProperty(dnsTcp);
          expect(RANK).toHaveProperty(nodeLocalUdp);
        }
      },
    ),
  );
});

it('a large policy costs time that grows with its size alone', () => {
  const rules = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      to: [{ ipBlock: { cidr: `10.0.${index % 256}.0/24` } }, { podSelector: { matchLabels: { a: `${index}` } } }],
      ports: [{ port: index }],
    }));
  const specs = [{ podSelector: {}, policyTypes: ['Egress'], egress: rules(10_000) }];
  const started = performance.now();
  ranks(specs);
  expect(performance.now() - started).toBeLessThan(4000);
});
