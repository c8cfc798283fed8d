import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { childrenOf } from '../test/support/family.ts';
import { fixture } from '../test/support/reviews.ts';
import { createCaller } from './client.ts';
import type { Bench, Part } from './part.ts';
import { cpuOf } from './process-cost.ts';
import { benchRegistry, type BenchRegistry } from './registry.ts';
import { spread } from './report.ts';
import { containersOf } from './reviews.ts';
import { type BenchServer, startOurs } from './servers.ts';
import { figure } from './statistics.ts';

const ROUND_TRIP_MS = 20;

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

/** What a Pod with a new image waited for, and the processor time of the process that read it, in milliseconds. */
interface Look {
  readonly waited: number;
  readonly processor: number;
}

/** Creates a Pod with a new image after a pause, and another one then. */
async function look(server: BenchServer, registry: BenchRegistry, { keys }: Bench): Promise<readonly [Look, Look]> {
  const caller = createCaller({ port: server.port, path: '/mutate', ca: keys.ca });
  const readersMs = (): number => childrenOf(server.pid).reduce((sum, child) => sum + cpuOf(child), 0) / 1000;
  const one = async (): Promise<Look> => {
    const review = reviewOf(registry.stand(randomUUID()));
    const [began, before] = [performance.now(), readersMs()];
    await caller.call(review);
    return { waited: performance.now() - began, processor: readersMs() - before };
  };
  try {
    await endReaders(server);
    return [await one(), await one()];
  } finally {
    caller.close();
  }
}

/** Measures what the first new image after a pause waits for: the start of the process that reads it. */
export const readerStart: Part = async (bench) => {
  const registry = await benchRegistry(ROUND_TRIP_MS);
  const server = await startOurs(bench.keys, {
    main: bench.main,
    // A Pod waits until its image is read, however long that takes here.
    settings: { SCOPE: 'cluster', DETECTION_REGISTRY_INSECURE: registry.host, DETECTION_BUDGET: '4s' },
  });
  const looks: (readonly [Look, Look])[] = [];
  try {
    // Its first Pod costs other things, too.
    await look(server, registry, bench);
    for (let round = 0; round < 5 * bench.rounds; round += 1) {
      bench.progress(`the first new image after a pause ${round + 1}`);
      looks.push(await look(server, registry, bench));
    }
  } finally {
    await server.stop();
    await registry.close();
  }
  const row = (name: string, of: (pair: readonly [Look, Look]) => Look): string[] => [
    name,
    spread(figure(looks.map((pair) => of(pair).waited))),
    spread(figure(looks.map((pair) => of(pair).processor))),
  ];
  const later = ([first, next]: readonly [Look, Look]): Look => ({
    waited: first.waited - next.waited,
    processor: first.processor - next.processor,
  });
  const table = {
    title: 'The first new image after a pause',
    note: `The process that reads images has ended; a registry ${ROUND_TRIP_MS} ms away. Milliseconds.`,
    columns: ['', 'the Pod waits', 'processor time of the process'],
    rows: [row('first new image', ([first]) => first), row('next one', ([, next]) => next), row('more', later)],
  };
  return { tables: [table], data: looks };
};
