import { setTimeout as sleep } from 'node:timers/promises';
import { readCapture } from '../capture/pcap.ts';
import { byToken, exchangesOf, type Exchange } from '../capture/story.ts';
import { buildCluster } from '../network/cluster.ts';
import { NODE_LOCAL } from '../network/plan.ts';
import type { Program, ResolverId } from '../preparation/programs.ts';
import type { Kind, Scenario } from '../scenarios/scenario.ts';
import { attempt, attemptDuringRestart, type Attempt } from './attempt.ts';
import { judge, type Problem } from './cell.ts';
import { createLanes } from './lanes.ts';
import type { Sample } from './look-up.ts';
import { planPods } from './plan-pods.ts';
import { startPods, type Running, type Task } from './tasks.ts';

/** The measurements of one resolver in one Pod. */
export interface Cell {
  readonly scenario: string;
  readonly column: string;
  readonly resolver: ResolverId;
  readonly kind: Kind;
  /** The reason of our decision, from `explain`. */
  readonly reason: string;
  readonly resolvConf: string;
  readonly samples: readonly Sample[];
  readonly problems: readonly Problem[];
  /** How often it was measured again because the machine was busy. */
  readonly repeated: number;
}

interface RunOptions {
  readonly scenarios: readonly Scenario[];
  readonly programs: readonly Program[];
  /** Fresh processes per cell. */
  readonly runs: number;
  /** Path of CoreDNS; absent: columns with a cache in the Pod are not measured. */
  readonly coreDns?: string;
  readonly progress: (text: string) => void;
}

const MAX_REPEATS = 4;
const LOCAL = Object.values(NODE_LOCAL);

/** Milliseconds until tcpdump has written a packet. */
const SETTLE_MS = 200;

interface Result {
  readonly samples: readonly Sample[];
  readonly problems: readonly Problem[];
  readonly repeated: number;
}

/** Returns the expected duration: the slowest tasks go first, so that the others are measured meanwhile. */
function expectedWait({ expected, plan }: Task): number {
  if (expected.outcome === 'gives up') return Infinity;
  return expected.atLeastMs ?? (plan.column.file === 'before' ? 1 : 0);
}

/** Judges attempts by their times, outcomes and packets. */
async function results(attempts: ReadonlyMap<Task, Attempt>, repeated: number): Promise<Map<Task, Result>> {
  await sleep(SETTLE_MS);
  const stories = new Map<Running, ReadonlyMap<string, readonly Exchange[]>>();
  const storyOf = (running: Running): ReadonlyMap<string, readonly Exchange[]> => {
    const story = stories.get(running) ?? byToken(exchangesOf(readCapture(running.recording.soFar())));
    stories.set(running, story);
    return story;
  };
  const judged = [...attempts].map(([task, { samples, tokens }]): [Task, Result] => {
    const exchanges = tokens.map((token) => storyOf(task.running).get(token) ?? []);
    return [task, { samples, problems: judge(task.expected, { samples, exchanges }, LOCAL), repeated }];
  });
  return new Map(judged);
}

const disturbed = ({ problems }: Result): boolean =>
  problems.length > 0 && problems.every(({ kind }) => kind === 'disturbed');

type Round = (tasks: readonly Task[], number: number) => Promise<ReadonlyMap<Task, Attempt>>;

/** Attempts the tasks, and repeats disturbed ones. `again` returns all tasks of the next round. */
async function inRounds(
  tasks: readonly Task[],
  round: Round,
  again: (disturbed: readonly Task[]) => readonly Task[],
  progress: RunOptions['progress'],
): Promise<Map<Task, Result>> {
  const last = new Map<Task, Result>();
  let left = tasks;
  for (let number = 0; number <= MAX_REPEATS && left.length > 0; number += 1) {
    for (const [task, result] of await results(await round(left, number), number)) last.set(task, result);
    const busy = left.filter((task) => disturbed(last.get(task) as Result));
    if (busy.length > 0) progress(`the machine was too busy for ${busy.length} of these`);
    left = busy.length > 0 ? again(busy) : [];
  }
  return last;
}

async function attemptAll(tasks: readonly Task[], number: number, runs: number): Promise<Map<Task, Attempt>> {
  const lanes = createLanes({ working: number === 0 ? 2 : 1, underWay: 250 });
  const attempts = tasks.map(async (task): Promise<[Task, Attempt]> => [
    task,
    await attempt(task, number, runs, lanes),
  ]);
  return new Map(await Promise.all(attempts));
}

/** Ends all recordings. Rejects if tcpdump has missed packets. */
async function endRecordings(tasks: readonly Task[]): Promise<void> {
  const running = new Set(tasks.map((task) => task.running));
  await Promise.all([...running].map(({ recording }) => recording.end()));
}

function cellOf({ plan, program, kind, reason, resolvConf }: Task, result: Result): Cell {
  const place = { scenario: plan.scenario.id, column: plan.column.id, resolver: program.id };
  return { ...place, kind, reason, resolvConf, ...result };
}

/** Measures all scenarios, inside the isolation. Rejects if the lab itself does not work. */
export async function runLab({ scenarios, programs, runs, coreDns, progress }: RunOptions): Promise<Cell[]> {
  progress('building a cluster of network namespaces');
  const cluster = await buildCluster(coreDns);
  progress('asking explain for each resolv.conf, starting the Pods');
  const tasks = await startPods(cluster, planPods(scenarios, programs, coreDns !== undefined));
  progress(`measuring ${tasks.length} times ${runs} look-ups`);
  const steady = tasks.filter(({ plan }) => !plan.scenario.restarts);
  const ordered = steady.toSorted((a, b) => expectedWait(b) - expectedWait(a));
  const found = await inRounds(
    ordered,
    (some, number) => attemptAll(some, number, runs),
    (busy) => busy,
    progress,
  );
  const restarting = tasks.filter(({ plan }) => plan.scenario.restarts);
  if (restarting.length > 0) progress('looking names up while caches restart');
  const restart: Round = (some, number) => attemptDuringRestart(cluster, some, number);
  const alsoFound = await inRounds(restarting, restart, () => restarting, progress);
  await endRecordings(tasks);
  return tasks.map((task) => cellOf(task, (found.get(task) ?? alsoFound.get(task)) as Result));
}
