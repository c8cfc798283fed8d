import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { childrenOf } from '../test/support/family.ts';
import { fixture } from '../test/support/reviews.ts';
import { createCaller } from './client.ts';
import type { Bench, Part } from './part.ts';
import { benchRegistry, type BenchRegistry } from './registry.ts';
import { spread } from './report.ts';
import { containersOf } from './reviews.ts';
import { type BenchServer, startOurs } from './servers.ts';
import { figure } from './statistics.ts';

const ROUND_TRIP_MS = 20;

/** Threads that want the processors meanwhile. */
const BUSY = [0, 8] as const;

/** Ends the processes that read images, as five minutes without work would. */
async function endReaders({ pid }: BenchServer): Promise<void> {
  for (const child of childrenOf(pid)) process.kill(child, 'SIGKILL');
  while (childrenOf(pid).length > 0) await sleep(5);
  await sleep(200);
}

function reviewOf(image: string): string {
  const review = fixture('plain');
  for (const container of containersOf(review)) container.image = image;
  return JSON.stringify(review);
}

interface Looks {
  /** Milliseconds of the Pod whose image starts the process. */
  readonly first: number[];
  /** Milliseconds of the next Pod with a new image. */
  readonly next: number[];
}

async function look(
  server: BenchServer,
  registry: BenchRegistry,
  { keys, rounds }: Bench,
  busy: number,
): Promise<Looks> {
  const looks: Looks = { first: [], next: [] };
  const caller = createCaller({ port: server.port, path: '/mutate', ca: keys.ca });
  const threads = Array.from({ length: busy }, () => new Worker('for (;;) Math.random()', { eval: true }));
  try {
    for (let round = 0; round < 4 * rounds; round += 1) {
      await endReaders(server);
      for (const which of ['first', 'next'] as const) {
        const review = reviewOf(registry.stand(randomUUID()));
        const began = performance.now();
        await caller.call(review);
        looks[which].push(performance.now() - began);
      }
    }
    return looks;
  } finally {
    caller.close();
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
}

/** Measures what the first new image after a pause waits for: the start of the process that reads it. */
export const readerStart: Part = async (bench) => {
  const registry = await benchRegistry(ROUND_TRIP_MS);
  const settings = {
    SCOPE: 'cluster',
    DETECTION_REGISTRY_INSECURE: registry.host,
    // The Pod waits until its image is read, however long that takes here.
    DETECTION_BUDGET: '4s',
  };
  const server = await startOurs(bench.keys, { main: bench.main, settings });
  const rows: string[][] = [];
  const data: Record<string, Looks> = {};
  try {
    // Its first Pod costs other things, too.
    await look(server, registry, { ...bench, rounds: 1 }, 0);
    for (const busy of BUSY) {
      bench.progress(`the first new image after a pause, beside ${busy} busy threads`);
      const looks = await look(server, registry, bench, busy);
      data[busy] = looks;
      const later = looks.first.map((ms, at) => ms - (looks.next[at] ?? ms));
      rows.push([String(busy), spread(figure(looks.first)), spread(figure(looks.next)), spread(figure(later))]);
    }
  } finally {
    await server.stop();
    await registry.close();
  }
  const table = {
    title: 'The first new image after a pause',
    note: `The process that reads images has ended; a registry ${ROUND_TRIP_MS} ms away. Milliseconds, beside so many threads that want the same processors.`,
    columns: ['busy threads', 'first Pod', 'next Pod, another new image', 'later'],
    rows,
  };
  return { tables: [table], data };
};
