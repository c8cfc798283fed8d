import { setTimeout as sleep } from 'node:timers/promises';

import { APPS } from '../../apps.ts';
import type { Cluster } from '../../cluster/cluster.ts';
import { rollout } from '../../meanwhile.ts';
import { expectThat, type Scenario } from '../../scenario.ts';
import { NAMESPACE, RELEASE, helmInstall, upgrade } from '../../installation.ts';

/** Creates a Pod and deletes it again. Resolves to undefined if it was created, else to what the API server said. */
async function refusal(cluster: Cluster, namespace: string): Promise<string | undefined> {
  const place = ['-n', namespace] as const;
  try {
    await cluster.kubectl(...place, 'run', 'closed', '--image=registry.e2e.test/apps/musl:1');
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  await cluster.kubectl(...place, 'delete', 'pod', 'closed', '--force', '--grace-period=0');
  return undefined;
}

/**
 * Creates Pods until one is not refused, and resolves to how many ms that took. That replicas are ready is known to the API server a
 * second before kube-proxy has written their addresses into the kernel's rules; until then the Service refuses connections.
 */
async function admittedAfter(cluster: Cluster, mostMs: number): Promise<number> {
  const from = performance.now();
  for (;;) {
    const refused = await refusal(cluster, APPS);
    const ms = Math.round(performance.now() - from);
    if (refused === undefined) return ms;
    expectThat(ms < mostMs, `refused still after ${ms} ms: ${refused}`);
    await sleep(100);
  }
}

/** The strict setting, and how to get out of it: by replicas that come back, and by an uninstall. */
export const closed: Scenario = {
  id: 'closed',
  name: 'failurePolicy Fail, and every replica is gone: what is refused, what goes on, and how it ends',
  async run(cluster) {
    await upgrade(cluster, '--set', 'webhook.failurePolicy=Fail');
    await admittedAfter(cluster, 2000);
    await cluster.kubectl('-n', NAMESPACE, 'scale', `deployment/${RELEASE}`, '--replicas=0');
    await cluster.kubectl(
      '-n',
      NAMESPACE,
      'wait',
      '--for=delete',
      'pod',
      '-l',
      'app.kubernetes.io/name=libc-dns-webhook',
      '--timeout=90s',
    );
    const refused = await refusal(cluster, APPS);
    expectThat(refused?.includes('failed calling webhook') === true, `in scope: ${refused ?? 'created'}`);
    for (const namespace of ['kube-system', 'default', NAMESPACE]) {
      const said = await refusal(cluster, namespace);
      expectThat(said === undefined, `${namespace} is not in scope, and: ${said}`);
    }
    // Nobody has to help them: their own namespace is not in scope.
    await cluster.kubectl('-n', NAMESPACE, 'scale', `deployment/${RELEASE}`, '--replicas=3');
    await cluster.kubectl(...rollout);
    const back = await admittedAfter(cluster, 10_000);
    await cluster.kubectl('-n', NAMESPACE, 'scale', `deployment/${RELEASE}`, '--replicas=0');
    await cluster.helm('uninstall', RELEASE, '-n', NAMESPACE, '--wait');
    const gone = await admittedAfter(cluster, 2000);
    await helmInstall(cluster);
    return `Pods in scope are refused; Pods of kube-system, of namespaces without a label and the replicas themselves are not; replicas come back by themselves, and ${back} ms after they are ready a Pod has been created; after an uninstall while none runs, in ${gone} ms`;
  },
};
