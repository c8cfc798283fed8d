import type { ResolvConf } from '../../src/policy/model.ts';
import type { Cluster } from './cluster/cluster.ts';
import { CONTEXT, NODE_SEARCH } from './cluster/place.ts';
import { APPS } from './apps.ts';

/** What the kubelet wrote, beside what `explain` says that it will write. */

interface Explained {
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
  };
  readonly spec: { readonly dnsPolicy: string; readonly containers: readonly { readonly name: string }[] };
}

/** Unlike the product's own, this keeps what stands there twice. */
function parse(text: string): ResolvConf {
  const words = (key: string): string[] =>
    text.split('\n').flatMap((line) => (line.startsWith(`${key} `) ? line.split(' ').slice(1).filter(Boolean) : []));
  return { servers: words('nameserver'), searches: words('search'), options: words('options') };
}

/** The kubelet writes options in any order. */
const comparable = ({ servers, searches, options }: ResolvConf): string =>
  `${servers.join(' ')} | ${searches.join(' ')} | ${options.toSorted().join(' ')}`;

/** Asks `explain` about the workloads that the cluster has now. */
export async function explained(cluster: Cluster, flags: readonly string[]): Promise<readonly Explained[]> {
  const input = await cluster.kubectl('get', '-n', APPS, 'deployments,statefulsets,daemonsets', '-o', 'yaml');
  // All else it reads in the cluster, like a user's.
  const facts = ['--context', CONTEXT, '--cluster-domain', 'cluster.local', '--node-searches', NODE_SEARCH];
  const output = await cluster.libcDns(['explain', '-o', 'json', ...facts, ...flags], { input });
  return JSON.parse(output) as readonly Explained[];
}

interface Compared {
  readonly pods: number;
  readonly reasons: Readonly<Record<string, number>>;
  /** One line for each container that has another resolv.conf than `explain` says. */
  readonly different: readonly string[];
}

/** Returns the Pods that run and are not about to end. */
async function runningPods(cluster: Cluster): Promise<readonly Pod[]> {
  const { items } = await cluster.get<{ items: readonly Pod[] }>(
    'pods',
    '-n',
    APPS,
    '--field-selector=status.phase=Running',
  );
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

const probe = (cluster: Cluster, pod: Pod, container: string, ...words: readonly string[]): Promise<string> =>
  cluster.kubectl('exec', '-n', APPS, pod.metadata.name, '-c', container, '--', '/probe', ...words);

/** Reads the resolv.conf in each running container of the lasting workloads. */
export async function compare(cluster: Cluster, predictions: readonly Explained[]): Promise<Compared> {
  const reasons: Record<string, number> = {};
  const different: string[] = [];
  let pods = 0;
  for (const pod of await runningPods(cluster)) {
    const prediction = predictions.find(({ name }) => name === pod.metadata.labels.app);
    // Without servers: the node's own resolv.conf, of which explain knows only what it is told.
    if (!prediction?.resolvConf?.after.servers.length) continue;
    pods += 1;
    reasons[prediction.reason] = (reasons[prediction.reason] ?? 0) + 1;
    const expected = comparable(prediction.resolvConf.after);
    for (const { name } of pod.spec.containers) {
      const found = comparable(parse(await probe(cluster, pod, name, 'cat', '/etc/resolv.conf')));
      if (found !== expected) different.push(`${pod.metadata.name}/${name}: ${found}; explain said ${expected}`);
    }
  }
  return { pods, reasons, different };
}

/** Resolves names in each running container that asks the cluster DNS. Returns a line for each that failed. */
export async function lookUpEverywhere(cluster: Cluster, names: readonly string[]): Promise<readonly string[]> {
  const failed: string[] = [];
  for (const pod of await runningPods(cluster)) {
    const { metadata, spec } = pod;
    if (metadata.labels['job-name'] !== undefined || spec.dnsPolicy === 'Default') continue;
    for (const { name } of spec.containers) {
      for (const wanted of names) {
        await probe(cluster, pod, name, 'lookup', wanted).catch((error: Error) =>
          failed.push(`${metadata.name}/${name}: ${wanted}: ${error.message}`),
        );
      }
    }
  }
  return failed;
}
