import { randomUUID } from 'node:crypto';

import { startLoad } from '../../support/load.ts';
import { createPod, optionsOf, type PodRequest } from '../../support/pods.ts';
import { Times } from '../support/measure.ts';
import type { Cluster } from '../support/world.ts';

/** The outcome of the soak's Pods. */
export interface Traffic {
  readonly pods: number;
  readonly patched: number;
  /** Pods that should have been patched and were not. */
  readonly missed: readonly string[];
  /** Pods refused although the API server was up. */
  readonly refused: readonly string[];
  /** Pods that failed because the API server was down. */
  readonly unreachable: readonly string[];
  /** Milliseconds until the API server's response, including our own. */
  readonly times: Times;
}

export interface RunningTraffic {
  readonly soFar: () => Traffic;
  readonly stop: () => Promise<Traffic>;
}

const NAMESPACES = ['shop', 'quiet', 'watched'] as const;

/** Creates a namespace with mode off and one with mode audit, beside `shop`. */
export async function makeNamespaces({ cluster }: Cluster): Promise<void> {
  await cluster.createNamespace('quiet', { 'libc-dns.dev/mode': 'off' });
  await cluster.createNamespace('watched', { 'libc-dns.dev/mode': 'audit' });
}

const large = (image: string): object => {
  const env = Array.from({ length: 50 }, (_, at) => ({ name: `E${at}`, value: 'x'.repeat(5000) }));
  return { containers: [{ name: 'main', image, env }] };
};

/** Returns a Pod whose kind depends on `index`: known, new or missing image, many containers, large, annotated, hostNetwork. */
function podOf(
  index: number,
  images: readonly string[],
  fresh: () => string,
): PodRequest & { readonly remedied: boolean } {
  const name = `pod-${randomUUID()}`;
  const known = images[index % images.length] ?? '';
  const of = (image: string, more = {}): Record<string, unknown> => ({
    containers: [{ name: 'main', image }],
    ...more,
  });
  if (index % 20 === 0) return { name, spec: of(fresh()), annotations: {}, remedied: true };
  if (index % 40 === 25) return { name, spec: of(`${known}-missing`), annotations: {}, remedied: true };
  if (index % 40 === 35) return { name, spec: of(known, { hostNetwork: true }), annotations: {}, remedied: false };
  if (index % 200 === 15) return { name, spec: { ...large(known) }, remedied: true };
  const side = { name: 'side', image: images[0] };
  return { name, spec: { containers: [{ name: 'main', image: known }, side] }, annotations: {}, remedied: true };
}

const away = (message: string): boolean =>
  /ECONNREFUSED|ECONNRESET|socket|closed|unreachable|timed? ?out|in time|503|EPIPE/i.test(message);

/** Creates and deletes Pods of all kinds at a fixed rate until stopped. */
export function startTraffic({ cluster, registry }: Cluster, perSecond: number): RunningTraffic {
  const images = Array.from({ length: 20 }, () => registry.newImage());
  const lists = { missed: [] as string[], refused: [] as string[], unreachable: [] as string[] };
  const times = new Times();
  const counts = { pods: 0, patched: 0 };

  async function create(index: number, namespace: string): Promise<void> {
    const { remedied, ...request } = podOf(index, images, () => registry.newImage());
    const started = performance.now();
    const pod = await createPod(cluster, namespace, request);
    times.add(performance.now() - started);
    counts.pods += 1;
    const isPatched = optionsOf(pod).length > 0;
    if (isPatched) counts.patched += 1;
    else if (remedied && namespace === 'shop') lists.missed.push(JSON.stringify(pod.metadata.annotations ?? {}));
    const path = `/api/v1/namespaces/${namespace}/pods/${request.name}`;
    await cluster.client.request({ method: 'DELETE', path, query: { gracePeriodSeconds: '0' }, timeoutMs: 30_000 });
  }

  const load = startLoad(perSecond, 10_000_000, async (index) => {
    const namespace = NAMESPACES[index % 10 === 9 ? 1 + (index % 4 === 1 ? 0 : 1) : 0] ?? 'shop';
    await create(index, namespace).catch(({ message }: Error) => {
      (away(message) ? lists.unreachable : lists.refused).push(message);
    });
  });
  const soFar = (): Traffic => ({ ...counts, ...lists, times });
  return {
    soFar,
    stop: async () => {
      await load.stop();
      return soFar();
    },
  };
}
