import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { text as readText } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

import { REACHES_ALL } from '../../src/exposure/dns-target.ts';
import { applySpec, podResolversSpec } from '../../src/pod-resolvers/object.ts';
import { finishedRemedies, type RemedyTerms } from '../../src/pod-resolvers/remedies.ts';
import type { NamespaceView } from '../../src/policy/model.ts';
import type { Resolver } from '../../src/policy/verdict.ts';
import { binary, type TestCluster } from './cluster.ts';
import { createPod, podObject, type PodObject } from './pods.ts';

export const RESOLVERS: readonly Resolver[] = ['glibc', 'musl', 'go', 'other'];

/** What the policy knows of images: those named after their resolver. */
export const images = new Map(RESOLVERS.map((one) => [`registry.test/${one}:1`, one]));

export const containers = (...resolvers: readonly string[]): object[] =>
  resolvers.map((one, index) => ({ name: `c${index}`, image: `registry.test/${one}:1` }));

export interface Dns {
  readonly dnsPolicy: unknown;
  readonly dnsConfig: object | undefined;
  readonly decision: unknown;
}

export const dnsOf = (pod: { metadata?: unknown; spec?: unknown }): Dns => {
  const { annotations } = (pod.metadata ?? {}) as { annotations?: Record<string, string> };
  const { dnsPolicy = 'ClusterFirst', dnsConfig: given } = pod.spec as PodObject['spec'];
  // The API server leaves out what is empty.
  const dnsConfig = given && Object.fromEntries(Object.entries(given).filter(([, list]) => list.length > 0));
  return { dnsPolicy, dnsConfig, decision: JSON.parse(annotations?.['libc-dns.dev/decision'] ?? 'null') };
};

/** Returns what the API server warns of when an object is created in a dry run. */
export async function warnings({ kubeconfig }: TestCluster, namespace: string, object: object): Promise<string> {
  const flags = ['--kubeconfig', kubeconfig, '-n', namespace, 'create', '--dry-run=server', '-f', '-'];
  const child = execFile(binary('kubectl') ?? 'kubectl', flags);
  child.stdin?.end(JSON.stringify(object));
  const [text] = await Promise.all([child.stderr === null ? '' : readText(child.stderr), once(child, 'close')]);
  return text;
}

/** Returns the sum of the API server's metrics whose value the pattern finds. */
export async function total({ kubectl }: TestCluster, pattern: RegExp): Promise<number> {
  const text = await kubectl(['get', '--raw', '/metrics']);
  return [...text.matchAll(pattern)].reduce((sum, [, value]) => sum + Number(value), 0);
}

/** Creates a namespace with its PodResolvers, and waits until the API server's copies of policy and parameter are there. */
export async function prepare(
  cluster: TestCluster,
  namespace: NamespaceView,
  terms: Pick<RemedyTerms, 'cluster' | 'config'>,
  known: ReadonlyMap<string, string>,
): Promise<void> {
  const { name, labels } = namespace;
  await cluster.createNamespace(name, labels);
  const remedies = finishedRemedies({ namespace, reach: REACHES_ALL, ...terms });
  await cluster.client.request(applySpec(name, podResolversSpec(remedies, 'amd64', known)));
  for (let tries = 0; tries < 50; tries += 1) {
    const probe = {
      name: 'probe',
      labels: { 'libc-dns.dev/mode': 'enforce' },
      annotations: { 'libc-dns.dev/libc': 'glibc' },
    };
    const stored = await createPod(cluster, name, probe, { dryRun: 'All' });
    if (dnsOf(stored).decision !== null) return;
    if ((await warnings(cluster, name, podObject(probe))).includes('libc-dns (audit)')) return;
    await sleep(200);
  }
  throw new Error('the policy does nothing');
}
