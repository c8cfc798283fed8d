import { expect, it } from 'vitest';
import { NODES, type NodeName } from '../../lab/network/plan.ts';
import { nodeRules, RACE_TABLE } from '../../lab/network/rules.ts';

const rulesOf = (name: NodeName): string => nodeRules(NODES.find((node) => node.name === name)!);

it('the second packet of a translated connection is lost while no reply was seen, where there is the fault', () => {
  expect(rulesOf('raced')).toContain('ct status dnat ct state new ct original packets 2 counter name lost drop');
  expect(rulesOf('healthy')).not.toContain('name lost drop');
});

it('the fault alone is the rule of the raced node, in a table of its own', () => {
  const rule = 'ct status dnat ct state new ct original packets 2 counter name lost drop';
  expect(RACE_TABLE).toContain(rule);
  expect(RACE_TABLE).toMatch(/^table inet race \{/);
  expect(RACE_TABLE).not.toContain('dnat ip to');
});

it.each<[NodeName, string]>([
  ['tcp-closed', 'tcp dport 53 ct status dnat reject with tcp reset'],
  ['tcp-dropped', 'tcp dport 53 ct status dnat drop'],
  ['cache-silent', 'ip daddr 169.254.20.10 drop'],
  ['raced', 'ip daddr 169.254.20.10 notrack'],
  ['intercepting', 'ip daddr { 169.254.20.10, 10.96.0.10 } notrack'],
  ['slow', 'dnat ip to 10.0.0.54'],
])('%s: %s', (node, rule) => {
  expect(rulesOf(node)).toContain(rule);
});
