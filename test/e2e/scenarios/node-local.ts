import { globSync, readFileSync } from 'node:fs';

import type { Cluster } from '../cluster/cluster.ts';
import { until } from '../cluster/daemons.ts';
import { NODES } from '../cluster/place.ts';
import { questionsToCaches } from '../questions.ts';
import { untilDecided } from '../replicas.ts';
import { lookUpEverywhere } from '../resolv-conf.ts';
import { expectThat, type Scenario } from '../scenario.ts';
import { compareAnew } from './apps.ts';
import { upgrade } from '../installation.ts';

const CACHE_ADDRESS = '169.254.20.10';

/** Of the workloads, 11 containers are redirected, and each asks for A and AAAA at least. */
const QUESTIONS = 22;

const CACHE = ['-n', 'kube-system'] as const;

export const rolledOutCache = (cluster: Cluster): Promise<string> =>
  cluster.kubectl(...CACHE, 'rollout', 'status', 'daemonset/node-local-dns', '--timeout=120s');

/** Turns the chart's cache on, and waits for it. Returns the seconds from its readiness until every replica redirects. */
export async function turnCacheOn(cluster: Cluster): Promise<string> {
  await upgrade(cluster, '--set', 'nodeLocalDns.enabled=true');
  await rolledOutCache(cluster);
  const began = performance.now();
  await untilDecided(cluster, 'MuslRedirected');
  return ((performance.now() - began) / 1000).toFixed(0);
}

/** Deletes the cache, and waits until no replica redirects to it. The chart would keep it. */
export async function turnCacheOff(cluster: Cluster): Promise<void> {
  await cluster.kubectl(...CACHE, 'delete', 'daemonset', 'node-local-dns', '--ignore-not-found', '--wait');
  await untilDecided(cluster, 'MuslRetried');
}

interface CachePods {
  readonly items: readonly {
    readonly status: {
      readonly containerStatuses: readonly { readonly restartCount: number; readonly ready: boolean }[];
    };
  }[];
}

function killProcesses(): void {
  const files = globSync('/proc/[0-9]*/cmdline').filter((file) => {
    try {
      return readFileSync(file, 'utf8').startsWith('/node-cache\0');
    } catch {
      // The process has ended meanwhile.
      return false;
    }
  });
  expectThat(files.length === NODES.length, `${files.length} processes of the cache`);
  for (const file of files) process.kill(Number(file.split('/')[2]), 'SIGKILL');
}

/** Kills the caches of all nodes twice: the kubelet waits ten seconds before it starts them again. */
async function killCaches(cluster: Cluster): Promise<void> {
  killProcesses();
  await until('the caches, started again', async () => {
    const { items } = await cluster.get<CachePods>(...CACHE, 'pods', '-l', 'k8s-app=node-local-dns');
    const all = items.flatMap(({ status }) => status.containerStatuses);
    return all.every(({ ready, restartCount }) => ready && restartCount > 0) || undefined;
  });
  killProcesses();
}

/** The chart's own node-local cache. */
export const nodeLocal: Scenario = {
  id: 'node-local',
  name: "the chart's node-local cache is turned on, then killed under running Pods",
  async run(cluster) {
    const noticed = await turnCacheOn(cluster);
    const before = await questionsToCaches(CACHE_ADDRESS);
    const seen = await compareAnew(cluster, ['--node-local', 'on']);
    const questions = (await questionsToCaches(CACHE_ADDRESS)) - before;
    expectThat(questions >= QUESTIONS, `the caches got ${questions} questions of redirected Pods`);
    await killCaches(cluster);
    const killed = await lookUpEverywhere(cluster, ['www.example.com', 'glibc']);
    expectThat(killed.length === 0, `with the caches killed: ${killed.join('\n')}`);
    await turnCacheOff(cluster);
    const failed = await lookUpEverywhere(cluster, ['www.example.com', 'glibc']);
    expectThat(failed.length === 0, failed.join('\n'));
    return `redirected by every replica ${noticed} s after the cache was ready; ${seen}; ${questions} questions to the caches; names still resolve when they are killed, and when they are gone`;
  },
};
