import { CLUSTER_DNS, DNS_HOST, NODE_LOCAL, type NodeSpec } from './plan.ts';

/**
 * The race's loser, as it is seen from outside: the second packet of a five-tuple that the node translates is dropped
 * while no reply has been seen. In a kernel that is `__nf_conntrack_confirm` finding that the other packet's entry, with
 * the same tuples, got there first; here an entry's own packet count says so, which makes every race lost.
 */
const LOSS = 'meta l4proto udp ct status dnat ct state new ct original packets 2 counter name lost drop';

function tcpRule({ tcp }: NodeSpec): string {
  if (tcp === 'open') return '';
  return `tcp dport 53 ct status dnat ${tcp === 'dropped' ? 'drop' : 'reject with tcp reset'}`;
}

/** NodeLocal's own exemption from conntrack (dnscache `iptables.go`): no entry, so no translation and no race. */
function untracked({ intercepts, cache }: NodeSpec, direction: 'daddr' | 'saddr'): string[] {
  const v4 = intercepts ? `{ ${NODE_LOCAL.v4}, ${CLUSTER_DNS.v4} }` : NODE_LOCAL.v4;
  const v6 = intercepts ? `{ ${NODE_LOCAL.v6}, ${CLUSTER_DNS.v6} }` : NODE_LOCAL.v6;
  const verdict = cache === 'silent' ? 'drop' : 'notrack';
  return [`ip ${direction} ${v4} ${verdict}`, `ip6 ${direction} ${v6} ${verdict}`];
}

const chain = (name: string, hook: string, rules: readonly string[]): string =>
  `  chain ${name} {\n    type ${hook};\n${rules.map((rule) => `    ${rule}\n`).join('')}  }\n`;

/** The nftables rules of a node: the Service's address translation, the node-local cache's exemption, and the fault. */
export function nodeRules(spec: NodeSpec): string {
  const to = DNS_HOST[spec.upstream];
  const translation = [
    `meta l4proto { tcp, udp } ip daddr ${CLUSTER_DNS.v4} th dport 53 dnat ip to ${to.v4}`,
    `meta l4proto { tcp, udp } ip6 daddr ${CLUSTER_DNS.v6} th dport 53 dnat ip6 to ${to.v6}`,
  ];
  const chains = [
    chain('exempt_in', 'filter hook prerouting priority raw', untracked(spec, 'daddr')),
    chain('exempt_out', 'filter hook output priority raw', untracked(spec, 'saddr')),
    chain('service', 'nat hook prerouting priority dstnat', translation),
    chain('forwarded', 'filter hook forward priority filter', [tcpRule(spec)].filter(Boolean)),
    // Where the kernel confirms entries: the last thing before a packet leaves.
    chain('confirm', 'filter hook postrouting priority srcnat + 50', spec.raced ? [LOSS] : []),
  ];
  return `table inet lab {\n  counter lost { }\n${chains.join('')}}\n`;
}
