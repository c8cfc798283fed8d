import { join } from 'node:path';

import { command } from '../../lab/command.ts';
import type { Cluster } from './cluster.ts';
import { inNetwork } from './daemons.ts';
import { certificatesOf, NODES, POD_NETWORK } from './place.ts';

/** What enforces NetworkPolicies: the controller of kube-network-policies on each node, and packets queued to it. */

/** Where the controller listens (test/kubernetes/policies). */
const QUEUE = '100';

/**
 * The first packets of a connection, after its destination is translated and before its source is. The controller chooses the same ones
 * with nftables; iptables does it for kernels without CONFIG_NFT_QUEUE. What the node itself sends is let through, as the controller does.
 */
const RULES: readonly (readonly string[])[] = [
  ['-m', 'conntrack', '--ctstate', 'ESTABLISHED,RELATED', '-j', 'ACCEPT'],
  ['-m', 'owner', '--uid-owner', '0', '-j', 'ACCEPT'],
  ['-j', 'NFQUEUE', '--queue-num', QUEUE],
];
const JUMPS = ['-s', '-d'].map((side) => ['POSTROUTING', side, POD_NETWORK, '-j', 'POLICIES']);

async function iptables(node: string, ...words: readonly string[]): Promise<void> {
  const [program, args] = inNetwork(node, 'iptables', ['-w', '-t', 'mangle', ...words]);
  await command(program, args);
}

const nameOn = (node: string): string => `network-policies-${node}`;

async function stop({ daemons }: Cluster): Promise<void> {
  for (const { name } of NODES) {
    for (const jump of JUMPS) await iptables(name, '-D', ...jump);
    await iptables(name, '-F', 'POLICIES');
    await iptables(name, '-X', 'POLICIES');
    await daemons.stop(nameOn(name));
  }
}

/** Lets `run` happen while all nodes enforce NetworkPolicies. */
export async function whileEnforced<T>(cluster: Cluster, run: () => Promise<T>): Promise<T> {
  const { order, daemons } = cluster;
  const kubeconfig = join(certificatesOf(order.folder), 'admin.kubeconfig');
  for (const { name } of NODES) {
    const flags = ['-kubeconfig', kubeconfig, '-node', name];
    daemons.start(nameOn(name), name, join(order.node, 'network-policies'), flags);
    await iptables(name, '-N', 'POLICIES');
    for (const rule of RULES) await iptables(name, '-A', 'POLICIES', ...rule);
    for (const jump of JUMPS) await iptables(name, '-A', ...jump);
  }
  try {
    return await run();
  } finally {
    await stop(cluster);
  }
}
