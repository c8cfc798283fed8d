import { globSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Cluster } from '../cluster/cluster.ts';
import { change } from '../meanwhile.ts';
import { expectThat } from '../scenario.ts';
import { NAMESPACE } from './install.ts';

interface Replica {
  readonly metadata: { readonly name: string; readonly uid: string };
}

const FROZEN_MS = 12_000;

const textOf = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // The process has ended meanwhile.
    return '';
  }
};

/** Returns a replica, and the number of its server's process, which all namespaces of processes below ours show here. */
async function someServer(cluster: Cluster): Promise<{ readonly name: string; readonly pid: number }> {
  const label = 'app.kubernetes.io/name=libc-dns-webhook';
  const { items } = await cluster.get<{ items: readonly Replica[] }>('pods', '-n', NAMESPACE, '-l', label);
  const [replica] = items;
  const found = globSync('/proc/[0-9]*/cgroup').find(
    (file) =>
      textOf(file).includes(replica?.metadata.uid ?? '-') &&
      textOf(file.replace(/cgroup$/, 'cmdline')).includes('main.js\0serve'),
  );
  if (replica === undefined || found === undefined) throw new Error('no process of a replica was found');
  return { name: replica.metadata.name, pid: Number(found.split('/')[2]) };
}

const ready = (cluster: Cluster, name: string): Promise<string> =>
  cluster.kubectl('-n', NAMESPACE, 'wait', '--for=condition=Ready', `pod/${name}`, '--timeout=90s');

/** What nobody announces: a call that is under way may be lost, and the API server lets its Pod through unpatched. */
export const replicas = [
  change(
    'kill',
    "a replica's process is killed (SIGKILL)",
    async (cluster) => {
      const { name, pid } = await someServer(cluster);
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
    2,
  ),
  change(
    'freeze',
    `a replica's process is frozen for ${FROZEN_MS / 1000} s (SIGSTOP)`,
    async (cluster) => {
      const { name, pid } = await someServer(cluster);
      process.kill(pid, 'SIGSTOP');
      await sleep(FROZEN_MS);
      process.kill(pid, 'SIGCONT');
      await ready(cluster, name);
    },
    10,
  ),
];
