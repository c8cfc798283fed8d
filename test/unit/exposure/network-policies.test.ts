import { expect, it } from 'vitest';

import { tcpBlockedBy } from '../../../src/exposure/network-policies.ts';

const udp = { ports: [{ port: 53, protocol: 'UDP' }] };
const LABELS = { app: 'web', tier: 'front' };

const blocked = (...specs: unknown[]): string | undefined =>
  tcpBlockedBy(
    specs.map((spec, index) => ({ namespace: 'shop', name: `p${index}`, spec })),
    'shop',
    LABELS,
  );

it.each<[string, string | undefined, unknown[]]>([
  ['no policy', undefined, []],
  ['UDP alone', 'shop/p0', [{ podSelector: {}, egress: [udp] }]],
  ['both', undefined, [{ podSelector: {}, egress: [{ ports: [{ port: 53, protocol: 'UDP' }, { port: 53 }] }] }]],
  ['all ports', undefined, [{ podSelector: {}, egress: [udp, {}] }]],
  ['all of TCP', undefined, [{ podSelector: {}, egress: [udp, { ports: [{ protocol: 'TCP' }] }] }]],
  ['nothing at all goes out: that is another fault', undefined, [{ podSelector: {}, policyTypes: ['Egress'] }]],
  ['about ingress alone', undefined, [{ podSelector: {}, policyTypes: ['Ingress'], egress: [udp] }]],
  ['other Pods', undefined, [{ podSelector: { matchLabels: { app: 'db' } }, egress: [udp] }]],
  [
    'by expression',
    'shop/p0',
    [{ podSelector: { matchExpressions: [{ key: 'tier', operator: 'Exists' }] }, egress: [udp] }],
  ],
  [
    'NotIn',
    undefined,
    [{ podSelector: { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['web'] }] }, egress: [udp] }],
  ],
  [
    'DoesNotExist',
    'shop/p0',
    [{ podSelector: { matchExpressions: [{ key: 'x', operator: 'DoesNotExist' }] }, egress: [udp] }],
  ],
  [
    'an operator of the future',
    undefined,
    [{ podSelector: { matchExpressions: [{ key: 'x', operator: 'Gt' }] }, egress: [udp] }],
  ],
  [
    'named ports of CoreDNS',
    undefined,
    [
      {
        podSelector: {},
        egress: [
          {
            ports: [
              { port: 'dns', protocol: 'UDP' },
              { port: 'dns-tcp', protocol: 'TCP' },
            ],
          },
        ],
      },
    ],
  ],
  [
    'the second policy allows it',
    undefined,
    [
      { podSelector: {}, egress: [udp] },
      { podSelector: {}, egress: [{}] },
    ],
  ],
  ['not an object', undefined, [null, 'x', { egress: 'x' }, { podSelector: {}, egress: [null, { ports: [null] }] }]],
])('%s', (_what, expected, specs) => {
  expect(blocked(...specs)).toBe(expected);
});

it('policies of other namespaces do not count', () => {
  const policy = { namespace: 'other', name: 'p', spec: { podSelector: {}, egress: [udp] } };
  expect(tcpBlockedBy([policy], 'shop', LABELS)).toBeUndefined();
});
