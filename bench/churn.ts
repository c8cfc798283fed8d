import type { KubeClient } from '../src/kubernetes/client.ts';
import { createCaller } from './client.ts';
import type { Bench } from './part.ts';
import type { BenchRegistry } from './registry.ts';
import { textsOf } from './reviews.ts';
import type { BenchServer } from './servers.ts';

/** An hour of a busy cluster at 20 Pods a second: mostly known images, with Jobs and previews on images that appear once. */
export const HOUR = { pods: 72_000, images: 2000, namespaces: 100 } as const;

const AT_ONCE = 8;
const KNOWN_IMAGES = 50;

/** Calls `make` for each index below `count`, {@link AT_ONCE} at a time. */
async function each(count: number, make: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await make(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

/** Sends a `share` of an hour's Pods, images and namespaces as fast as possible. */
export async function churn(
  { keys }: Bench,
  { port }: BenchServer,
  { registry, client, share }: { registry: BenchRegistry; client: KubeClient | undefined; share: number },
): Promise<void> {
  const run = Math.random().toString(36).slice(2, 8);
  const caller = createCaller({ port, path: '/mutate', ca: keys.ca });
  const bodyOf = (image: string): string => textsOf('plain', () => registry.stand(image), 1)[0] ?? '';
  const known = Array.from({ length: KNOWN_IMAGES }, (_, index) => bodyOf(`known-${index}`));
  const every = HOUR.pods / HOUR.images;
  if (client !== undefined) {
    await each(HOUR.namespaces * share, async (index) => {
      const body = { metadata: { name: `churn-${run}-${index}` } };
      await client.request({ method: 'POST', path: '/api/v1/namespaces', body });
    });
  }
  await each(HOUR.pods * share, async (index) => {
    const text = index % every === 0 ? bodyOf(`churn-${run}-${index}`) : known[index % KNOWN_IMAGES];
    await caller.call(text ?? '');
  });
  caller.close();
}
