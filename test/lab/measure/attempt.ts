import { setTimeout as sleep } from 'node:timers/promises';
import { startCache, type Cluster } from '../network/cluster.ts';
import { NODES } from '../network/plan.ts';
import type { Lanes } from './lanes.ts';
import { lookUp, type Sample } from './look-up.ts';
import type { Task } from './tasks.ts';

/** Look-ups by fresh processes, each of a name of its own. */
export interface Attempt {
  readonly samples: readonly Sample[];
  /** The first labels of the names, in the same order. */
  readonly tokens: readonly string[];
}

/** Looks `runs` names up. `number` sets an attempt's names apart from those of others. */
export async function attempt(task: Task, number: number, runs: number, lanes: Lanes): Promise<Attempt> {
  const { plan, program, running } = task;
  const tokens = Array.from({ length: runs }, (_, run) => `${plan.column.id}-${program.id}-${number}-${run}`);
  const one = (token: string): Promise<Sample> =>
    lanes.run((waiting) => lookUp(running.place, program, plan.scenario.question(token), waiting));
  return { tokens, samples: await Promise.all(tokens.map(one)) };
}

/** Milliseconds from the first look-up on. */
const RESTART = { down: 500, up: 3500, end: 5500, every: 200 } as const;

async function restartCache(cluster: Cluster, node: Task['plan']['node']): Promise<void> {
  const spec = NODES.find(({ name }) => name === node);
  const cache = cluster.caches.get(node);
  if (spec === undefined || cache === undefined) throw new Error(`${node} has no node-local cache`);
  await sleep(RESTART.down);
  await cache.stop();
  await sleep(RESTART.up - RESTART.down);
  cluster.caches.set(node, await startCache(spec));
}

/** Looks names up in all Pods of a node again and again while its node-local cache is stopped and started. See `attempt` for `number`. */
export async function attemptDuringRestart(
  cluster: Cluster,
  tasks: readonly Task[],
  number: number,
): Promise<Map<Task, Attempt>> {
  const [first] = tasks;
  if (first === undefined) return new Map();
  const restarting = restartCache(cluster, first.plan.node);
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
