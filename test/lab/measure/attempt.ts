import { setTimeout as sleep } from 'node:timers/promises';
import { startCache, type Cluster } from '../network/cluster.ts';
import { NODES } from '../network/plan.ts';
import type { Sidecar } from '../network/sidecar.ts';
import type { Lanes } from './lanes.ts';
import { lookUp, type Sample } from './look-up.ts';
import type { Task } from './tasks.ts';

/** Look-ups of different names, each by a fresh process. */
export interface Attempt {
  readonly samples: readonly Sample[];
  /** The first labels of the names, in the order of `samples`. */
  readonly tokens: readonly string[];
}

/** Looks up `runs` names. `number` makes them different from other attempts' names. */
export async function attempt(task: Task, number: number, runs: number, lanes: Lanes): Promise<Attempt> {
  const { plan, program, running } = task;
  const tokens = Array.from({ length: runs }, (_, run) => `${plan.column.id}-${program.id}-${number}-${run}`);
  const one = (token: string): Promise<Sample> =>
    lanes.run((waiting) => lookUp(running.place, program, plan.scenario.question(token), waiting));
  return { tokens, samples: await Promise.all(tokens.map(one)) };
}

/** Milliseconds from the first look-up. */
const RESTART = { down: 500, up: 3500, end: 5500, every: 200 } as const;

/** Restarts the caches that the tasks' Pods ask: those in the Pods, else those of their nodes. */
async function restartCaches(cluster: Cluster, tasks: readonly Task[]): Promise<void> {
  const sidecars = new Set(tasks.flatMap(({ running }) => running.sidecar ?? []));
  const others = tasks.filter(({ running }) => running.sidecar === undefined);
  const nodes = new Set(others.map(({ plan }) => plan.node));
  await Promise.all([
    ...[...sidecars].map((sidecar) => restartSidecar(sidecar)),
    ...[...nodes].map((node) => restartCache(cluster, node)),
  ]);
}

async function restartSidecar(sidecar: Sidecar): Promise<void> {
  await sleep(RESTART.down);
  await sidecar.stop();
  await sleep(RESTART.up - RESTART.down);
  await sidecar.start();
}

async function restartCache(cluster: Cluster, node: Task['plan']['node']): Promise<void> {
  const spec = NODES.find(({ name }) => name === node);
  const cache = cluster.caches.get(node);
  if (spec === undefined || cache === undefined) throw new Error(`${node} has no node-local cache`);
  await sleep(RESTART.down);
  await cache.stop();
  await sleep(RESTART.up - RESTART.down);
  cluster.caches.set(node, await startCache(spec));
}

/** Looks up names repeatedly in Pods while the caches that they ask stop and start. `number` as in `attempt`. */
export async function attemptDuringRestart(
  cluster: Cluster,
  tasks: readonly Task[],
  number: number,
): Promise<Map<Task, Attempt>> {
  const restarting = restartCaches(cluster, tasks);
  const started = performance.now();
  const attempts = tasks.map(async (task): Promise<[Task, Attempt]> => {
    const tokens: string[] = [];
    const pending: Promise<Sample>[] = [];
    while (performance.now() - started < RESTART.end) {
      const token = `${task.plan.column.id}-${task.program.id}-${number}-${tokens.length}`;
      tokens.push(token);
      pending.push(lookUp(task.running.place, task.program, task.plan.scenario.question(token)));
      await sleep(RESTART.every);
    }
    return [task, { tokens, samples: await Promise.all(pending) }];
  });
  const done = await Promise.all(attempts);
  await restarting;
  return new Map(done);
}
