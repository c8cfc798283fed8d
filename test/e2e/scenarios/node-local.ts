import { APPS } from '../apps.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { until } from '../cluster/daemons.ts';
import { lookUpEverywhere } from '../resolv-conf.ts';
import { expectThat, type Scenario } from '../scenario.ts';
import { compareAnew } from './apps.ts';
import { upgrade } from './install.ts';

const CACHE = ['-n', 'kube-system'] as const;

async function redirects(cluster: Cluster): Promise<true | undefined> {
  const pod = [
    'run',
    '-n',
    APPS,
    'new',
    '--image=registry.e2e.test/apps/musl:1',
    '--dry-run=server',
    '-o',
    'jsonpath={.spec.dnsPolicy}',
  ];
  return (await cluster.kubectl(...pod)) === 'None' ? true : undefined;
}

/** The chart's own node-local cache. */
export const nodeLocal: Scenario = {
  id: 'node-local',
  name: "the chart's node-local cache is turned on, then killed under running Pods",
  async run(cluster) {
    await upgrade(cluster, '--set', 'nodeLocalDns.enabled=true');
    await cluster.kubectl(...CACHE, 'rollout', 'status', 'daemonset/node-local-dns', '--timeout=120s');
    const began = performance.now();
    await until('a redirect', () => redirects(cluster), 120_000);
    const noticed = ((performance.now() - began) / 1000).toFixed(0);
    const seen = await compareAnew(cluster, ['--node-local', 'on']);
    await cluster.kubectl(...CACHE, 'delete', 'daemonset', 'node-local-dns', '--wait');
    const failed = await lookUpEverywhere(cluster, ['www.example.com', 'glibc']);
    expectThat(failed.length === 0, failed.join('\n'));
    return `redirected ${noticed} s after the cache was ready; ${seen}; without the cache names still resolve`;
  },
};
