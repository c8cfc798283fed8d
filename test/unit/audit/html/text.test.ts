import { describe, expect, it } from 'vitest';

import { changeYaml, resolvConfDiff } from '../../../../src/audit/html/text.ts';

const file = { servers: ['10.96.0.10'], searches: ['shop.svc.cluster.local'], options: ['ndots:5'] };

describe('resolv.conf before and after', () => {
  it('says which lines stay, go and come', () => {
    const after = { ...file, servers: ['169.254.20.10', '10.96.0.10'], options: ['ndots:5', 'use-vc'] };
    expect(resolvConfDiff(file, after).split('\n')).toEqual([
      '+ nameserver 169.254.20.10',
      '  nameserver 10.96.0.10',
      '  search shop.svc.cluster.local',
      '- options ndots:5',
      '+ options ndots:5 use-vc',
    ]);
  });

  it('leaves out lines that neither file has', () => {
    const empty = { servers: [], searches: [], options: [] };
    expect(resolvConfDiff(empty, empty)).toBe('');
    expect(resolvConfDiff(file, empty)).toBe(
      '- nameserver 10.96.0.10\n- search shop.svc.cluster.local\n- options ndots:5',
    );
  });
});

describe('the change as YAML', () => {
  it.each([
    [{ options: [{ name: 'use-vc' }] }, 'dnsConfig:\n  options:\n    - name: use-vc'],
    [
      { options: [{ name: 'attempts', value: '10' }] },
      'dnsConfig:\n  options:\n    - name: attempts\n      value: "10"',
    ],
    [
      { dnsPolicy: 'None', nameservers: ['169.254.20.10'], searches: ['a: b'], options: [] } as const,
      'dnsPolicy: None\ndnsConfig:\n  nameservers:\n    - 169.254.20.10\n  searches:\n    - "a: b"',
    ],
  ])('%j', (change, yaml) => {
    expect(changeYaml(change)).toBe(yaml);
  });
});
