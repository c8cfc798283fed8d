import { setTimeout as sleep } from 'node:timers/promises';

import { webhookCounts } from '../../support/api-metrics.ts';
import type { WebhookProcess } from '../../support/webhook-process.ts';
import { held, metric, pidOf, type Held } from '../support/measure.ts';
import { closeCluster, openCluster, type Cluster } from '../support/world.ts';
import { DISTURBANCES } from './disturbances.ts';
import { makeNamespaces, startTraffic, type Traffic } from './traffic.ts';

/** Growth from the second quarter of the time to the last, of which more would be a leak. */
export const MOST_GROWTH = { memory: 30, sockets: 20, files: 20 } as const;

const PODS_PER_SECOND = 10;
const SAMPLE_MS = 5000;

type Samples = readonly Held[];

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** Medians of what was held in the second and in the last quarter. */
function quarters(samples: Samples, what: keyof Held): readonly [number, number] {
  const part = (from: number, to: number): number =>
    median(samples.slice(Math.floor(samples.length * from), Math.ceil(samples.length * to)).map((one) => one[what]));
  return [part(0.25, 0.5), part(0.75, 1)];
}

function growth(samples: Samples, replica: number): { text: string; problems: string[] } {
  const parts = Object.entries(MOST_GROWTH).map(([what, most]) => {
    const [early, late] = quarters(samples, what as keyof Held);
    return { text: `${what} ${early} to ${late}`, tooMuch: late - early > most };
  });
  const text = `replica ${replica}: ${parts.map((part) => part.text).join(', ')}`;
  return { text, problems: parts.filter(({ tooMuch }) => tooMuch).map((part) => `replica ${replica}: ${part.text}`) };
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

async function sample(replicas: readonly WebhookProcess[], until: number): Promise<Held[][]> {
  const samples: Held[][] = replicas.map(() => []);
  while (performance.now() < until) {
    await Promise.all(replicas.map(async (replica, index) => samples[index]?.push(await held(pidOf(replica)))));
    await sleep(SAMPLE_MS);
  }
  return samples;
}

/** Decisions, and those that took longer than 2.5 s: the budget is 1.5 s, the registration gives 5 s. */
async function decided(replica: WebhookProcess): Promise<{ all: number; slow: number; late: number }> {
  const all = await metric(replica, 'libc_dns_decision_duration_seconds_count');
  const quick = await metric(replica, 'libc_dns_decision_duration_seconds_bucket{le="2.5"}');
  return { all, slow: all - quick, late: await metric(replica, 'libc_dns_late_answers_total') };
}

function report(traffic: Traffic, failedOpen: number): string {
  const { pods, patched, refused, unreachable, times } = traffic;
  const [p50, p99, most] = [0.5, 0.99, 1].map((share) => times.percentile(share));
  return `${pods} Pods: ${refused.length} refused, ${patched} patched, ${failedOpen} calls failed open, ${unreachable} met no API server; p50 ${p50} ms, p99 ${p99} ms, longest ${most} ms with the API server's own part`;
}

/** Mixed traffic for a while, with faults switched on and off. Resolves to whether all promises were kept. */
export async function soak(ms: number): Promise<boolean> {
  const opened = await openCluster({ replicas: 0 });
  const { installation, proxy, cluster } = opened;
  const started = performance.now();
  const at = (): string => `${Math.round((performance.now() - started) / 1000)} s`;
  try {
    const replicas = [
      await installation.addReplica({ server: proxy.url }),
      await installation.addReplica({ server: proxy.url }),
    ];
    await makeNamespaces(opened);
    const traffic = startTraffic(opened, PODS_PER_SECOND);
    const until = performance.now() + ms;
    const say = (what: string): void => {
      const { pods, patched, refused, unreachable } = traffic.soFar();
      console.error(
        `${at().padStart(7)}  ${pods} Pods, ${patched} patched, ${refused.length} refused, ${unreachable} unreachable; now: ${what}`,
      );
    };
    const [samples, tried] = await Promise.all([sample(replicas, until), disturb(opened, until, say)]);
    const seen = await traffic.stop();
    const { failedOpen } = await webhookCounts(cluster);
    const decisions = await Promise.all(replicas.map(decided));
    const grown = samples.map((one, index) => growth(one, index + 1));
    const slow = decisions.reduce((sum, one) => sum + one.slow, 0);
    const problems = [
      ...grown.flatMap((one) => one.problems),
      ...seen.refused.slice(0, 5),
      ...(slow > 0 ? [`${slow} decisions took longer than 2.5 s`] : []),
    ];
    console.log(report(seen, failedOpen));
    for (const { text } of grown) console.log(text);
    for (const [index, { all, slow: over, late }] of decisions.entries()) {
      console.log(
        `replica ${index + 1}: ${all} decisions, ${over} over 2.5 s, ${late} later than their budget and 100 ms`,
      );
    }
    console.log([...tried].map(([name, times]) => `${name} ${times}x`).join('; '));
    for (const problem of problems) console.log(`NOT KEPT  ${problem}`);
    return problems.length === 0;
  } finally {
    await closeCluster(opened);
  }
}
