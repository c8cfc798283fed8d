import { mkdtemp, rm } from 'node:fs/promises';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { bundle } from '../../support/bundle.ts';
import { fixture } from '../../support/reviews.ts';
import type { WebhookProcess } from '../../support/webhook-process.ts';
import { closeCluster, openCluster, type Cluster } from '../support/world.ts';
import { startChurn, startControllers, writeUnused } from './churn.ts';
import { DISTURBANCES } from './disturbances.ts';
import { insideOf, sample } from './holdings.ts';
import { conclude } from './report.ts';
import { makeNamespaces, startTraffic, type RunningTraffic } from './traffic.ts';

const PODS_PER_SECOND = 10;
const UNUSED = 300;

interface SoakOptions {
  /** Milliseconds. */
  readonly ms: number;
  /** Bytes that replicas leak per review, to show that the soak then fails. */
  readonly leak: number;
}

/** Certificates and CA live as short as possible with an API server that may be down for half a minute. */
const SETTINGS = {
  TLS_CA_LIFETIME: '6m',
  TLS_CERT_LIFETIME: '90s',
  TLS_OVERLAP: '20s',
  // The cache is full within minutes: what grows later is a leak.
  DETECTION_CACHE_ENTRIES: '400',
  DETECTION_CACHE_UNUSED_AFTER: '1h',
  DETECTION_CACHE_FAILURE_TTL: '10s',
  DETECTION_CACHE_TAG_TTL: '1m',
};

/** Fills the template cache, so that its memory does not count as a leak. A template is remembered from its second Pod on. */
async function fillTemplates(replicas: readonly WebhookProcess[]): Promise<void> {
  const ordinary = 'x'.repeat(600);
  // The replicas use a self-managed CA.
  const agent = new Agent({ keepAlive: true, rejectUnauthorized: false });
  for (let index = 0; index < 1000; index += 1) {
    const review = fixture('plain');
    review.request.object.spec['nodeSelector'] = { ordinary, index: `${index}` };
    const text = JSON.stringify({ ...review, request: { ...review.request, dryRun: true } });
    for (let time = 0; time < 2; time += 1) await Promise.all(replicas.map((replica) => replica.post(text, { agent })));
  }
  agent.destroy();
}

async function disturb(opened: Cluster, until: number, say: (text: string) => void): Promise<Map<string, number>> {
  const times = new Map<string, number>();
  for (let turn = 0; performance.now() < until; turn += 1) {
    const { name, run } = DISTURBANCES[turn % DISTURBANCES.length] ?? DISTURBANCES[0]!;
    say(name);
    await run(opened).catch((error: Error) => say(`${name} could not be tried: ${error.message.slice(-300)}`));
    times.set(name, (times.get(name) ?? 0) + 1);
    await sleep(Math.max(0, Math.min(10_000, until - performance.now())));
  }
  return times;
}

function sayer(traffic: RunningTraffic): (what: string) => void {
  const started = performance.now();
  return (what) => {
    const { pods, patched, missed, refused, unreachable } = traffic.soFar();
    const at = `${Math.round((performance.now() - started) / 1000)} s`.padStart(7);
    console.error(
      `${at}  ${pods} Pods, ${patched} patched, ${missed.length} missed, ${refused.length} refused, ${unreachable.length} unreachable; now: ${what}`,
    );
  };
}

async function soakOn(opened: Cluster, folder: string, ms: number): Promise<boolean> {
  const { installation, proxy } = opened;
  // Before the first replica starts: it looks for unused verdicts only minutes later.
  await writeUnused(opened, UNUSED);
  const stayed: WebhookProcess[] = [
    await installation.addReplica({ server: proxy.url }),
    await installation.addReplica({ server: proxy.url }),
  ];
  await makeNamespaces(opened);
  await fillTemplates(stayed);
  const stopControllers = startControllers(opened);
  const traffic = startTraffic(opened, PODS_PER_SECOND);
  const until = performance.now() + ms;
  const [samples, tried, churn] = await Promise.all([
    sample(folder, stayed, until),
    disturb(opened, until, sayer(traffic)),
    startChurn(opened, until),
  ]);
  const seen = await traffic.stop();
  const problems = await conclude(opened, { stayed, samples, tried, churn, traffic: seen });
  stopControllers();
  for (const problem of problems) console.log(`NOT KEPT  ${problem}`);
  return problems.length === 0;
}

/**
 * Runs the bundled program for a while under real Pods, workloads, namespaces, certificates and replicas that come and go, with
 * faults switched on and off. Resolves to whether all promises were kept.
 */
export async function soak({ ms, leak }: SoakOptions): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'libc-dns-soak-'));
  const { main, remove } = bundle();
  try {
    const opened = await openCluster({ replicas: 0, main, environment: insideOf(folder, leak), settings: SETTINGS });
    try {
      return await soakOn(opened, folder, ms);
    } finally {
      await closeCluster(opened);
    }
  } finally {
    remove();
    await rm(folder, { recursive: true });
  }
}
