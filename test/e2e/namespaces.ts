import type { Cluster } from './cluster/cluster.ts';
import { until } from './cluster/daemons.ts';
import { untilModeKnown } from './replicas.ts';

type Labels = Readonly<Record<string, string>>;

export const namespaceOf = (name: string, labels: Labels = {}): object => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels },
});

/** Creates a namespace, anew if it is there, and waits until Pods can be created in it, and every replica knows its mode. */
export async function freshNamespace(cluster: Cluster, name: string, labels?: Labels): Promise<void> {
  await cluster.kubectl('delete', 'namespace', name, '--ignore-not-found', '--wait', '--timeout=120s');
  await cluster.apply(namespaceOf(name, labels));
  await until('its ServiceAccount', () => cluster.kubectl('-n', name, 'get', 'serviceaccount', 'default'));
  await untilModeKnown(cluster, name, labels?.['libc-dns.dev/mode']);
}
