import type { Cluster } from './cluster/cluster.ts';
import { CLUSTER_DNS, NODE_SEARCH } from './cluster/place.ts';
import { APPS } from './apps.ts';

/** What the kubelet wrote, beside what `explain` says that it will write. */

/** A resolv.conf as `explain -o json` has it. */
interface ResolvConf {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

export interface Explained {
  readonly kind: string;
  readonly name: string;
  readonly reason: string;
  readonly resolvConf?: { readonly after: ResolvConf };
}

interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly labels: { readonly app?: string; readonly 'job-name'?: string };
    readonly deletionTimestamp?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: { readonly dnsPolicy: string; readonly containers: readonly { readonly name: string }[] };
}

/** Returns the text as `explain` has it. The kubelet writes options in any order. */
function parse(text: string): string {
  const words = (key: string): string[] =>
    text.split('\n').flatMap((line) => (line.startsWith(`${key} `) ? line.split(' ').slice(1).filter(Boolean) : []));
  return comparable({ servers: words('nameserver'), searches: words('search'), options: words('options') });
}

const comparable = ({ servers, searches, options }: ResolvConf): string =>
  `${servers.join(' ')} | ${searches.join(' ')} | ${options.toSorted().join(' ')}`;

/** Asks `explain` about the workloads that the cluster has now. */
export async function explained(cluster: Cluster, flags: readonly string[]): Promise<readonly Explained[]> {
  const input = await cluster.kubectl('get', '-n', APPS, 'deployments,statefulsets,daemonsets', '-o', 'yaml');
  const facts = ['--cluster-dns', CLUSTER_DNS, '--cluster-domain', 'cluster.local', '--node-searches', NODE_SEARCH];
  const output = await cluster.libcDns(['explain', '-o', 'json', '--namespace-mode', 'enforce', ...facts, ...flags], {
    input,
    env: { LIBC_DNS_GLIBC_TCP_PREFLIGHT: 'false' },
  });
  return JSON.parse(output) as readonly Explained[];
}

export interface Compared {
  readonly pods: number;
  readonly reasons: Readonly<Record<string, number>>;
  /** One line for each container that has another resolv.conf than `explain` says. */
  readonly different: readonly string[];
}

/** Reads the resolv.conf in each running container of the lasting workloads. */
export async function compare(cluster: Cluster, predictions: readonly Explained[]): Promise<Compared> {
  const { items } = await cluster.get<{ items: readonly Pod[] }>(
    'pods',
    '-n',
    APPS,
    '--field-selector=status.phase=Running',
  );
  const reasons: Record<string, number> = {};
  const different: string[] = [];
  let pods = 0;
  for (const { metadata, spec } of items) {
    const prediction = predictions.find(({ name }) => name === metadata.labels.app);
    // Without servers: the node's own resolv.conf, of which explain knows only what it is told.
    if (metadata.deletionTimestamp !== undefined || !prediction?.resolvConf?.after.servers.length) continue;
    pods += 1;
    reasons[prediction.reason] = (reasons[prediction.reason] ?? 0) + 1;
    const expected = comparable(prediction.resolvConf.after);
    for (const { name } of spec.containers) {
      const found = parse(
        await cluster.kubectl('exec', '-n', APPS, metadata.name, '-c', name, '--', '/probe', 'cat', '/etc/resolv.conf'),
      );
      if (found !== expected) different.push(`${metadata.name}/${name}: ${found}; explain said ${expected}`);
    }
  }
  return { pods, reasons, different };
}

/** Resolves names in each running container that asks the cluster DNS. Returns a line for each that failed. */
export async function lookUpEverywhere(cluster: Cluster, names: readonly string[]): Promise<readonly string[]> {
  const { items } = await cluster.get<{ items: readonly Pod[] }>(
    'pods',
    '-n',
    APPS,
    '--field-selector=status.phase=Running',
  );
  const failed: string[] = [];
  for (const { metadata, spec } of items) {
    const isLasting = metadata.deletionTimestamp === undefined && metadata.labels['job-name'] === undefined;
    if (!isLasting || spec.dnsPolicy === 'Default') continue;
    for (const { name } of spec.containers) {
      for (const wanted of names) {
        const words = ['exec', '-n', APPS, metadata.name, '-c', name, '--', '/probe', 'lookup', wanted];
        await cluster
          .kubectl(...words)
          .catch((error: Error) => failed.push(`${metadata.name}/${name}: ${wanted}: ${error.message}`));
      }
    }
  }
  return failed;
}
