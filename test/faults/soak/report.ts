import { webhookCounts, slowCalls } from '../../support/api-metrics.ts';
import type { WebhookProcess } from '../../support/webhook-process.ts';
import { decisionsOf, metric, metricOfAll } from '../support/measure.ts';
import type { Cluster } from '../support/world.ts';
import type { Churn } from './churn.ts';
import { growth, type Sample } from './growth.ts';
import type { Traffic } from './traffic.ts';

export interface Seen {
  /** The replicas that ran all the time. */
  readonly stayed: readonly WebhookProcess[];
  readonly samples: readonly (readonly Sample[])[];
  /** How often each disturbance was tried. */
  readonly tried: ReadonlyMap<string, number>;
  readonly churn: Churn;
  readonly traffic: Traffic;
}

/** Counts decisions, and those slower than 2.5 s: the budget is 1.5 s, the registration's timeout 5 s. */
async function decided(replica: WebhookProcess): Promise<{ all: number; slow: number; late: number }> {
  return { ...(await decisionsOf(replica)), late: await metric(replica, 'libc_dns_late_answers_total') };
}

async function background({ cluster }: Cluster, { stayed, churn }: Seen): Promise<string> {
  const path = '/apis/coordination.k8s.io/v1/namespaces/libc-dns/leases/libc-dns-webhook';
  const lease = await cluster.client.request<{ spec: { leaseTransitions?: number } }>({ path });
  const of = async (start: string): Promise<number> => await metricOfAll(stayed, start);
  return [
    `${churn.namespaces} namespaces and ${churn.workloads} workloads came, changed and went`,
    `${churn.verdicts} ImageLibcs were deleted by hand`,
    `${churn.replicas} replicas came and went`,
    `ImageLibcs written ${await of('libc_dns_store_writes_total{kind="verdict",result="written"}')}, deleted ${await of('libc_dns_store_writes_total{kind="delete",result="written"}')}`,
    `images looked up ahead ${await of('libc_dns_warm_up_images_total{result="registry"}')}`,
    `the leader changed ${lease.spec.leaseTransitions ?? 0} times`,
    `steps of a change of CA ${await of('libc_dns_ca_changes_total')}`,
  ].join('; ');
}

/** Prints what was seen. Resolves to the broken promises. */
export async function conclude(opened: Cluster, seen: Seen): Promise<string[]> {
  const { stayed, samples, tried, churn, traffic } = seen;
  const { calls, failedOpen } = await webhookCounts(opened.cluster);
  const late = await slowCalls(opened.cluster);
  const { pods, patched, missed, refused, unreachable, times } = traffic;
  const [p50, p99, most] = [0.5, 0.99, 1].map((share) => times.percentile(share));
  console.log(
    `${pods} Pods: ${refused.length} refused, ${patched} patched, ${missed.length} missed, ${unreachable.length} met no API server; ${calls} calls by the API server, ${failedOpen} failed open, ${late} over 2.5 s; p50 ${p50} ms, p99 ${p99} ms, longest ${most} ms with the API server's own part`,
  );
  const grown = samples.map((one) => growth(one));
  const decisions = await Promise.all(stayed.map(decided));
  for (const [index, { all, slow, late: after }] of decisions.entries()) {
    console.log(
      `replica ${index + 1}: ${grown[index]?.text}; ${all} decisions, ${slow} over 2.5 s, ${after} later than their budget and 100 ms`,
    );
  }
  console.log(`replicas that went: ${churn.decisions.all} decisions, ${churn.decisions.slow} over 2.5 s`);
  console.log(await background(opened, seen));
  console.log([...tried].map(([name, count]) => `${name} ${count}x`).join('; '));
  const slow = decisions.reduce((sum, one) => sum + one.slow, churn.decisions.slow);
  return [
    ...grown.flatMap((one, index) => one.problems.map((problem) => `replica ${index + 1}: ${problem}`)),
    ...refused.slice(0, 5).map((message) => `refused: ${message.slice(0, 300)}`),
    ...missed.slice(0, 5).map((message) => `not patched: ${message.slice(0, 300)}`),
    ...unreachable.slice(0, 5).map((message) => `no API server: ${message.slice(0, 300)}`),
    ...churn.problems.slice(0, 10),
    ...(slow > 0 ? [`${slow} decisions took longer than 2.5 s`] : []),
    ...(late > 0 ? [`${late} calls took longer than 2.5 s, by the API server's count`] : []),
    ...(failedOpen > 0 ? [`${failedOpen} calls failed open`] : []),
  ];
}
