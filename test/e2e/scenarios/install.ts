import type { Cluster } from '../cluster/cluster.ts';
import { helmInstall, NAMESPACE, RELEASE } from '../installation.ts';
import { namespaceOf } from '../namespaces.ts';
import { replicasOf } from '../replicas.ts';
import { expectThat, type Scenario } from '../scenario.ts';

const RESTRICTED = 'pod-security.kubernetes.io/enforce';

/** Every Pod has to say what it takes: three replicas, one more during an upgrade, and the test. */
const quota = {
  apiVersion: 'v1',
  kind: 'ResourceQuota',
  metadata: { name: 'strict', namespace: NAMESPACE },
  spec: { hard: { pods: '5', 'requests.cpu': '1', 'requests.memory': '1Gi', 'limits.memory': '2Gi' } },
};

/** Runs `install` in a namespace as careful administrators give it out. Takes both off again: other scenarios run Pods of their own there. */
async function inStrictNamespace(cluster: Cluster, install: () => Promise<string>): Promise<string> {
  await cluster.apply(namespaceOf(NAMESPACE, { [RESTRICTED]: 'restricted' }), quota);
  const seen = await install();
  const { status } = await cluster.get<{ status: { used: Readonly<Record<string, string>> } }>(
    ...(['-n', NAMESPACE, 'resourcequota', 'strict'] as const),
  );
  expectThat(Number(status.used['pods']) >= 3, `the quota counts ${status.used['pods']} Pods`);
  await cluster.kubectl('-n', NAMESPACE, 'delete', 'resourcequota', 'strict');
  await cluster.kubectl('label', 'namespace', NAMESPACE, `${RESTRICTED}-`);
  return seen;
}

/** `helm install` with no values at all, and `helm test`. */
export const install: Scenario = {
  id: 'install',
  name: 'helm install with no values, then helm test',
  async run(cluster) {
    await cluster.helm('uninstall', RELEASE, '-n', NAMESPACE, '--ignore-not-found', '--wait');
    return await inStrictNamespace(cluster, async () => {
      const began = performance.now();
      await helmInstall(cluster);
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      const tested = await cluster.helm('test', RELEASE, '-n', NAMESPACE, '--timeout', '2m');
      expectThat(/Phase:\s+Succeeded/.test(tested), tested);
      const replicas = await replicasOf(cluster);
      const restarts = replicas.flatMap(({ status }) => status.containerStatuses ?? []).map((one) => one.restartCount);
      expectThat(restarts.length >= 3 && restarts.every((count) => count === 0), `restarts: ${restarts.join(', ')}`);
      return `${restarts.length} replicas ready ${seconds} s after the command, none restarted, helm test succeeded, all under Pod Security restricted and a ResourceQuota`;
    });
  },
};
