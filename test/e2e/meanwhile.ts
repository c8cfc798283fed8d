import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { APPS, ENFORCE } from './apps.ts';
import type { Cluster } from './cluster/cluster.ts';
import { until } from './cluster/daemons.ts';
import { logsOf } from './cluster/place.ts';
import type { Answer } from '../support/reviews.ts';
import { type Flood, flood, floodText } from './flood.ts';
import { expectThat, type Scenario } from './scenario.ts';
import { namespaceOf } from './namespaces.ts';
import { podOf, untilAllDecide } from './replicas.ts';
import { NAMESPACE, RELEASE } from './installation.ts';

/** Pods a second. */
export const RATE = 20;

/** Returns how many calls of webhooks failed and let their request through, as the API server counts them. */
export async function failedOpen({ kubectl }: Pick<Cluster, 'kubectl'>): Promise<number> {
  const metrics = await kubectl('get', '--raw', '/metrics');
  const lines = metrics.split('\n').filter((line) => line.startsWith('apiserver_admission_webhook_fail_open_count{'));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** Returns why calls of webhooks failed and let their request through, as the API server's log has it: each reason without addresses, and how often. */
export function reasonsIn(log: string): string {
  const counts = new Map<string, number>();
  for (const [, reason = ''] of log.matchAll(/Failed calling webhook, failing open .*: (.*)$/gm)) {
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return [...counts].map(([reason, count]) => `${count} ${reason}`).join(', ');
}

/**
 * Makes the namespace of the tests' Pods if it is not there, and waits until its Pods are patched: kube-proxy learns of replicas a
 * moment after the API server does, and a replica that has just started has to read the image once.
 */
export async function untilPatched(cluster: Cluster): Promise<void> {
  await cluster.apply(namespaceOf(APPS, ENFORCE));
  await until('its ServiceAccount', () => cluster.kubectl('-n', APPS, 'get', 'serviceaccount', 'default'));
  const isPatched = ({ patch }: Answer): boolean => JSON.stringify(patch).includes('single-request-reopen');
  await untilAllDecide(cluster, 'options for a new Pod', podOf(APPS, 'glibc'), isPatched);
  const pod = ['-n', APPS, 'run', 'new', '--image=registry.e2e.test/apps/glibc:1', '--dry-run=server', '-o', 'json'];
  const throughService = async (): Promise<true | undefined> =>
    (await cluster.kubectl(...pod)).includes('single-request-reopen') || undefined;
  await until('options for a new Pod by the API server', throughService);
}

/** Pods that were created meanwhile, and what the API server tells of calls that failed open. */
interface Seen extends Flood {
  readonly open: number;
  readonly reasons: string;
}

/** Creates Pods while `change` runs and two seconds before and after. */
async function meanwhile(cluster: Cluster, change: () => Promise<unknown>): Promise<Seen> {
  await untilPatched(cluster);
  const log = join(logsOf(cluster.order.folder), 'kube-apiserver.log');
  const logged = statSync(log).size;
  const before = await failedOpen(cluster);
  const running = (async (): Promise<void> => {
    await sleep(2000);
    await change();
    await sleep(2000);
  })();
  const seen = await flood(cluster.order, RATE, running);
  await cluster.kubectl('-n', APPS, 'delete', 'pods', '-l', 'flood=yes', '--wait=false', '--grace-period=0', '--force');
  const open = (await failedOpen(cluster)) - before;
  return { ...seen, open, reasons: reasonsIn(readFileSync(log).subarray(logged).toString()) };
}

/** Waits until all replicas are ready. */
export const rollout = ['-n', NAMESPACE, 'rollout', 'status', `deployment/${RELEASE}`, '--timeout=180s'] as const;

interface Change extends Scenario {
  readonly run: (cluster: Cluster) => Promise<string>;
}

/** A change that no Pod may notice; at most `most` may be created unpatched. */
export const change = (id: string, name: string, run: (cluster: Cluster) => Promise<unknown>, most = 0): Change => ({
  id,
  name: `${name}, at ${RATE} Pods a second`,
  async run(cluster) {
    const seen = await meanwhile(cluster, () => run(cluster));
    const reasons = seen.open === 0 ? '' : ` (${seen.reasons})`;
    const text = `${floodText(seen)}; calls that failed open: ${seen.open}${reasons}`;
    expectThat(seen.refused === 0 && seen.unpatched <= most && seen.open <= most, text);
    return text;
  },
});
