import { APPS, AUDIT, ENFORCE, lasting, passing } from '../apps.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { until } from '../cluster/daemons.ts';
import { freshNamespace, namespaceOf } from '../namespaces.ts';
import { untilModeKnown } from '../replicas.ts';
import { compare, compareEnded, compareProtocols, explained, lookUpEverywhere } from '../resolv-conf.ts';
import { expectThat, type Scenario } from '../scenario.ts';

const NAMES = ['kubernetes.default.svc.cluster.local', 'glibc', 'www.example.com', 'intranet'];

async function rolledOut(cluster: Cluster): Promise<void> {
  for (const kind of ['deployment', 'statefulset', 'daemonset']) {
    await cluster.kubectl('-n', APPS, 'rollout', 'status', kind, '--timeout=120s');
  }
}

const list = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');

/** Restarts all Pods, and compares each resolv.conf with what `explain` says. */
export async function compareAnew(cluster: Cluster, flags: readonly string[]): Promise<string> {
  await cluster.kubectl('-n', APPS, 'rollout', 'restart', 'deployment,statefulset,daemonset');
  await rolledOut(cluster);
  const { pods, reasons, different } = await compare(cluster, await explained(cluster, flags));
  expectThat(different.length === 0 && pods >= 10, `${pods} Pods, other than explained:\n${different.join('\n')}`);
  const failed = await lookUpEverywhere(cluster, ['www.example.com']);
  expectThat(failed.length === 0, failed.join('\n'));
  return `${pods} Pods as explained: ${list(reasons)}`;
}

/** The usual way in: audit first, then a label. */
export const apps: Scenario = {
  id: 'apps',
  name: 'audit, then enforce by label: each resolv.conf that the kubelet writes is the one that explain predicts',
  async run(cluster) {
    await freshNamespace(cluster, APPS, AUDIT);
    await cluster.apply(...lasting);
    await rolledOut(cluster);
    const audited = await cluster.kubectl(
      'get',
      'pods',
      '-n',
      APPS,
      '-o',
      'jsonpath={.items[*].spec.dnsConfig.options}',
    );
    expectThat(!audited.includes('single-request'), `patched in audit mode: ${audited}`);
    await cluster.apply(namespaceOf(APPS, ENFORCE));
    await untilModeKnown(cluster, APPS, 'enforce');
    const seen = await compareAnew(cluster, []);
    const failed = await lookUpEverywhere(cluster, NAMES);
    expectThat(failed.length === 0, failed.join('\n'));
    const protocols = await compareProtocols(cluster);
    await cluster.apply(...passing);
    const predictions = await explained(cluster, []);
    for (const app of ['once', 'often']) {
      await until(`a Pod of ${app} that ended well`, () => compareEnded(cluster, app, predictions), 180_000);
    }
    return `${seen}; ${NAMES.length} names resolve in each container; ${protocols}; Pods of a Job and of a CronJob as explained, and they did their look-up`;
  },
};
