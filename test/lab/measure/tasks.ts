import { fileURLToPath } from 'node:url';
import { record, type Recording } from '../capture/record.ts';
import type { Cluster } from '../network/cluster.ts';
import { runWithin, type Place } from '../network/namespaces.ts';
import type { Sidecar } from '../network/sidecar.ts';
import { CLUSTER_DNS, type NodeName } from '../network/plan.ts';
import type { Program } from '../preparation/programs.ts';
import type { Expectation, Kind } from '../scenarios/scenario.ts';
import type { PodPlan } from './plan-pods.ts';
import { predict, type Prediction } from './predict.ts';

/** A running Pod. Pods of a scenario with the same resolv.conf and cache share one. */
export interface Running {
  readonly place: Place;
  readonly recording: Recording;
  readonly sidecar?: Sidecar;
}

/** One resolver in one Pod: what to measure and what to expect. */
export interface Task {
  readonly plan: PodPlan;
  readonly program: Program;
  readonly kind: Kind;
  /** The reason of our decision, from `explain`. */
  readonly reason: string;
  readonly resolvConf: string;
  readonly running: Running;
  readonly expected: Expectation;
}

const PREFLIGHT = fileURLToPath(new URL('../network/preflight.ts', import.meta.url));

/** Returns the nodes on which the webhook's preflight, run in a Pod there, got an answer from the cluster DNS over TCP. */
async function preflights(cluster: Cluster, nodes: ReadonlySet<NodeName>): Promise<ReadonlySet<NodeName>> {
  const answered = new Set<NodeName>();
  const look = async (node: NodeName): Promise<void> => {
    const name = `webhook-${node}`;
    await cluster.addPod(name, node, { resolvConf: '' });
    const answer = await runWithin(name, [process.execPath, PREFLIGHT, ...Object.values(CLUSTER_DNS)]);
    if (answer.trim() === 'true') answered.add(node);
  };
  await Promise.all([...nodes].map(look));
  return answered;
}

function expectationOf({ scenario, column }: PodPlan, program: Program, kind: Kind): Expectation {
  const { expect } = scenario;
  return expect[`${column.id}/${program.id}`] ?? expect[`${column.id}/${kind}`] ?? {};
}

/** Starts each Pod with the resolv.conf that `explain` predicts, and records its packets. */
export async function startPods(cluster: Cluster, plans: readonly PodPlan[]): Promise<Task[]> {
  const answered = await preflights(cluster, new Set(plans.map(({ node }) => node)));
  const predictions = await predict(plans, (node) => answered.has(node));
  const started = new Map<string, Promise<Running>>();
  const start = async (
    namespace: string,
    { node, column, scenario }: PodPlan,
    prediction: Prediction,
  ): Promise<Running> => {
    const egress = scenario.policy?.rules ?? [];
    const place = await cluster.addPod(namespace, node, { ...prediction, egress });
    const recording = await record(namespace);
    const { corefile } = prediction;
    if (corefile === undefined || column.sidecar === 'dead') return { place, recording };
    return { place, recording, sidecar: await cluster.addSidecar(namespace, corefile) };
  };
  const tasks = plans.map(async (plan) => {
    const prediction = predictions.get(plan.name);
    if (prediction === undefined) throw new Error(`no prediction for ${plan.name}`);
    const { reason, resolvConf } = prediction;
    const key = `${plan.scenario.id} ${plan.column.sidecar} ${resolvConf}`;
    const starting = started.get(key) ?? start(`p${started.size}`, plan, prediction);
    started.set(key, starting);
    const running = await starting;
    return plan.containers.map(({ program, kind }): Task => {
      return { plan, program, kind, reason, resolvConf, running, expected: expectationOf(plan, program, kind) };
    });
  });
  return (await Promise.all(tasks)).flat();
}
