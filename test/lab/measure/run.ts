import { readCapture } from '../capture/pcap.ts';
import { byToken, exchangesOf, type Exchange } from '../capture/story.ts';
import { buildCluster, type Cluster } from '../network/cluster.ts';
import { NODE_LOCAL } from '../network/plan.ts';
import type { Program, ResolverId } from '../preparation/programs.ts';
import type { Kind, Scenario } from '../scenarios/scenario.ts';
import { attempt, attemptDuringRestart, type Attempt } from './attempt.ts';
import { judge, type Problem } from './cell.ts';
import { createLanes } from './lanes.ts';
import type { Sample } from './look-up.ts';
import { planPods } from './plan-pods.ts';
import { startPods, type Running, type Task } from './tasks.ts';

/** What was measured of one resolver in one Pod. */
export interface Cell {
  readonly scenario: string;
  readonly column: string;
  readonly resolver: ResolverId;
  readonly kind: Kind;
  /** Why our explain says it did what it did. */
  readonly reason: string;
  readonly resolvConf: string;
  readonly samples: readonly Sample[];
  readonly problems: readonly Problem[];
  /** How many times it was measured again, because a busy machine made it slow. */
  readonly repeated: number;
}

export interface RunOptions {
  readonly scenarios: readonly Scenario[];
  readonly programs: readonly Program[];
  /** Fresh processes for each cell. */
  readonly runs: number;
  readonly progress: (text: string) => void;
}

const MAX_REPEATS = 4;
const LOCAL = Object.values(NODE_LOCAL);

interface Result extends Attempt {
  readonly repeated: number;
}

/** Those that will wait longest go first, so that the others are measured meanwhile. */
function patience({ expected, plan }: Task): number {
  if (expected.outcome === 'gives up') return Infinity;
  return expected.atLeastMs ?? (plan.column.file === 'before' ? 1 : 0);
}

function disturbed(task: Task, { samples }: Attempt): boolean {
  const problems = judge({ ...task.expected, packets: [] }, { samples, exchanges: [] }, LOCAL);
  return problems.length > 0 && problems.every(({ kind }) => kind === 'disturbed');
}

async function measure(tasks: readonly Task[], { runs, progress }: RunOptions): Promise<Map<Task, Result>> {
  const results = new Map<Task, Result>();
  let left = tasks.toSorted((a, b) => patience(b) - patience(a));
  for (let repeated = 0; repeated <= MAX_REPEATS && left.length > 0; repeated += 1) {
    const lanes = createLanes({ working: repeated === 0 ? 2 : 1, underWay: 250 });
    const round = left.map(async (task) => {
      results.set(task, { ...(await attempt(task, repeated, runs, lanes)), repeated });
    });
    await Promise.all(round);
    left = left.filter((task) => disturbed(task, results.get(task) as Result));
    if (left.length > 0) progress(`the machine was too busy for ${left.length} of these`);
  }
  return results;
}

/** All Pods at once, and all again where one of them was disturbed. */
async function measureRestart(
  cluster: Cluster,
  tasks: readonly Task[],
  { progress }: RunOptions,
): Promise<Map<Task, Result>> {
  for (let repeated = 0; ; repeated += 1) {
    const attempts = await attemptDuringRestart(cluster, tasks, repeated);
    const busy = [...attempts].filter(([task, found]) => disturbed(task, found));
    if (busy.length === 0 || repeated === MAX_REPEATS) {
      return new Map([...attempts].map(([task, found]) => [task, Object.assign(found, { repeated })]));
    }
    progress(`the machine was too busy for ${busy.length} of these`);
  }
}

type Stories = ReadonlyMap<Running, ReadonlyMap<string, readonly Exchange[]>>;

async function readStories(tasks: readonly Task[]): Promise<Stories> {
  const running = [...new Set(tasks.map((task) => task.running))];
  const captures = await Promise.all(running.map(({ recording }) => recording.end()));
  return new Map(captures.map((file, index) => [running[index] as Running, byToken(exchangesOf(readCapture(file)))]));
}

function cellOf(task: Task, { samples, tokens, repeated }: Result, stories: Stories): Cell {
  const { plan, program, kind, reason, resolvConf, expected } = task;
  const exchanges = tokens.map((token) => stories.get(task.running)?.get(token) ?? []);
  const problems = judge(expected, { samples, exchanges }, LOCAL);
  const place = { scenario: plan.scenario.id, column: plan.column.id, resolver: program.id };
  return { ...place, kind, reason, resolvConf, samples, problems, repeated };
}

/** Measures all that the scenarios ask for, in the lab's own machine. Throws where the lab itself does not work. */
export async function runLab(options: RunOptions): Promise<Cell[]> {
  const { scenarios, programs, progress } = options;
  progress('building a cluster of network namespaces');
  const cluster = await buildCluster();
  progress('asking explain for each resolv.conf, starting the Pods');
  const tasks = await startPods(cluster, planPods(scenarios, programs));
  const restarting = tasks.filter(({ plan }) => plan.scenario.restarts);
  const steady = tasks.filter(({ plan }) => !plan.scenario.restarts);
  progress(`measuring ${tasks.length} times ${options.runs} look-ups`);
  const results = await measure(steady, options);
  if (restarting.length > 0) progress('looking names up while a node-local cache restarts');
  for (const [task, result] of await measureRestart(cluster, restarting, options)) results.set(task, result);
  progress('reading the packets');
  const stories = await readStories(tasks);
  return tasks.map((task) => cellOf(task, results.get(task) as Result, stories));
}
