import { globSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Cluster } from '../../cluster/cluster.ts';
import { until } from '../../cluster/daemons.ts';
import { change } from '../../meanwhile.ts';
import { ANSWER_MS, type Replica, replicasOf } from '../../replicas.ts';
import { NAMESPACE } from '../../installation.ts';

const FROZEN_MS = 12_000;

/** Returns how many Pods a replica has decided about. Pods can be reached from outside of the nodes. */
async function decisions({ status }: Replica): Promise<number> {
  const metrics = await (
    await fetch(`http://${status.podIP}:9402/metrics`, { signal: AbortSignal.timeout(ANSWER_MS) })
  ).text();
  const lines = metrics.split('\n').filter((line) => line.startsWith('libc_dns_decisions_total{'));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** Returns the replica that the API server has called most in the last second, undefined if it has called none. */
async function busiest(cluster: Cluster): Promise<Replica | undefined> {
  const items = await replicasOf(cluster);
  const before = await Promise.all(items.map(decisions));
  await sleep(1000);
  const after = await Promise.all(items.map(decisions));
  const grown = items.map((replica, index) => ({ replica, by: (after[index] ?? 0) - (before[index] ?? 0) }));
  const [most] = grown.toSorted((a, b) => b.by - a.by);
  return most === undefined || most.by === 0 ? undefined : most.replica;
}

const textOf = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // The process has ended meanwhile.
    return '';
  }
};

/** Returns the busiest replica, and the number of its server's process as it is seen here, outside of its container. */
async function busyServer(cluster: Cluster): Promise<{ readonly name: string; readonly pid: number }> {
  const { name, uid } = (await until('a replica that is called', () => busiest(cluster), 20_000)).metadata;
  const found = globSync('/proc/[0-9]*/cgroup').find(
    (file) => textOf(file).includes(uid) && textOf(file.replace(/cgroup$/, 'cmdline')).includes('main.js\0serve'),
  );
  if (found === undefined) throw new Error(`no process of ${name} was found`);
  return { name, pid: Number(found.split('/')[2]) };
}

async function restartsOf(cluster: Cluster, name: string): Promise<number> {
  const { status } = await cluster.get<Replica>('-n', NAMESPACE, 'pod', name);
  return status.containerStatuses?.[0]?.restartCount ?? 0;
}

const ready = (cluster: Cluster, name: string): Promise<string> =>
  cluster.kubectl('-n', NAMESPACE, 'wait', '--for=condition=Ready', `pod/${name}`, '--timeout=90s');

/** What nobody announces: a call that is under way may be lost, and the API server lets its Pod through unpatched. */
export const replicas = [
  change(
    'kill',
    'the replica that is called is killed (SIGKILL)',
    async (cluster) => {
      const { name, pid } = await busyServer(cluster);
      const restarts = await restartsOf(cluster, name);
      process.kill(pid, 'SIGKILL');
      // The kubelet takes a moment to see that it has ended; until then the Pod is called ready.
      const started = async (): Promise<true | undefined> =>
        (await restartsOf(cluster, name)) > restarts ? true : undefined;
      await until(`${name}, started again`, started, 60_000);
      await ready(cluster, name);
    },
    // Calls that were under way, and those to its address until it is out of the Service.
    4,
  ),
  change(
    'freeze',
    `the replica that is called is frozen for ${FROZEN_MS / 1000} s (SIGSTOP)`,
    async (cluster) => {
      const { name, pid } = await busyServer(cluster);
      process.kill(pid, 'SIGSTOP');
      await sleep(FROZEN_MS);
      process.kill(pid, 'SIGCONT');
      await ready(cluster, name);
    },
    10,
  ),
];
