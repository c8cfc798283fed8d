import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { writeNamespaces } from '../../support/many-objects.ts';
import { keep, type Fault } from '../fault.ts';
import { held, metric, pidOf, seconds, until } from '../support/measure.ts';
import { createPods, DEADLINE_MS, isPatched, rehearse, told } from '../support/pods.ts';
import { childPid, type Cluster } from '../support/world.ts';

const alive = async ({ cluster }: Cluster): Promise<boolean> =>
  await cluster.kubectl(['get', '--raw', '/readyz', '--request-timeout=2s']).then(
    (text) => text === 'ok',
    () => false,
  );

/** Kills the API server and starts it again, as it was, `afterMs` later. */
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
    const { installation, cluster } = opened;
    await restart(opened, 5000);
    const started = performance.now();
    const created = await createPods(opened, 10, () => sleep(5000));
    const later = `later-${Date.now()}`;
    await cluster.createNamespace(later, { 'libc-dns.dev/mode': 'enforce' });
    await until(async () => isPatched(await rehearse(opened, { namespace: later })), Boolean, { ms: 60_000 });
    const [first] = installation.replicas;
    if (first === undefined) throw new Error('there is no replica');
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
  promise: 'a Pod waits 1.5 s at most, and not at all once the registry is known to fail; all is well soon after it is',
  alsoIn: 'test/registry/faults.test.ts',
  async run(world) {
    const opened = await world.cluster();
    const { registry, installation } = opened;
    registry.fail({ kind: 'hang' });
    world.afterwards(() => registry.fail(undefined));
    const before = await Promise.all(
      installation.replicas.map((replica) => metric(replica, 'libc_dns_late_answers_total')),
    );
    const waited = async (): Promise<number> => {
      const started = performance.now();
      await rehearse(opened, { image: registry.newImage() });
      return performance.now() - started;
    };
    const first = await Promise.all(Array.from({ length: 30 }, waited));
    await until(
      async () => {
        await rehearse(opened, { image: registry.newImage() });
        return await Promise.all(
          installation.replicas.map((replica) => metric(replica, 'libc_dns_registries_failing')),
        );
      },
      (failing) => failing.every((count) => count === 1),
      { ms: 90_000, what: 'registries known to fail' },
    );
    const then = await Promise.all(Array.from({ length: 10 }, waited));
    registry.fail(undefined);
    const mended = performance.now();
    await until(async () => isPatched(await rehearse(opened, { image: registry.newImage() })), Boolean, { ms: 90_000 });
    const after = await Promise.all(
      installation.replicas.map((replica) => metric(replica, 'libc_dns_late_answers_total')),
    );
    const late = after.reduce((sum, count) => sum + count, 0) - before.reduce((sum, count) => sum + count, 0);
    const seen = `30 Pods waited up to ${seconds(Math.max(...first))}, once it was known ${seconds(Math.max(...then))}; ${late} late; well ${seconds(performance.now() - mended)} after it was`;
    keep(Math.max(...first) < DEADLINE_MS && late === 0, seen);
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
        // Makes its service account, which no controller does here.
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
