import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { writeNamespaces } from '../../support/many-objects.ts';
import { keep, type Fault } from '../fault.ts';
import { counting, held, machineStalls, metric, metricOfAll, pidOf, seconds, until } from '../support/measure.ts';
import { busiest, createPods, isPatched, rehearse, told } from '../support/pods.ts';
import { childPid, type Cluster } from '../support/world.ts';

const alive = async ({ cluster }: Cluster): Promise<boolean> =>
  await cluster.kubectl(['get', '--raw', '/readyz', '--request-timeout=2s']).then(
    (text) => text === 'ok',
    () => false,
  );

/** Kills the API server and starts it again with the same arguments after `afterMs`. */
async function restart(opened: Cluster, afterMs: number): Promise<ChildProcess> {
  const pid = childPid('kube-apiserver');
  const [program = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
  process.kill(pid, 'SIGKILL');
  await sleep(afterMs);
  const child = spawn(program, args, { stdio: 'ignore' });
  process.once('exit', () => child.kill('SIGKILL'));
  await until(
    () => alive(opened),
    (is) => is,
    { ms: 60_000, what: 'the API server is not ready' },
  );
  return child;
}

const apiServer: Fault = {
  id: 'api-server-restart',
  name: 'kill -9 of the API server, started again 5 s later',
  promise: 'replicas go on with what they know, stay ready, and follow the cluster again by themselves',
  alsoIn: 'test/cluster/faults.test.ts, test/cluster/namespaces.test.ts',
  async run(world) {
    const opened = await world.cluster();
    const { cluster } = opened;
    await restart(opened, 5000);
    const started = performance.now();
    const created = await createPods(opened, 10, () => sleep(5000));
    const later = `later-${Date.now()}`;
    await cluster.createNamespace(later, { 'libc-dns.dev/mode': 'enforce' });
    await until(async () => isPatched(await rehearse(opened, { namespace: later })), Boolean, { ms: 60_000 });
    const first = await busiest(opened);
    const contact = async (): Promise<number> =>
      Date.now() / 1000 -
      (await metric(first, 'libc_dns_informer_last_contact_timestamp_seconds{resource="namespaces"}'));
    await until(contact, (age) => age < 10, { ms: 60_000, what: 'the namespaces are not followed' });
    return `at once ${told(created)}; watched again after ${seconds(performance.now() - started)}`;
  },
};

const etcd: Fault = {
  id: 'etcd-slow',
  name: 'etcd stands still for 0.4 s of each 0.5 s, for 15 s',
  promise: 'Pods that the API server itself still gets through are patched; no Pod is refused by us',
  async run(world) {
    const opened = await world.cluster();
    const pid = childPid('etcd');
    world.afterwards(() => process.kill(pid, 'SIGCONT'));
    const created = await createPods(opened, 5, async () => {
      const end = performance.now() + 15_000;
      while (performance.now() < end) {
        process.kill(pid, 'SIGSTOP');
        await sleep(400);
        process.kill(pid, 'SIGCONT');
        await sleep(100);
      }
    });
    return told(created);
  },
};

const blackHole: Fault = {
  id: 'registry-black-hole',
  name: 'a registry that takes requests and never answers',
  promise:
    'a Pod waits for it 1.5 s at most, and not at all once it is known to fail; images are read again within a minute after it is well',
  alsoIn: 'test/registry/faults.test.ts',
  async run(world) {
    const opened = await world.cluster();
    const { registry, installation } = opened;
    registry.fail({ kind: 'hang' });
    world.afterwards(() => registry.fail(undefined));
    const late = await counting(installation.replicas, 'libc_dns_late_answers_total');
    const stalls = machineStalls();
    const waited = async (): Promise<number> => {
      const started = performance.now();
      await rehearse(opened, { image: registry.newImage() });
      return performance.now() - started;
    };
    const first = await Promise.all(Array.from({ length: 30 }, waited));
    const stalled = stalls();
    const lateOnes = await late();
    await until(
      async () => {
        await rehearse(opened, { image: registry.newImage() });
        return await metricOfAll(installation.replicas, 'libc_dns_registries_failing');
      },
      (failing) => failing === installation.replicas.length,
      { ms: 90_000, what: 'registries known to fail' },
    );
    const then = await Promise.all(Array.from({ length: 10 }, waited));
    registry.fail(undefined);
    const mended = performance.now();
    await until(async () => isPatched(await rehearse(opened, { image: registry.newImage() })), Boolean, {
      ms: 60_000,
      what: 'read again',
    });
    const [most, once] = [Math.max(...first), Math.max(...then)];
    const seen = `30 Pods waited up to ${seconds(most)}, once it was known ${seconds(once)}; ${lateOnes} late; well ${seconds(performance.now() - mended)} after it was; stalled ${stalled} ms`;
    keep(most < 2000 + 2 * stalled && once < 1000 + 2 * stalled && (lateOnes === 0 || stalled > 100), seen);
    return seen;
  },
};

const namespaces: Fault = {
  id: 'ten-thousand-namespaces',
  name: '10,000 namespaces created as fast as the API server can, Pods meanwhile',
  promise: 'each Pod gets what its namespace says, from the first second; memory stays under the limit of 512 MB',
  alsoIn: 'test/cluster/replicas.test.ts',
  long: true,
  async run(world) {
    const opened = await world.cluster();
    const { installation, cluster } = opened;
    const started = performance.now();
    let took = 0;
    const created = await createPods(opened, 5, async () => {
      await writeNamespaces(cluster.client, 10_000);
      took = performance.now() - started;
    });
    const newest = await Promise.all(
      [9998, 9999].map(async (index) => {
        // Also creates the service account: no controller runs here that would.
        await cluster.createNamespace(`team-${index}`);
        return isPatched(await rehearse(opened, { namespace: `team-${index}` }));
      }),
    );
    const all = await Promise.all(installation.replicas.map((replica) => held(pidOf(replica))));
    const seen = `${told(created)} while 10,000 came in ${seconds(took)}; enforce ${newest[0]}, audit ${newest[1]}; memory ${all.map(({ memory }) => memory).join(' and ')} MB`;
    keep(newest[0] === true && newest[1] === false && all.every(({ memory }) => memory < 512), seen);
    return seen;
  },
};

export const clusterFaults: readonly Fault[] = [blackHole, apiServer, etcd, namespaces];
