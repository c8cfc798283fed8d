import { randomUUID } from 'node:crypto';

import { webhookCounts } from '../../support/api-metrics.ts';
import { startLoad } from '../../support/load.ts';
import { createPod, optionsOf, type PodObject } from '../../support/pods.ts';
import type { WebhookProcess } from '../../support/webhook-process.ts';
import { keep } from '../fault.ts';
import { counting, Times } from './measure.ts';
import type { Cluster } from './world.ts';

/** The outcome of Pods created through the API. */
export interface Created {
  readonly pods: number;
  readonly patched: number;
  /** Pods that the API server let through because the webhook did not answer in time. */
  readonly failedOpen: number;
  /** Time of the whole request to the API server. */
  readonly times: Times;
}

/** The registration's timeout in milliseconds. */
export const DEADLINE_MS = 5000;

/** Creates a Pod as a dry run. Rejects if it is refused. */
export async function rehearse(
  { cluster }: Pick<Cluster, 'cluster'>,
  { namespace = 'shop', ...pod }: { namespace?: string; image?: string; spec?: object } = {},
): Promise<PodObject> {
  const image = pod.image === undefined ? {} : { spec: { containers: [{ name: 'main', image: pod.image }] } };
  const request = {
    name: `pod-${randomUUID()}`,
    ...(pod.image !== undefined && { annotations: {} }),
    ...image,
    ...(pod.spec && { spec: { ...pod.spec } }),
  };
  return await createPod({ client: cluster.client }, namespace, request, { dryRun: 'All' });
}

export const isPatched = (pod: PodObject): boolean => optionsOf(pod).includes('attempts:10');

/** Returns the replica that the API server calls most: it keeps its connections. */
export async function busiest(world: Cluster): Promise<WebhookProcess> {
  const { replicas } = world.installation;
  const counts = await Promise.all(
    replicas.map((replica) => counting([replica], 'libc_dns_decision_duration_seconds_count')),
  );
  for (let pod = 0; pod < 20; pod += 1) await rehearse(world);
  const asked = await Promise.all(counts.map((count) => count()));
  const most = replicas[asked.indexOf(Math.max(...asked))];
  if (most === undefined) throw new Error('there is no replica');
  return most;
}

/** Creates Pods at a fixed rate while `during` runs. Rejects if one is refused. */
export async function createPods(
  world: Pick<Cluster, 'cluster'>,
  perSecond: number,
  during: () => Promise<unknown>,
): Promise<Created> {
  const before = await webhookCounts(world.cluster);
  const times = new Times();
  const load = startLoad(perSecond, 100_000, async () => {
    const started = performance.now();
    const pod = await rehearse(world);
    times.add(performance.now() - started);
    return isPatched(pod);
  });
  const failed = await during().then(
    () => undefined,
    (error: unknown) => error as Error,
  );
  const all = await load.stop();
  if (failed !== undefined) throw failed;
  const after = await webhookCounts(world.cluster);
  return {
    pods: all.length,
    patched: all.filter(Boolean).length,
    failedOpen: after.failedOpen - before.failedOpen,
    times,
  };
}

/** Returns `120 Pods, none refused, 120 patched, …`. Throws if more than `mostUnpatched` Pods were not patched. */
export function told({ pods, patched, failedOpen, times }: Created, mostUnpatched = 0): string {
  const text = `${pods} Pods, none refused, ${patched} patched, ${failedOpen} calls failed open, p99 ${times.percentile(0.99)} ms`;
  keep(pods > 0 && pods - patched <= mostUnpatched, text);
  return text;
}

/** Returns the spec of a Pod of 2.9 MB, about the largest that an API server accepts. */
export const largestSpec = (): Record<string, unknown> => ({
  containers: [
    {
      name: 'main',
      image: 'registry.test/app:1',
      env: Array.from({ length: 290 }, (_, index) => ({ name: `E${index}`, value: 'x'.repeat(10_000) })),
    },
  ],
});
