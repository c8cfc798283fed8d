import { setTimeout as sleep } from 'node:timers/promises';

import { APPS } from '../apps.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { type Flood, flood, floodText } from '../flood.ts';
import { lookUpEverywhere } from '../resolv-conf.ts';
import { expectThat, type Scenario } from '../scenario.ts';
import { NAMESPACE, RELEASE, upgrade } from './install.ts';

/** Pods a second. */
const RATE = 20;

async function failedOpen({ kubectl }: Pick<Cluster, 'kubectl'>): Promise<number> {
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

const rollout = ['-n', NAMESPACE, 'rollout', 'status', `deployment/${RELEASE}`, '--timeout=180s'] as const;

const change = (id: string, name: string, run: (cluster: Cluster) => Promise<unknown>, most = 0): Scenario => ({
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

const firstReplica = async (cluster: Cluster): Promise<string> =>
  (
    await cluster.kubectl('-n', NAMESPACE, 'get', 'pods', '-l', 'app.kubernetes.io/name=libc-dns-webhook', '-o', 'name')
  ).split('\n')[0] ?? '';

export const changes: readonly Scenario[] = [
  change('upgrade', 'helm upgrade that replaces every replica', async (cluster) => {
    await upgrade(cluster, '--reuse-values', '--set', `podAnnotations.e2e=at-${Date.now()}`);
  }),
  change('drain', 'the second node is drained, and taken back', async (cluster) => {
    await cluster.kubectl(
      'drain',
      'node2',
      '--ignore-daemonsets',
      '--delete-emptydir-data',
      '--force',
      '--timeout=120s',
    );
    await cluster.kubectl('uncordon', 'node2');
    await cluster.kubectl(...rollout);
  }),
  change('delete', 'a replica is deleted', async (cluster) => {
    await cluster.kubectl('-n', NAMESPACE, 'delete', await firstReplica(cluster), '--wait');
    await cluster.kubectl(...rollout);
  }),
];

/** What is left when it is gone must not stop a Pod. */
export const uninstall: Scenario = {
  id: 'uninstall',
  name: 'helm uninstall: nothing of it stops or changes a Pod, and the node-local cache stays for those that use it',
  async run(cluster) {
    await upgrade(cluster, '--set', 'nodeLocalDns.enabled=true');
    await cluster.helm('uninstall', RELEASE, '-n', NAMESPACE, '--wait');
    const hooks = await cluster.kubectl('get', 'mutatingwebhookconfigurations', '-o', 'name');
    expectThat(hooks.trim() === '', `left: ${hooks}`);
    const before = await failedOpen(cluster);
    await cluster.kubectl('-n', APPS, 'run', 'after', '--image=registry.e2e.test/apps/musl:1');
    await cluster.kubectl('-n', APPS, 'wait', '--for=condition=Ready', 'pod/after', '--timeout=60s');
    const spec = await cluster.kubectl(
      '-n',
      APPS,
      'get',
      'pod',
      'after',
      '-o',
      'jsonpath={.spec.dnsPolicy} {.spec.dnsConfig}',
    );
    expectThat(spec.trim() === 'ClusterFirst' && (await failedOpen(cluster)) === before, spec);
    await cluster.kubectl('-n', 'kube-system', 'rollout', 'status', 'daemonset/node-local-dns', '--timeout=30s');
    const failed = await lookUpEverywhere(cluster, ['www.example.com']);
    expectThat(failed.length === 0, failed.join('\n'));
    return 'no registration left; a new Pod started with what Kubernetes gives it; the cache answers on';
  },
};
