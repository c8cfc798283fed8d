import { randomUUID } from 'node:crypto';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';

import { type Answer, answerOf } from '../support/reviews.ts';
import type { Cluster } from './cluster/cluster.ts';
import { until } from './cluster/daemons.ts';
import { ENFORCE } from './apps.ts';
import { NAMESPACE } from './installation.ts';

/** The webhook's replicas, one by one: the API server keeps its connections, and so may ask the same one for long. */

export interface Replica {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly status: {
    readonly podIP?: string;
    readonly containerStatuses?: readonly { readonly restartCount: number; readonly ready: boolean }[];
  };
}

/** Returns the replicas that are not about to end. */
export async function replicasOf(cluster: Cluster): Promise<readonly Replica[]> {
  const label = 'app.kubernetes.io/name=libc-dns-webhook';
  const { items } = await cluster.get<{ items: readonly Replica[] }>('pods', '-n', NAMESPACE, '-l', label);
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

/** Milliseconds after which a replica or a cache that does not answer is given up. */
export const ANSWER_MS = 5000;

/** A Pod of one container, as a controller creates it. */
export const podOf = (namespace: string, libc: 'glibc' | 'musl', labels: Readonly<Record<string, string>> = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { generateName: 'new-', namespace, labels },
  spec: {
    dnsPolicy: 'ClusterFirst',
    restartPolicy: 'Always',
    containers: [{ name: 'app', image: `registry.e2e.test/apps/${libc}:1` }],
  },
});

/** Asks a replica about a new Pod, as the API server does in a dry run. Pods can be reached from outside of the nodes. */
function ask({ status }: Replica, pod: ReturnType<typeof podOf>): Promise<Answer> {
  const review = {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: randomUUID(),
      kind: { group: '', version: 'v1', kind: 'Pod' },
      resource: { group: '', version: 'v1', resource: 'pods' },
      namespace: pod.metadata.namespace,
      operation: 'CREATE',
      userInfo: { username: 'e2e' },
      object: pod,
      dryRun: true,
    },
  };
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: status.podIP,
        port: 10250,
        path: '/mutate',
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        rejectUnauthorized: false,
        signal: AbortSignal.timeout(ANSWER_MS),
      },
      (response) => {
        const answer = async (): Promise<Answer> =>
          answerOf({ status: response.statusCode ?? 0, headers: response.headers, body: await text(response) });
        answer().then(resolve, reject);
      },
    );
    sent.once('error', reject).end(JSON.stringify(review));
  });
}

/** Waits until every replica knows the mode of a namespace. Without one, no replica is asked: the API server does not call any. */
export async function untilModeKnown(cluster: Cluster, namespace: string, mode: string | undefined): Promise<void> {
  if (mode === undefined) return;
  await untilAllDecide(cluster, mode, podOf(namespace, 'glibc'), ({ audit }) => audit.mode === mode);
}

/** Waits until every replica decides for this reason about a new Pod of musl. */
export const untilDecided = (cluster: Cluster, reason: string): Promise<void> =>
  untilAllDecide(cluster, reason, podOf('default', 'musl', ENFORCE), ({ audit }) => audit.decision?.reason === reason);

/** Waits until every replica decides about such a Pod as `decided` wants it: each learns of a change by itself. */
export async function untilAllDecide(
  cluster: Cluster,
  what: string,
  pod: ReturnType<typeof podOf>,
  decided: (answer: Answer) => boolean,
  ms = 120_000,
): Promise<void> {
  const agree = async (): Promise<true> => {
    for (const replica of await replicasOf(cluster)) {
      const answer = await ask(replica, pod);
      if (!decided(answer)) {
        throw new Error(`${replica.metadata.name} decides ${answer.audit.decision?.reason ?? 'nothing'}`);
      }
    }
    return true;
  };
  await until(`${what} by every replica`, agree, ms);
}
