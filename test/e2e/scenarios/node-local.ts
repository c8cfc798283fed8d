import type { Cluster } from '../cluster/cluster.ts';
import { until } from '../cluster/daemons.ts';
import { lookUpEverywhere } from '../resolv-conf.ts';
import { expectThat, type Scenario } from '../scenario.ts';
import { compareAnew } from './apps.ts';
import { upgrade } from './install.ts';

const CACHE = ['-n', 'kube-system'] as const;

/** Reports whether a new Pod of musl is redirected. */
async function redirects(cluster: Cluster): Promise<boolean> {
  const pod = [
    'run',
    '-n',
    'default',
    'new',
    '--labels=libc-dns.dev/mode=enforce',
    '--image=registry.e2e.test/apps/musl:1',
    '--dry-run=server',
    '-o',
    'jsonpath={.spec.dnsPolicy}',
  ];
  return (await cluster.kubectl(...pod)) === 'None';
}

const untilNoticed = async (cluster: Cluster, redirected: boolean): Promise<string> => {
  const began = performance.now();
  const change = redirected ? 'a redirect' : 'no redirect';
  await until(change, async () => (await redirects(cluster)) === redirected || undefined, 120_000);
  return ((performance.now() - began) / 1000).toFixed(0);
};

export const rolledOutCache = (cluster: Cluster): Promise<string> =>
  cluster.kubectl(...CACHE, 'rollout', 'status', 'daemonset/node-local-dns', '--timeout=120s');

/** Turns the chart's cache on, and waits until Pods are redirected. Returns the seconds between its readiness and that. */
export async function turnCacheOn(cluster: Cluster): Promise<string> {
  await upgrade(cluster, '--set', 'nodeLocalDns.enabled=true');
  await rolledOutCache(cluster);
  return await untilNoticed(cluster, true);
}

/** Deletes the cache, and waits until Pods are not redirected any more. The chart would keep it. */
export async function turnCacheOff(cluster: Cluster): Promise<void> {
  await cluster.kubectl(...CACHE, 'delete', 'daemonset', 'node-local-dns', '--ignore-not-found', '--wait');
  await untilNoticed(cluster, false);
}

/** The chart's own node-local cache. */
export const nodeLocal: Scenario = {
  id: 'node-local',
  name: "the chart's node-local cache is turned on, then killed under running Pods",
  async run(cluster) {
    const noticed = await turnCacheOn(cluster);
    const seen = await compareAnew(cluster, ['--node-local', 'on']);
    await turnCacheOff(cluster);
    const failed = await lookUpEverywhere(cluster, ['www.example.com', 'glibc']);
    expectThat(failed.length === 0, failed.join('\n'));
    return `redirected ${noticed} s after the cache was ready; ${seen}; without the cache names still resolve`;
  },
};
