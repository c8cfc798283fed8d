import { CHART, type Cluster } from './cluster/cluster.ts';
import { NODES } from './cluster/place.ts';

/** The product's release in the cluster. */

export const RELEASE = 'libc-dns-webhook';
export const NAMESPACE = 'libc-dns';

/** `helm upgrade` to the same chart, with flags. */
export const upgrade = (cluster: Cluster, ...flags: readonly string[]): Promise<string> =>
  cluster.helm('upgrade', RELEASE, CHART, '-n', NAMESPACE, '--wait', '--timeout', '3m', ...flags);

/** `helm install` of this chart, or of another, with flags. */
export const helmInstall = (cluster: Cluster, chart: string = CHART, ...flags: readonly string[]): Promise<string> =>
  cluster.helm('install', RELEASE, chart, '-n', NAMESPACE, '--create-namespace', '--wait', '--timeout', '3m', ...flags);

/** Returns the names of our objects of these kinds. */
export async function ours(cluster: Cluster, ...kinds: readonly string[]): Promise<string> {
  const found = await cluster.kubectl('get', kinds.join(','), '-o', 'name');
  return found
    .split('\n')
    .filter((line) => line.includes('libc-dns'))
    .join();
}

/** What the API server applies by itself. */
export const POLICIES = ['mutatingadmissionpolicies', 'validatingadmissionpolicies'] as const;

/** Removes what is installed, in whatever state it is, and installs this chart. */
export async function installAnew(cluster: Cluster): Promise<void> {
  await cluster.kubectl('uncordon', ...NODES.map(({ name }) => name));
  await cluster.helm('uninstall', RELEASE, '-n', NAMESPACE, '--ignore-not-found', '--wait');
  await helmInstall(cluster);
}
