import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { parseDuration } from '../../src/config/options.ts';
import { FAULTS } from './all.ts';
import type { Fault } from './fault.ts';
import { soak } from './soak/soak.ts';
import { closeCluster, type Cluster, createWorld, NotTried, openCluster } from './support/world.ts';
import { filled, type Result, resultText } from './table.ts';

/**
 * Tries faults on real processes and prints each result:
 * `node test/faults/main.ts [--quick] [--again] [--write] [--list] [--soak 30m [--leak BYTES]] [FAULT...]`.
 * Exits with 1 if a promise was broken, with 2 for wrong usage.
 */

const PAGE = fileURLToPath(new URL('results.md', import.meta.url));

/** Milliseconds: longer than any fault takes on a busy machine. */
const MOST_MS = 240_000;

async function limited(trial: Promise<string>): Promise<string> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no result after ${MOST_MS / 1000} s`)), MOST_MS);
  return await Promise.race([trial, promise]).finally(() => clearTimeout(timer));
}

async function tryOne(fault: Fault, shared: () => Promise<Cluster>): Promise<Result> {
  const { world, close } = createWorld(shared);
  const started = performance.now();
  const done = (outcome: Result['outcome'], seen: string): Result => {
    const { id, name, promise } = fault;
    return { id, name, promise, outcome, seen, ms: performance.now() - started };
  };
  try {
    return done('kept', await limited(fault.run(world)));
  } catch (error) {
    const { message } = error as Error;
    return done(error instanceof NotTried ? 'not tried' : 'broken', message);
  } finally {
    await close().catch(() => {});
  }
}

/** Tries a fault; with `again`, tries it once more if the promise was broken, and shows both results. */
async function tryTwice(fault: Fault, shared: () => Promise<Cluster>, again: boolean): Promise<Result> {
  const first = await tryOne(fault, shared);
  console.error(resultText(first));
  if (!again || first.outcome !== 'broken') return first;
  const second = await tryOne(fault, shared);
  console.error(resultText(second));
  return { ...second, seen: `${second.seen} (at the second try; at the first: ${first.seen})` };
}

interface Trial {
  readonly faults: readonly Fault[];
  readonly again: boolean;
  readonly write: boolean;
}

async function tryAll({ faults, again }: Trial, shared: () => Promise<Cluster>): Promise<Result[]> {
  const results: Result[] = [];
  const tried = async (fault: Fault): Promise<void> => {
    results.push(await tryTwice(fault, shared, again));
  };
  const waiting = Promise.all(faults.filter(({ waits }) => waits).map(tried));
  for (const fault of faults.filter(({ waits }) => !waits)) await tried(fault);
  await waiting;
  return faults.flatMap(({ id }) => results.filter((result) => result.id === id));
}

async function report(trial: Trial): Promise<boolean> {
  const started = performance.now();
  let opened: Promise<Cluster> | undefined;
  const results = await tryAll(trial, () => (opened ??= openCluster()));
  const cluster = await opened?.catch(() => undefined);
  if (cluster !== undefined) await closeCluster(cluster);
  const names = FAULTS.map(({ name }) => name);
  if (trial.write) writeFileSync(PAGE, filled(readFileSync(PAGE, 'utf8'), results, names));
  const count = (outcome: Result['outcome']): number => results.filter((result) => result.outcome === outcome).length;
  const took = Math.round((performance.now() - started) / 1000);
  console.error(
    `faults: ${count('kept')} kept, ${count('broken')} not kept, ${count('not tried')} not tried, in ${took} s`,
  );
  return count('broken') === 0;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      again: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      soak: { type: 'string' },
      leak: { type: 'string', default: '0' },
    },
    allowPositionals: true,
  });
  const unknown = positionals.filter((id) => !FAULTS.some((fault) => fault.id === id));
  if (unknown.length > 0) {
    console.error(`there is no fault ${unknown.join(', ')}, but ${FAULTS.map(({ id }) => id).join(', ')}`);
    return 2;
  }
  if (values.soak !== undefined) {
    const ms = parseDuration(values.soak);
    if (ms !== undefined) return (await soak({ ms, leak: Number(values.leak) })) ? 0 : 1;
    console.error(`--soak ${values.soak}: expected a duration such as 30m`);
    return 2;
  }
  if (values.list) {
    for (const { id, name, promise, alsoIn } of FAULTS) {
      console.log(`${id}: ${name}\n    promise: ${promise}${alsoIn === undefined ? '' : `\n    also in: ${alsoIn}`}`);
    }
    return 0;
  }
  const wanted = FAULTS.filter(({ id, long }) =>
    positionals.length > 0 ? positionals.includes(id) : !(values.quick && long),
  );
  return (await report({ faults: wanted, again: values.again, write: values.write })) ? 0 : 1;
}

// An API server that a fault restarted would keep this process alive.
process.exit(await main());
