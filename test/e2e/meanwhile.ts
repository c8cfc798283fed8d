import { setTimeout as sleep } from 'node:timers/promises';

import { APPS } from './apps.ts';
import type { Cluster } from './cluster/cluster.ts';
import { type Flood, flood, floodText } from './flood.ts';
import { expectThat, type Scenario } from './scenario.ts';
import { NAMESPACE, RELEASE } from './scenarios/install.ts';

/** Pods a second. */
export const RATE = 20;

/** Returns how many calls of webhooks failed and let their request through, as the API server counts them. */
export async function failedOpen({ kubectl }: Pick<Cluster, 'kubectl'>): Promise<number> {
  const metrics = await kubectl('get', '--raw', '/metrics');
  const lines = metrics.split('\n').filter((line) => line.startsWith('apiserver_admission_webhook_fail_open_count{'));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** Creates Pods while `change` runs and two seconds before and after. */
async function meanwhile(cluster: Cluster, change: () => Promise<unknown>): Promise<Flood & { readonly open: number }> {
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
  repeatable: true,
  async run(cluster) {
    const seen = await meanwhile(cluster, () => run(cluster));
    const text = `${floodText(seen)}; calls that failed open: ${seen.open}`;
    expectThat(seen.refused === 0 && seen.unpatched <= most && seen.open <= most, text);
    return text;
  },
});
