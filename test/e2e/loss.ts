import { command } from '../lab/command.ts';
import { RACE_TABLE } from '../lab/network/rules.ts';
import type { Cluster } from './cluster/cluster.ts';
import { inNetwork } from './cluster/daemons.ts';
import { NODES } from './cluster/place.ts';
import { freshNamespace } from './namespaces.ts';

/** The race behind the rules of kube-proxy, and look-ups of Pods that meet it. */

/** Look-ups of one Pod. */
export const COUNT = 30;

/** Absolute, so that it is one look-up, and not one for each search domain. */
const NAME = 'kubernetes.default.svc.cluster.local.';

async function onNode(node: string, program: string, args: readonly string[], input = ''): Promise<string> {
  const [name, words] = inNetwork(node, program, args);
  return await command(name, words, { input });
}

/** Lets `run` happen while every node loses the second packet of a translated connection that has no reply yet, as the lab's do. */
export async function whileRaced<T>(run: () => Promise<T>): Promise<T> {
  for (const { name } of NODES) {
    await onNode(name, 'sysctl', ['-qw', 'net.netfilter.nf_conntrack_acct=1']);
    await onNode(name, 'nft', ['-f', '-'], RACE_TABLE);
  }
  try {
    return await run();
  } finally {
    for (const { name } of NODES) await onNode(name, 'nft', ['delete', 'table', 'inet', 'race']);
  }
}

/** Returns how many packets all nodes have lost so far. */
async function lostPackets(): Promise<number> {
  let sum = 0;
  for (const { name } of NODES) {
    const text = await onNode(name, 'nft', ['list', 'counter', 'inet', 'race', 'lost']);
    sum += Number(/packets (\d+)/.exec(text)?.[1] ?? Number.NaN);
  }
  return sum;
}

/** How long the look-ups of a Pod took, in milliseconds, and what was lost meanwhile. */
export interface Figure {
  readonly median: number;
  readonly worst: number;
  /** Packets that the nodes lost. */
  readonly lost: number;
}

export const figureText = ({ median, worst }: Figure): string => `${Math.round(median)} / ${Math.round(worst)}`;

/** Resolves a name in a Pod, in {@link COUNT} processes. Rejects if one of them fails. */
export async function lookUps(cluster: Cluster, namespace: string, pod: string): Promise<Figure> {
  const before = await lostPackets();
  const words = ['exec', '-n', namespace, pod, '--', '/probe', 'lookup', NAME, String(COUNT)];
  const output = await cluster.kubectl(...words).catch((error: Error) => {
    // What failed begins with the C library's words, everything else with an address.
    const { stdout = '' } = (error.cause ?? {}) as { stdout?: string };
    const failed = stdout.split('\n').filter((line) => /^[A-Z]/.test(line));
    const what = failed[0] ?? error.message;
    throw new Error(`${namespace}/${pod}: ${failed.length} of ${COUNT} look-ups failed: ${what}`, { cause: error });
  });
  const lines = output.trim().split('\n');
  const times = lines.map((line) => Number(line.split(' ').at(-1))).toSorted((a, b) => a - b);
  const [median, worst] = [times[Math.floor(times.length / 2)], times.at(-1)];
  if (times.length !== COUNT || median === undefined || worst === undefined) throw new Error(lines.join('\n'));
  return { median, worst, lost: (await lostPackets()) - before };
}

/** Creates a Pod `glibc` and a Pod `musl` in a namespace, and waits until all its Pods are ready. */
export async function startPair(cluster: Cluster, namespace: string): Promise<void> {
  const pod = (name: string): object => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'app', image: `registry.e2e.test/apps/${name}:1` }],
    },
  });
  await cluster.apply(pod('glibc'), pod('musl'));
  await cluster.kubectl('-n', namespace, 'wait', '--for=condition=Ready', 'pod', '--all', '--timeout=120s');
}

/** Creates a namespace, anew if it is there, and a Pod of each libc in it. */
export async function createPair(
  cluster: Cluster,
  namespace: string,
  labels?: Readonly<Record<string, string>>,
): Promise<void> {
  await freshNamespace(cluster, namespace, labels);
  await startPair(cluster, namespace);
}

/** Returns the reason that each Pod of a namespace carries, in the order of names; `none` if the webhook left it alone. */
export async function reasonsOf(cluster: Cluster, namespace: string): Promise<string> {
  const { items } = await cluster.get<{
    items: readonly { metadata: { annotations?: Readonly<Record<string, string>> } }[];
  }>('pods', '-n', namespace);
  const reasons = items.map(({ metadata }) => {
    const decision = metadata.annotations?.['libc-dns.dev/decision'];
    return decision === undefined ? 'none' : (JSON.parse(decision) as { reason: string }).reason;
  });
  return reasons.join(', ');
}
