import { setTimeout as sleep } from 'node:timers/promises';

import { answerOf, podReview } from '../../support/reviews.ts';
import type { StartOptions, WebhookProcess } from '../../support/webhook-process.ts';
import { keep } from '../fault.ts';
import { HEAP } from './connections.ts';
import { machineStalls, memoryWithChildren, pidOf, Times, until } from './measure.ts';
import { openRegistry, type Registry, type World } from './world.ts';

/** A replica that Pods of several namespaces ask, and the registry of those who do nothing wrong. */
export interface Street {
  readonly webhook: WebhookProcess;
  readonly registry: Registry;
  /** Creates a Pod of these images; resolves to its resolvers, by container. */
  readonly pod: (namespace: string, images: readonly string[]) => Promise<Readonly<Record<string, string>>>;
}

/** Opens a replica with the chart's memory and threads. `plain`: further hosts that speak plain HTTP. */
export async function openStreet(
  world: World,
  plain: (registry: Registry) => readonly string[],
  options: StartOptions = {},
): Promise<Street> {
  const registry = await openRegistry();
  world.afterwards(() => registry.close());
  const { environment, ...rest } = options;
  const webhook = await world.webhook({
    ...rest,
    environment: { ...HEAP, UV_THREADPOOL_SIZE: '16', ...environment },
    settings: { DETECTION_REGISTRY_INSECURE: [registry.host, ...plain(registry)].join(',') },
    flags: [],
  });
  return streetOf(webhook, registry);
}

export const streetOf = (webhook: WebhookProcess, registry: Registry): Street => ({
  webhook,
  registry,
  async pod(namespace, images) {
    const containers = images.map((image, index) => ({ name: `c${index}`, image }));
    const review = podReview({ metadata: { namespace }, spec: { containers }, request: { namespace } });
    return answerOf(await webhook.post(JSON.stringify(review))).audit.decision.resolvers;
  },
});

interface Watched {
  readonly known: Times;
  readonly live: Times;
  readonly memory: () => number;
  readonly end: () => Promise<void>;
}

/** Asks for a known Pod and for /livez, and looks at the memory of all processes, until told to end. */
export function watch({ webhook, pod }: Street, known: string): Watched {
  const [knownPods, live] = [new Times(), new Times()];
  const over = new AbortController();
  let memory = 0;
  const watching = (async () => {
    while (!over.signal.aborted) {
      await live.time(async () => await (await fetch(`${webhook.probes}/livez`)).text());
      await knownPods.time(async () => await pod('quiet', [known]));
      memory = Math.max(memory, await memoryWithChildren(pidOf(webhook)));
      await sleep(50);
    }
  })();
  // `end` tells of it.
  watching.catch(() => {});
  return {
    known: knownPods,
    live,
    memory: () => Math.round(memory),
    end: async () => {
      over.abort();
      await watching;
    },
  };
}

interface Attack {
  /** Called each second; nobody waits for what it returns. */
  readonly everySecond: (second: number) => Promise<unknown>;
  /** Makes a new image of the healthy registry. */
  readonly newImage?: () => string;
}

const SECONDS = 10;
const NEW_IMAGES = 64;

/** What `besideAttack` holds the product to. */
export const BESIDE_PROMISE = `${NEW_IMAGES} new images of another namespace are known, each within the budget of 1.5 s; a known Pod is answered within 50 ms, /livez within 1 s; memory of all processes under the limit of 512 MB; no restart`;

/** Creates Pods of another namespace during an attack, and throws if they have to suffer for it. */
export async function besideAttack(street: Street, attack: Attack): Promise<string> {
  const { webhook, registry, pod } = street;
  const { everySecond, newImage = () => registry.newImage() } = attack;
  const known = newImage();
  // Until the reader process runs: its start is another matter.
  await until(
    async () => (await pod('quiet', [known]))['c0'],
    (resolver) => resolver === 'musl',
  );
  const newPods = new Times();
  let found = 0;
  const stalls = machineStalls();
  const watched = watch(street, known);
  const attacking = async (): Promise<void> => {
    const all: Promise<unknown>[] = [];
    for (let second = 0; second < SECONDS; second += 1) {
      all.push(everySecond(second).catch(() => {}));
      await sleep(1000);
    }
    await watched.end();
    await Promise.all(all);
  };
  const attacked = attacking();
  await sleep(1500);
  for (let count = 0; count < NEW_IMAGES; count += 4) {
    await newPods.time(async () => {
      const resolvers = await pod('quiet', [newImage(), newImage(), newImage(), newImage()]);
      found += Object.values(resolvers).filter((resolver) => resolver === 'musl').length;
    });
    await sleep(250);
  }
  await attacked;
  const stalled = stalls();
  const { known: knownPods, live } = watched;
  const memory = watched.memory();
  const seen = `${found} of ${NEW_IMAGES} new images known, a Pod in ${newPods.percentile(1)} ms at most; known Pods p99 ${knownPods.percentile(0.99)} ms, /livez ${live.percentile(1)} ms; memory ${memory} MB; stalled ${stalled} ms`;
  keep(
    found === NEW_IMAGES &&
      newPods.percentile(1) < 1500 + 2 * stalled &&
      knownPods.percentile(0.99) < 50 + 2 * stalled &&
      live.percentile(1) < 1000 + 2 * stalled &&
      memory < 512 &&
      webhook.process.exitCode === null,
    seen,
  );
  return seen;
}
