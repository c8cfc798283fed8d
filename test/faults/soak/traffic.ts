import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { startLoad, type Load } from '../../support/load.ts';
import { createPod, optionsOf } from '../../support/pods.ts';
import { Times } from '../support/measure.ts';
import type { Cluster } from '../support/world.ts';

/** What the Pods of the soak saw. */
export interface Traffic {
  readonly pods: number;
  readonly patched: number;
  /** Refused for whatever reason but that the API server itself was away. */
  readonly refused: readonly string[];
  /** The API server was away. */
  readonly unreachable: number;
  /** Milliseconds from the request to the API server's answer, in which ours is. */
  readonly times: Times;
}

const NAMESPACES = ['shop', 'quiet', 'watched'] as const;

/** Namespaces that enforce, say nothing, and audit. */
export async function makeNamespaces({ cluster }: Cluster): Promise<void> {
  await cluster.createNamespace('quiet', { 'libc-dns.dev/mode': 'off' });
  await cluster.createNamespace('watched', { 'libc-dns.dev/mode': 'audit' });
}

/** A Pod of a kind that depends on `index`: known, new and missing images, several containers, large, annotated, opted out. */
function podOf(index: number, images: readonly string[], fresh: () => string): { spec: object; annotations?: object } {
  const containers = (image: string): object[] => [{ name: 'main', image }];
  const known = images[index % images.length] ?? '';
  if (index % 40 === 0) return { spec: { containers: containers(fresh()) }, annotations: {} };
  if (index % 40 === 20) return { spec: { containers: containers(`${known}-missing`) }, annotations: {} };
  if (index % 40 === 30) return { spec: { hostNetwork: true, containers: containers(known) }, annotations: {} };
  if (index % 200 === 15) {
    const env = Array.from({ length: 50 }, (_, at) => ({ name: `E${at}`, value: 'x'.repeat(5000) }));
    return { spec: { containers: [{ name: 'main', image: known, env }] } };
  }
  return { spec: { containers: [...containers(known), { name: 'side', image: images[0] }] }, annotations: {} };
}

const away = (message: string): boolean =>
  /ECONNREFUSED|ECONNRESET|socket|closed|unreachable|timed? ?out|in time|503|EPIPE/i.test(message);

/** Creates Pods of all kinds at a rate until stopped. */
export function startTraffic(
  opened: Cluster,
  perSecond: number,
): { stop: () => Promise<Traffic>; soFar: () => Traffic } {
  const { cluster, registry } = opened;
  const images = Array.from({ length: 20 }, () => registry.newImage());
  const refused: string[] = [];
  const times = new Times();
  const counts = { pods: 0, patched: 0, unreachable: 0 };
  const load: Load<void> = startLoad(perSecond, 10_000_000, async (index) => {
    const namespace = NAMESPACES[index % 10 === 9 ? 1 + (index % 2) : 0] ?? 'shop';
    const started = performance.now();
    const pod = { name: `pod-${randomUUID()}`, ...podOf(index, images, () => registry.newImage()) };
    try {
      const stored = await createPod({ client: cluster.client }, namespace, pod as never, { dryRun: 'All' });
      counts.pods += 1;
      if (optionsOf(stored).length > 0) counts.patched += 1;
      times.add(performance.now() - started);
    } catch (error) {
      const { message } = error as Error;
      if (away(message)) counts.unreachable += 1;
      else refused.push(message);
    }
  });
  const soFar = (): Traffic => ({ ...counts, refused, times });
  return {
    soFar,
    stop: async () => {
      await load.stop();
      await sleep(100);
      return soFar();
    },
  };
}
