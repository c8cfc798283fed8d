import { setTimeout as sleep } from 'node:timers/promises';

import { APPS, ENFORCE } from './apps.ts';
import type { Cluster } from './cluster/cluster.ts';
import { until } from './cluster/daemons.ts';
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

/**
 * Makes the namespace of the tests' Pods if it is not there, and waits until its Pods are patched: kube-proxy learns of replicas a
 * moment after the API server does, and a replica that has just started has to read the image once.
 */
async function untilPatched(cluster: Cluster): Promise<void> {
  await cluster.apply(namespaceOf(APPS, ENFORCE));
  await until('its ServiceAccount', () => cluster.kubectl('-n', APPS, 'get', 'serviceaccount', 'default'));
  const isPatched = ({ patch }: Answer): boolean => JSON.stringify(patch).includes('single-request-reopen');
  await untilAllDecide(cluster, 'options for a new Pod', podOf(APPS, 'glibc'), isPatched);
  const pod = ['-n', APPS, 'run', 'new', '--image=registry.e2e.test/apps/glibc:1', '--dry-run=server', '-o', 'json'];
  const throughService = async (): Promise<true | undefined> =>
    (await cluster.kubectl(...pod)).includes('single-request-reopen') || undefined;
  await until('options for a new Pod by the API server', throughService);
}

/** Creates Pods while `change` runs and two seconds before and after. */
async function meanwhile(cluster: Cluster, change: () => Promise<unknown>): Promise<Flood & { readonly open: number }> {
  await untilPatched(cluster);
  const before = await failedOpen(cluster);
  const running = (async (): Promise<void> => {
    await sleep(2000);
    await change();
    await sleep(2000);
  })();
  const seen = await flood(cluster.order, RATE, running);
  await cluster.kubectl('-n', APPS, 'delete', 'pods', '-l', 'flood=yes', '--wait=false', '--grace-period=0', '--force');
  return { ...seen, open: (await failedOpen(cluster)) - before };
}

/** Waits until all replicas are ready. */
export const rollout = ['-n', NAMESPACE, 'rollout', 'status', `deployment/${RELEASE}`, '--timeout=180s'] as const;

/** A change that no Pod may notice; at most `most` may be created unpatched. */
export const change = (id: string, name: string, run: (cluster: Cluster) => Promise<unknown>, most = 0): Scenario => ({
  id,
  name: `${name}, at ${RATE} Pods a second`,
  async run(cluster) {
    const seen = await meanwhile(cluster, () => run(cluster));
    const text = `${floodText(seen)}; calls that failed open: ${seen.open}`;
    expectThat(seen.refused === 0 && seen.unpatched <= most && seen.open <= most, text);
    return text;
  },
});
