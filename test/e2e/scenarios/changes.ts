import { APPS } from '../apps.ts';
import { change, failedOpen, rollout } from '../meanwhile.ts';
import { replicasOf } from '../replicas.ts';
import { lookUpEverywhere } from '../resolv-conf.ts';
import { expectThat, type Scenario } from '../scenario.ts';
import { NAMESPACE, ours, POLICIES, RELEASE, upgrade } from '../installation.ts';

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
    const [replica] = await replicasOf(cluster);
    await cluster.kubectl('-n', NAMESPACE, 'delete', 'pod', replica?.metadata.name ?? '', '--wait');
    await cluster.kubectl(...rollout);
  }),
];

const BINDINGS = ['mutatingadmissionpolicybindings', 'validatingadmissionpolicybindings'];

/** What is left when it is gone must not stop a Pod. */
export const uninstall: Scenario = {
  id: 'uninstall',
  name: 'helm uninstall: nothing of it stops or changes a Pod, and the node-local cache stays for those that use it',
  async run(cluster) {
    const values = ['nodeLocalDns.enabled=true', 'admissionPolicy.enabled=true', 'admissionPolicy.webhook=true'];
    await upgrade(cluster, ...values.flatMap((value) => ['--set', value]));
    const kinds = ['mutatingwebhookconfigurations', ...POLICIES, ...BINDINGS];
    const installed = await ours(cluster, ...kinds);
    expectThat(installed.includes('mutatingadmissionpolicybinding'), `installed: ${installed}`);
    await cluster.helm('uninstall', RELEASE, '-n', NAMESPACE, '--wait');
    const left = await ours(cluster, ...kinds);
    expectThat(left === '', `left: ${left}`);
    const before = await failedOpen(cluster);
    await cluster.kubectl('-n', APPS, 'delete', 'pod', 'after', '--ignore-not-found', '--wait');
    await cluster.kubectl('-n', APPS, 'run', 'after', '--image=registry.e2e.test/apps/musl:1');
    await cluster.kubectl('-n', APPS, 'wait', '--for=condition=Ready', 'pod/after', '--timeout=120s');
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
    await cluster.kubectl('-n', 'kube-system', 'rollout', 'status', 'daemonset/node-local-dns', '--timeout=120s');
    const failed = await lookUpEverywhere(cluster, ['www.example.com']);
    expectThat(failed.length === 0, failed.join('\n'));
    return 'no registration and no policy left; a new Pod started with what Kubernetes gives it; the cache answers on';
  },
};
