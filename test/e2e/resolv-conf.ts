import type { ResolvConf } from '../../src/policy/model.ts';
import type { Cluster } from './cluster/cluster.ts';
import { CONTEXT, NODE_SEARCH } from './cluster/place.ts';
import { APPS, PRINTS } from './apps.ts';
import { protocolsOf } from './questions.ts';
import { expectThat } from './scenario.ts';

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

const WORKLOADS = 'deployments,statefulsets,daemonsets,jobs,cronjobs';

/** Asks `explain` about the workloads that the cluster has now. */
export async function explained(cluster: Cluster, flags: readonly string[]): Promise<readonly Explained[]> {
  const input = await cluster.kubectl('get', '-n', APPS, WORKLOADS, '-o', 'yaml');
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

/** Returns the Pods in a phase that are not about to be deleted. */
async function podsIn(cluster: Cluster, phase: 'Running' | 'Succeeded'): Promise<readonly Pod[]> {
  const selector = `--field-selector=status.phase=${phase}`;
  const { items } = await cluster.get<{ items: readonly Pod[] }>('pods', '-n', APPS, selector);
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

const probe = (cluster: Cluster, pod: Pod, container: string, ...words: readonly string[]): Promise<string> =>
  cluster.kubectl('exec', '-n', APPS, pod.metadata.name, '-c', container, '--', '/probe', ...words);

/** Reads the resolv.conf in each running container of the lasting workloads. */
export async function compare(cluster: Cluster, predictions: readonly Explained[]): Promise<Compared> {
  const reasons: Record<string, number> = {};
  const different: string[] = [];
  let pods = 0;
  for (const pod of await podsIn(cluster, 'Running')) {
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

/** Compares what a Pod of this app printed of its resolv.conf before it ended well. Resolves to undefined if there is none yet. */
export async function compareEnded(
  cluster: Cluster,
  app: string,
  predictions: readonly Explained[],
): Promise<true | undefined> {
  const pod = (await podsIn(cluster, 'Succeeded')).find(({ metadata }) => metadata.labels.app === app);
  if (pod === undefined) return undefined;
  const found = parse(await cluster.kubectl('-n', APPS, 'logs', pod.metadata.name, '-c', PRINTS));
  const prediction = predictions.find(({ name }) => name === app)?.resolvConf?.after;
  const expected = prediction === undefined ? 'nothing' : comparable(prediction);
  expectThat(comparable(found) === expected, `${pod.metadata.name}: ${comparable(found)}; explain said ${expected}`);
  expectThat(found.options.includes('ndots:5') && found.options.length > 1, `${pod.metadata.name} is not patched`);
  return true;
}

/** Calls `visit` for each running container that asks the cluster DNS. */
async function forEachAsking(cluster: Cluster, visit: (pod: Pod, container: string) => Promise<void>): Promise<void> {
  for (const pod of await podsIn(cluster, 'Running')) {
    const { metadata, spec } = pod;
    if (metadata.labels['job-name'] !== undefined || spec.dnsPolicy === 'Default') continue;
    for (const { name } of spec.containers) await visit(pod, name);
  }
}

/** Resolves names in each running container that asks the cluster DNS. Returns a line for each that failed. */
export async function lookUpEverywhere(cluster: Cluster, names: readonly string[]): Promise<readonly string[]> {
  const failed: string[] = [];
  await forEachAsking(cluster, async (pod, container) => {
    for (const wanted of names) {
      await probe(cluster, pod, container, 'lookup', wanted).catch((error: Error) =>
        failed.push(`${pod.metadata.name}/${container}: ${wanted}: ${error.message}`),
      );
    }
  });
  return failed;
}

/**
 * Resolves a name of its own in each running container, and reads in the log of the cluster DNS how it was asked: over TCP if the
 * container's resolv.conf says use-vc and its resolver knows that, else over UDP. Rejects if one was asked otherwise.
 */
export async function compareProtocols(cluster: Cluster): Promise<string> {
  const series = Date.now().toString(36);
  const all: { readonly where: string; readonly name: string; readonly expected: string }[] = [];
  await forEachAsking(cluster, async (pod, container) => {
    const where = `${pod.metadata.name}/${container}`;
    const name = `${pod.metadata.name}-${container}-${series}.www.example.com.`;
    const { options } = parse(await probe(cluster, pod, container, 'cat', '/etc/resolv.conf'));
    const expected = options.includes('use-vc') && !container.includes('musl') ? 'tcp' : 'udp';
    await probe(cluster, pod, container, 'lookup', name);
    all.push({ where, name, expected });
  });
  const found = await protocolsOf(
    cluster,
    all.map(({ name }) => name),
  );
  const wrong = all.flatMap(({ where, expected }, at) =>
    found[at] === expected ? [] : [`${where}: ${found[at]} instead of ${expected}`],
  );
  const count = (protocol: string): number => found.filter((one) => one === protocol).length;
  if (wrong.length > 0 || count('tcp') === 0 || count('udp') === 0) throw new Error(`asked by ${wrong.join(', ')}`);
  return `${count('tcp')} containers asked the cluster DNS over TCP, ${count('udp')} over UDP`;
}
