import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { answerOf, podReview } from '../../support/reviews.ts';
import { type Fault, keep } from '../fault.ts';
import { machineStalls, seconds } from '../support/measure.ts';
import { startNameServer } from '../support/name-server.ts';
import { openRegistry } from '../support/world.ts';

const WITHOUT_DNS = fileURLToPath(new URL('../support/without-dns.ts', import.meta.url));

/** Tries repeatedly without waiting for earlier tries. Resolves to the milliseconds from `started` until a resolver was found. */
async function firstRead(started: number, read: () => Promise<{ resolver: string | undefined }>): Promise<number> {
  const found: number[] = [];
  const attempt = async (): Promise<void> => {
    const { resolver } = await read();
    if (resolver === 'musl') found.push(performance.now() - started);
  };
  const tries: Promise<void>[] = [];
  while (found.length === 0 && performance.now() - started < 30_000) {
    tries.push(attempt());
    await sleep(200);
  }
  await Promise.all(tries);
  return Math.min(...found);
}

export const nameServerFault: Fault = {
  id: 'dns-fails',
  name: "the webhook's own DNS takes queries and never answers; 60 Pods of registries by name",
  promise:
    'each Pod is answered within the budget of 1.5 s, and so are those of a registry that needs no DNS; that one is read again within 4.5 s, for names are given up after 3 s',
  alsoIn: 'test/unit/registry/http/names.test.ts',
  async run(world) {
    const file = await startNameServer(world);
    const registry = await openRegistry();
    world.afterwards(() => registry.close());
    const webhook = await world.webhook({
      main: WITHOUT_DNS,
      environment: { RESOLV_CONF: file, UV_THREADPOOL_SIZE: '16' },
      settings: { DETECTION_REGISTRY_INSECURE: registry.host },
      flags: [],
    });
    const waited = async (image: string): Promise<{ ms: number; resolver: string | undefined }> => {
      const started = performance.now();
      const containers = [{ name: 'main', image }];
      const answer = answerOf(await webhook.post(JSON.stringify(podReview({ spec: { containers } }))));
      return { ms: performance.now() - started, resolver: answer.audit.decision.resolvers['main'] };
    };
    // Until the reader process runs: its start is another matter.
    await firstRead(performance.now(), async () => await waited(registry.newImage()));
    const stalls = machineStalls();
    const named = Promise.all(Array.from({ length: 60 }, (_, index) => waited(`registry-${index}.example/app:1`)));
    const started = performance.now();
    const readAfter = await firstRead(started, async () => await waited(registry.newImage()));
    const slowest = Math.max(...(await named).map(({ ms }) => ms));
    const others = await Promise.all(Array.from({ length: 10 }, () => waited(registry.newImage())));
    const known = others.filter(({ resolver }) => resolver === 'musl').length;
    const stalled = stalls();
    const seen = `60 waited up to ${seconds(slowest)}; the other registry read again after ${seconds(readAfter)}, then ${known} of 10 known; stalled ${stalled} ms`;
    keep(slowest < 2000 + 2 * stalled && readAfter < 4500 + 2 * stalled && known === 10, seen);
    return seen;
  },
};
