import { CLUSTER_DNS, DNS_HOST, NODE_LOCAL, type NodeSpec } from './plan.ts';

/**
 * Drops the packet that loses the race: the second packet of a translated five-tuple while no reply has been seen. In a kernel
 * this happens when `__nf_conntrack_confirm` finds that the entry of the other packet, with the same tuples, came first. Here the
 * entry's packet count decides, so that every race is lost.
 */
const LOSS = 'meta l4proto udp ct status dnat ct state new ct original packets 2 counter name lost drop';

function tcpRule({ tcp }: NodeSpec): string {
  if (tcp === 'open') return '';
  return `tcp dport 53 ct status dnat ${tcp === 'dropped' ? 'drop' : 'reject with tcp reset'}`;
}

/** NodeLocal's exemption from conntrack (dnscache `iptables.go`): without an entry there is no translation and no race. */
function untracked({ intercepts, cache }: NodeSpec, direction: 'daddr' | 'saddr'): string[] {
  const v4 = intercepts ? `{ ${NODE_LOCAL.v4}, ${CLUSTER_DNS.v4} }` : NODE_LOCAL.v4;
  const v6 = intercepts ? `{ ${NODE_LOCAL.v6}, ${CLUSTER_DNS.v6} }` : NODE_LOCAL.v6;
  const verdict = cache === 'silent' ? 'drop' : 'notrack';
  return [`ip ${direction} ${v4} ${verdict}`, `ip6 ${direction} ${v6} ${verdict}`];
}

/** The kernel confirms entries here, right before a packet leaves. */
const CONFIRM = 'filter hook postrouting priority srcnat + 50';

const chain = (name: string, hook: string, rules: readonly string[]): string =>
  `  chain ${name} {\n    type ${hook};\n${rules.map((rule) => `    ${rule}\n`).join('')}  }\n`;

/** Returns the nftables rules of a node: the Service's address translation, the node-local cache's exemption, and the fault. */
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
    chain('confirm', CONFIRM, spec.raced ? [LOSS] : []),
  ];
  return `table inet lab {\n  counter lost { }\n${chains.join('')}}\n`;
}

/** The fault alone, as the table `inet race`, for a node whose own rules translate. Needs `net.netfilter.nf_conntrack_acct`. */
export const RACE_TABLE = `table inet race {\n  counter lost { }\n${chain('confirm', CONFIRM, [LOSS])}}\n`;

/** The nftables rules of a Pod whose network policy lets out all but what these rules drop. */
export const podRules = (rules: readonly string[]): string =>
  `table inet pod {\n${chain('egress', 'filter hook output priority filter', rules)}}\n`;
