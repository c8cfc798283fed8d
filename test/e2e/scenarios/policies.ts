import { setTimeout as sleep } from 'node:timers/promises';

import type { Cluster } from '../cluster/cluster.ts';
import { flood, type FloodPod, floodText } from '../flood.ts';
import { ENFORCE } from '../apps.ts';
import { freshNamespace } from '../namespaces.ts';
import { podOf, untilAllDecide } from '../replicas.ts';
import { expectThat, type Scenario } from '../scenario.ts';

const NAMESPACE = 'policed';

/** Pods a second. */
const RATE = 20;

/** Milliseconds that a policy stands before the next change. */
const STANDS_MS = 4000;

/** Milliseconds within which replicas have to know of a change. */
const KNOWN_MS = 1500;

const DNS_PODS = {
  namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } },
  podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
};

/** A policy that lets the flood's Pods ask the cluster DNS by these protocols, and send nothing else. */
const policy = (name: string, ...protocols: readonly ('TCP' | 'UDP')[]): object => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name, namespace: NAMESPACE },
  spec: {
    podSelector: { matchLabels: { flood: 'yes' } },
    policyTypes: ['Egress'],
    egress: [{ to: [DNS_PODS], ports: protocols.map((protocol) => ({ protocol, port: 53 })) }],
  },
});

interface Step {
  readonly what: string;
  readonly run: (cluster: Cluster) => Promise<unknown>;
  /** Whether Pods may use TCP from then on. */
  readonly tcp: boolean;
}

const remove = (cluster: Cluster, name: string): Promise<string> =>
  cluster.kubectl('-n', NAMESPACE, 'delete', 'networkpolicy', name);

const STEPS: readonly Step[] = [
  { what: 'created', run: (cluster) => cluster.apply(policy('dns', 'UDP')), tcp: false },
  { what: 'changed to allow TCP', run: (cluster) => cluster.apply(policy('dns', 'UDP', 'TCP')), tcp: true },
  { what: 'changed back', run: (cluster) => cluster.apply(policy('dns', 'UDP')), tcp: false },
  { what: 'a second one that allows TCP', run: (cluster) => cluster.apply(policy('more', 'TCP')), tcp: true },
  { what: 'the second one deleted', run: (cluster) => remove(cluster, 'more'), tcp: false },
  { what: 'deleted', run: (cluster) => remove(cluster, 'dns'), tcp: true },
];

/** A change of the policies: asked for at `from`, answered at `to`. */
interface Change {
  readonly what: string;
  readonly from: number;
  readonly to: number;
  readonly tcp: boolean;
}

/** Makes each change in turn. Times in milliseconds of `performance.now()`. */
async function changePolicies(cluster: Cluster): Promise<readonly Change[]> {
  const changes: Change[] = [];
  await sleep(STANDS_MS);
  for (const { what, run, tcp } of STEPS) {
    const from = performance.now();
    await run(cluster);
    changes.push({ what, from, to: performance.now(), tcp });
    await sleep(STANDS_MS);
  }
  return changes;
}

const usesTcp = (text: string): boolean => text.includes('"use-vc"');

/** Returns what a Pod may get: by the policies of its moment, or those before, as long as not every replica knows of the change. */
function possible(changes: readonly Change[], { sentAt, answeredAt }: FloodPod): readonly boolean[] {
  const states = [{ from: -Infinity, to: -Infinity, tcp: true }, ...changes];
  return states
    .filter(({ from }, at) => answeredAt >= from && sentAt <= (states[at + 1]?.to ?? Infinity) + KNOWN_MS)
    .map(({ tcp }) => tcp);
}

/** Returns how many milliseconds after a change the last Pod was sent that got what stood before it. */
function latest(changes: readonly Change[], pods: readonly FloodPod[]): number {
  const late = changes.map(({ to, tcp }, index) => {
    const end = changes[index + 1]?.from ?? Infinity;
    const before = pods.filter((pod) => pod.sentAt >= to && pod.answeredAt < end && usesTcp(pod.text) !== tcp);
    return Math.max(0, ...before.map(({ sentAt }) => sentAt - to));
  });
  return Math.round(Math.max(...late));
}

/** What each Pod gets follows the policies that stand when it is created. */
export const policies: Scenario = {
  id: 'policies',
  name: `NetworkPolicies are created, changed and deleted, at ${RATE} Pods a second`,
  async run(cluster) {
    await freshNamespace(cluster, NAMESPACE, ENFORCE);
    try {
      // Replicas ask the cluster DNS over TCP now and then, and read what is behind its Service.
      const asked = podOf(NAMESPACE, 'glibc', { flood: 'yes' });
      await untilAllDecide(cluster, 'use-vc without a policy', asked, ({ patch }) => usesTcp(JSON.stringify(patch)));
      const pods: FloodPod[] = [];
      const changing = changePolicies(cluster);
      const seen = await flood(cluster.order, RATE, changing, { namespace: NAMESPACE, onPod: (pod) => pods.push(pod) });
      const changes = await changing;
      const wrong = pods.filter((pod) => !possible(changes, pod).includes(usesTcp(pod.text)));
      const without = pods.filter(({ text }) => text.includes('TcpNotAllowed')).length;
      const text = `${floodText(seen)}; ${pods.length - without} with use-vc, ${without} TcpNotAllowed; ${wrong.length} not by the policies of their moment, the last change known everywhere after ${latest(changes, pods)} ms`;
      expectThat(seen.refused === 0 && seen.unpatched === 0 && wrong.length === 0, text);
      expectThat(without > 0 && without < pods.length, text);
      return text;
    } finally {
      await cluster.kubectl('delete', 'namespace', NAMESPACE, '--timeout=120s');
    }
  },
};
