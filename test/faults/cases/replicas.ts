import { setTimeout as sleep } from 'node:timers/promises';

import { keep, type Fault } from '../fault.ts';
import { machineStalls, seconds } from '../support/measure.ts';
import { busiest, createPods, DEADLINE_MS, isPatched, largestSpec, rehearse, told } from '../support/pods.ts';

const killed: Fault = {
  id: 'kill-mid-request',
  name: 'kill -9 of the replica that is answering',
  promise:
    'no Pod is refused; of those it was answering some pass as they are, all others are patched by the other replica',
  async run(world) {
    const opened = await world.cluster();
    const { installation, registry } = opened;
    // A hanging look-up keeps a request in flight.
    registry.fail({ kind: 'hang' });
    world.afterwards(() => registry.fail(undefined));
    const victim = await busiest(opened);
    const waiting: Promise<unknown>[] = [];
    const created = await createPods(opened, 20, async () => {
      for (let index = 0; index < 6; index += 1) waiting.push(rehearse(opened, { image: registry.newImage() }));
      await sleep(500);
      victim.process.kill('SIGKILL');
      await sleep(4000);
      await Promise.all(waiting);
    });
    registry.fail(undefined);
    await installation.removeReplica(victim);
    await installation.addReplica();
    return `6 in mid-request; ${told(created, 10)}`;
  },
};

const terminated: Fault = {
  id: 'sigterm-under-load',
  name: 'both replicas replaced one after the other, at 50 Pods a second',
  promise: 'no call is lost: every Pod is patched',
  alsoIn: 'test/cluster/rotation.test.ts, test/server/lifecycle.test.ts',
  async run(world) {
    const { installation, ...rest } = await world.cluster();
    const created = await createPods(rest, 50, async () => {
      for (const old of installation.replicas.slice()) {
        await installation.addReplica();
        const code = await installation.removeReplica(old);
        keep(code === 0, `a replica ended with ${code}`);
      }
    });
    keep(created.failedOpen === 0, told(created));
    return told(created);
  },
};

const blocked: Fault = {
  id: 'event-loop-blocked',
  name: 'the replica that the API server asks stands still for 12 s (SIGSTOP)',
  promise:
    'no Pod is refused or waits longer than 5 s, most are patched by the other one; /livez does not answer meanwhile, so that the kubelet would restart it; then it answers on',
  async run(world) {
    const opened = await world.cluster();
    const stopped = await busiest(opened);
    const stalls = machineStalls();
    let alive = true;
    const created = await createPods(opened, 10, async () => {
      stopped.process.kill('SIGSTOP');
      world.afterwards(() => stopped.process.kill('SIGCONT'));
      alive = await fetch(`${stopped.probes}/livez`, { signal: AbortSignal.timeout(5000) }).then(
        () => true,
        () => false,
      );
      await sleep(7000);
      stopped.process.kill('SIGCONT');
      await sleep(2000);
    });
    const stalled = stalls();
    const afterwards = await createPods(opened, 10, () => sleep(3000));
    const longest = created.times.percentile(1);
    const seen = `${told(created, created.pods)}, longest ${longest} ms; afterwards ${told(afterwards)}`;
    keep(!alive, `/livez answered; ${seen}`);
    keep(longest < DEADLINE_MS + 500 + 2 * stalled, seen);
    keep(created.pods - created.patched < created.pods / 2, seen);
    return seen;
  },
};

const bigPod: Fault = {
  id: 'pod-of-3-mb',
  name: 'a Pod of 2.9 MB, the most that an API server takes; then 20 at once',
  promise: 'patched like any other, within the deadline',
  async run(world) {
    const opened = await world.cluster();
    const started = performance.now();
    keep(isPatched(await rehearse(opened, { spec: largestSpec() })), 'it was not patched');
    const one = performance.now() - started;
    const pods = await Promise.all(Array.from({ length: 20 }, () => rehearse(opened, { spec: largestSpec() })));
    const patched = pods.filter(isPatched).length;
    const seen = `one ${seconds(one)}; of 20 at once ${patched} patched, in ${seconds(performance.now() - started - one)}`;
    keep(patched === 20, seen);
    return seen;
  },
};

export const replicaFaults: readonly Fault[] = [terminated, killed, blocked, bigPod];
