import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

import { applyVerdict } from '../../../src/image-libc/writes.ts';
import { KubeError } from '../../../src/kubernetes/errors.ts';
import { binary } from '../../support/cluster.ts';
import { foundMusl, keyOf } from '../../support/image-libc.ts';
import { createPod, optionsOf, type PodObject } from '../../support/pods.ts';
import { decisionsOf } from '../support/measure.ts';
import type { Cluster } from '../support/world.ts';

/** Counts of what is created and deleted besides Pods. */
export interface Churn {
  namespaces: number;
  workloads: number;
  /** ImageLibcs deleted by hand. */
  verdicts: number;
  /** Replicas started and ended by SIGTERM. */
  replicas: number;
  /** Decisions of replicas that have ended; `slow` ones took longer than 2.5 s. */
  readonly decisions: { all: number; slow: number };
  readonly problems: string[];
}

const CONTROLLERS = [
  'namespace-controller',
  'deployment-controller',
  'replicaset-controller',
  'garbage-collector-controller',
];

/** Starts Kubernetes' controllers, which create Pods and finish deleting namespaces. Returns a function that ends them. */
export function startControllers({ cluster }: Cluster): () => void {
  const program = binary('kube-controller-manager');
  if (program === undefined) {
    console.error('!! no kube-controller-manager: workloads have no Pods here');
    return () => {};
  }
  const flags = [`--kubeconfig=${cluster.kubeconfig}`, '--leader-elect=false', '--secure-port=0'];
  const child = spawn(program, [...flags, `--controllers=${CONTROLLERS.join(',')}`], { stdio: 'ignore' });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  return kill;
}

const VERDICTS = '/apis/libc-dns.dev/v1alpha1/imagelibcs';
const OLD = 'registry.example.com/old';
const KEPT = 60;

interface Verdict {
  readonly metadata: { readonly name: string; readonly creationTimestamp: string };
  readonly spec: { readonly image: string };
}

/** Deletes all but the newest ImageLibcs; those in use must be written again. */
async function prune({ cluster: { client } }: Cluster, churn: Churn): Promise<void> {
  const { items } = await client.request<{ items: Verdict[] }>({ path: VERDICTS, timeoutMs: 30_000 });
  const found = items.filter(({ spec }) => !spec.image.startsWith(OLD));
  const byAge = found.toSorted((a, b) => b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp));
  for (const { metadata } of byAge.slice(KEPT)) {
    // A replica may have deleted it already.
    await client
      .request({ method: 'DELETE', path: `${VERDICTS}/${metadata.name}`, timeoutMs: 30_000 })
      .catch((error: unknown) => {
        if (!(error instanceof KubeError && error.code === 'not-found')) throw error;
      });
    churn.verdicts += 1;
  }
}

/** Writes verdicts unused for two hours, longer than the configuration keeps them. */
export async function writeUnused({ cluster }: Cluster, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    const key = keyOf(`${OLD}/service-${index}:v1`);
    const digest = `sha256:${index.toString(16).padStart(64, '0')}`;
    const found = foundMusl(Date.now() - 7_200_000, { digest });
    await cluster.client.request({ ...applyVerdict(key, found), timeoutMs: 60_000 });
  }
}

const MODES = ['enforce', 'audit', 'off', undefined] as const;

/** Creates a namespace with Pods, changes its label, creates more Pods and deletes it. */
async function namespace({ cluster, registry }: Cluster, turn: number, churn: Churn): Promise<void> {
  const name = `fleeting-${turn}`;
  const mode = MODES[turn % MODES.length];
  await cluster.createNamespace(name, mode === undefined ? {} : { 'libc-dns.dev/mode': mode });
  const pods = async (): Promise<void> => {
    await createPod(cluster, name, { name: `known-${Date.now()}` });
    const spec = { containers: [{ name: 'main', image: registry.newImage() }] };
    await createPod(cluster, name, { name: `new-${Date.now()}`, spec, annotations: {} });
  };
  await pods();
  await cluster.kubectl(['label', '--overwrite', 'namespace', name, 'libc-dns.dev/mode=enforce']);
  await sleep(5000);
  await pods();
  await cluster.client.request({ method: 'DELETE', path: `/api/v1/namespaces/${name}`, timeoutMs: 30_000 });
  churn.namespaces += 1;
}

const WORKLOADS = 'workloads';
const DEPLOYMENTS = `/apis/apps/v1/namespaces/${WORKLOADS}/deployments`;

/** Creates a Deployment, changes the image of another, deletes a third. */
async function workload({ cluster, registry }: Cluster, turn: number, churn: Churn): Promise<void> {
  const image = registry.newImage();
  const labels = { app: `app-${turn}` };
  const containers = [{ name: 'main', image }];
  const spec = {
    replicas: 1,
    selector: { matchLabels: labels },
    template: { metadata: { labels }, spec: { containers } },
  };
  const { client, kubectl } = cluster;
  await client.request({ method: 'POST', path: DEPLOYMENTS, body: { metadata: { name: labels.app }, spec } });
  if (turn >= 3) {
    const changed = ['set', 'image', `deployment/app-${turn - 3}`, `main=${registry.newImage()}`];
    await kubectl(['-n', WORKLOADS, ...changed]);
  }
  const query = { propagationPolicy: 'Background' };
  if (turn >= 12) await client.request({ method: 'DELETE', path: `${DEPLOYMENTS}/app-${turn - 12}`, query });
  churn.workloads += 1;
}

/** Runs another replica with an undisturbed connection to the API server, and ends it as in a rolling restart. */
async function replica({ installation }: Cluster, _turn: number, churn: Churn): Promise<void> {
  const third = await installation.addReplica();
  await sleep(45_000);
  const { all, slow } = await decisionsOf(third);
  churn.decisions.all += all;
  churn.decisions.slow += slow;
  const code = await installation.removeReplica(third);
  if (code !== 0) churn.problems.push(`a replica ended with ${code}`);
  churn.replicas += 1;
}

async function again(
  everyMs: number,
  until: number,
  churn: Churn,
  run: (turn: number) => Promise<void>,
): Promise<void> {
  for (let turn = 0; performance.now() < until; turn += 1) {
    const started = performance.now();
    await run(turn).catch(({ message }: Error) => churn.problems.push(message.slice(0, 400)));
    await sleep(Math.max(100, everyMs - (performance.now() - started)));
  }
}

/** Creates and deletes namespaces, workloads and replicas until `until`, a time of `performance.now()`. */
export async function startChurn(opened: Cluster, until: number): Promise<Churn> {
  await opened.cluster.createNamespace(WORKLOADS, { 'libc-dns.dev/mode': 'enforce' });
  const churn: Churn = {
    namespaces: 0,
    workloads: 0,
    verdicts: 0,
    replicas: 0,
    decisions: { all: 0, slow: 0 },
    problems: [],
  };
  await Promise.all([
    again(10_000, until, churn, (turn) => namespace(opened, turn, churn)),
    again(10_000, until, churn, () => prune(opened, churn)),
    again(4000, until, churn, (turn) => workload(opened, turn, churn)),
    again(60_000, until - 50_000, churn, (turn) => replica(opened, turn, churn)),
  ]);
  const left = await opened.cluster.client.request<{ items: PodObject[] }>({
    path: `/api/v1/namespaces/${WORKLOADS}/pods`,
  });
  const missed = left.items.filter((pod) => optionsOf(pod).length === 0);
  if (missed.length > 0) churn.problems.push(`${missed.length} Pods of workloads were not patched`);
  return churn;
}
