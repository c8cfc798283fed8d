import { globSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Cluster } from '../../cluster/cluster.ts';
import { change } from '../../meanwhile.ts';
import { expectThat } from '../../scenario.ts';
import { NAMESPACE } from '../install.ts';

interface Replica {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: { readonly podIP: string };
}

const FROZEN_MS = 12_000;

/** Returns how many Pods a replica has decided about. Pods can be reached from outside of the nodes. */
async function decisions({ status }: Replica): Promise<number> {
  const metrics = await (await fetch(`http://${status.podIP}:9402/metrics`)).text();
  const lines = metrics.split('\n').filter((line) => line.startsWith('libc_dns_decisions_total{'));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** Returns the replica that the API server calls now: it keeps its connections, and may leave the others alone for long. */
async function busiest(cluster: Cluster): Promise<Replica> {
  const label = 'app.kubernetes.io/name=libc-dns-webhook';
  const { items } = await cluster.get<{ items: readonly Replica[] }>('pods', '-n', NAMESPACE, '-l', label);
  const before = await Promise.all(items.map(decisions));
  await sleep(1000);
  const after = await Promise.all(items.map(decisions));
  const grown = items.map((replica, index) => ({ replica, by: (after[index] ?? 0) - (before[index] ?? 0) }));
  const [most] = grown.toSorted((a, b) => b.by - a.by);
  if (most === undefined || most.by === 0) throw new Error('no replica is called');
  return most.replica;
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
  const { name, uid } = (await busiest(cluster)).metadata;
  const found = globSync('/proc/[0-9]*/cgroup').find(
    (file) => textOf(file).includes(uid) && textOf(file.replace(/cgroup$/, 'cmdline')).includes('main.js\0serve'),
  );
  if (found === undefined) throw new Error(`no process of ${name} was found`);
  return { name, pid: Number(found.split('/')[2]) };
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
      process.kill(pid, 'SIGKILL');
      await sleep(1000);
      await ready(cluster, name);
      const restarts = await cluster.kubectl(
        '-n',
        NAMESPACE,
        'get',
        'pod',
        name,
        '-o',
        'jsonpath={.status.containerStatuses[0].restartCount}',
      );
      expectThat(restarts.trim() !== '0', `${name} was not started again`);
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
