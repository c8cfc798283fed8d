import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { text as readText } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';

import { applyPatch, deepClone } from 'fast-json-patch';
import { expect } from 'vitest';

import type { createEvaluate } from '../../src/admission/evaluate.ts';
import { REACHES_ALL } from '../../src/exposure/dns-target.ts';
import { applySpec, podResolversSpec } from '../../src/pod-resolvers/object.ts';
import { finishedRemedies, type RemedyTerms } from '../../src/pod-resolvers/remedies.ts';
import type { NamespaceView } from '../../src/policy/model.ts';
import type { Resolver } from '../../src/policy/verdict.ts';
import { binary, type TestCluster } from './cluster.ts';
import { createPod, podObject, type PodObject } from './pods.ts';

type Evaluate = ReturnType<typeof createEvaluate>;

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
  return { dnsPolicy, dnsConfig, decision: decisionIn(annotations?.['libc-dns.dev/decision']) };
};

/** Returns a decision; the text if a Pod was sent with another one. */
function decisionIn(text = 'null'): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

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
  terms: Pick<RemedyTerms, 'cluster' | 'config'> & Partial<Pick<RemedyTerms, 'reach'>>,
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

/** A Pod as it is sent. */
export interface Sent {
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: object;
}

/** Returns why the policy may do otherwise than the webhook for a Pod (docs/policy.md); undefined if it may not. */
function listed({ metadata: { annotations = {} }, spec }: Sent): string | undefined {
  const { dnsConfig } = spec as { dnsConfig?: Record<string, readonly unknown[]> };
  if (dnsConfig !== undefined && 'libc-dns.dev/decision' in annotations) return 'it is a copy';
  if ((dnsConfig?.['nameservers'] ?? []).length > 0) return 'it has nameservers of its own';
  return (dnsConfig?.['searches'] ?? []).length > 0 ? 'it has search domains of its own' : undefined;
}

/** Returns the Pod without its request for what the policy cannot give: the cache in the Pod. */
export function withoutRequest(sent: Sent): Sent {
  const { 'libc-dns.dev/remedy': request, ...annotations } = sent.metadata.annotations ?? {};
  return request === undefined ? sent : { ...sent, metadata: { ...sent.metadata, annotations } };
}

const withoutOptions = ({ dnsPolicy, dnsConfig = {} }: Dns): object => ({
  dnsPolicy,
  dnsConfig: { ...dnsConfig, options: [] },
});

/** Returns what the webhook makes of a Pod. */
export async function webhooksPod(evaluate: Evaluate, sent: Sent, namespace: NamespaceView): Promise<Sent> {
  const { patch } = await evaluate(sent, namespace, { budgetMs: 1000 });
  return applyPatch(deepClone(sent), patch).newDocument as Sent;
}

/**
 * Sends a Pod in a dry run. Resolves to whether the policy does what the webhook does. Throws if not, unless docs/policy.md lists the
 * difference.
 */
export async function asTheWebhook(
  cluster: TestCluster,
  namespace: NamespaceView,
  sent: Sent,
  evaluate: Evaluate,
): Promise<boolean> {
  const expected = dnsOf(await webhooksPod(evaluate, withoutRequest(sent), namespace));
  const stored = dnsOf(await sendDry(cluster, namespace.name, sent));
  if (isDeepStrictEqual(stored, expected)) return true;
  if (listed(sent) === undefined) throw new Error(JSON.stringify({ sent, stored, expected }));
  // Never more than the webhook: the Pod keeps its servers and search domains.
  expect(withoutOptions(stored)).toEqual(withoutOptions(dnsOf(sent)));
  return false;
}

/** Resolves to what a Pod would be stored as. */
export async function sendDry({ client }: TestCluster, namespace: string, pod: object): Promise<PodObject> {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  const body = { apiVersion: 'v1', kind: 'Pod', ...pod };
  return await client.request<PodObject>({ method: 'POST', path, query: { dryRun: 'All' }, body });
}
