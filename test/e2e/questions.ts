import type { Cluster } from './cluster/cluster.ts';
import { until } from './cluster/daemons.ts';
import { NODES } from './cluster/place.ts';
import { ANSWER_MS } from './replicas.ts';

/** Who was asked for a name: what the log of the cluster DNS and the metrics of the node-local caches tell. */

type Protocol = 'tcp' | 'udp';

/** Returns the protocols by which the cluster DNS was asked for the IPv4 address of each name, a question each. */
export async function asked(cluster: Cluster, names: readonly string[]): Promise<readonly (readonly Protocol[])[]> {
  const log = await cluster.kubectl('-n', 'kube-system', 'logs', '-l', 'k8s-app=kube-dns', '--tail=-1');
  const found = new Map<string, Protocol[]>(names.map((name) => [name, []]));
  for (const [, name = '', protocol] of log.matchAll(/"A IN (\S+) (tcp|udp) /g)) {
    found.get(name)?.push(protocol as Protocol);
  }
  return [...found.values()];
}

/** Waits until the log of the cluster DNS has a question for each name, and returns the protocol of the first. */
export const protocolsOf = (cluster: Cluster, names: readonly string[]): Promise<readonly Protocol[]> =>
  until(`${names.length} names in the log of the cluster DNS`, async () => {
    const first = (await asked(cluster, names)).map(([protocol]) => protocol);
    const missing = names.filter((_, at) => first[at] === undefined);
    if (missing.length > 0) throw new Error(`not asked for: ${missing.join(', ')}`);
    return first as readonly Protocol[];
  });

/** Returns how many questions the caches of all nodes have got at an address, by their metrics. */
export async function questionsToCaches(address: string): Promise<number> {
  let sum = 0;
  for (const node of NODES) {
    const metrics = `http://${node.address}:9253/metrics`;
    const text = await (await fetch(metrics, { signal: AbortSignal.timeout(ANSWER_MS) })).text();
    const lines = text
      .split('\n')
      .filter((line) => line.startsWith('coredns_dns_requests_total{') && line.includes(`dns://${address}:53`));
    sum += lines.reduce((all, line) => all + Number(line.split(' ').at(-1)), 0);
  }
  return sum;
}
