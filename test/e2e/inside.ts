import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { endWithParent } from '../lab/isolation.ts';
import { type Cluster, startCluster } from './cluster/cluster.ts';
import { hideMachine } from './cluster/network.ts';
import type { Order } from './cluster/place.ts';
import type { Result, Scenario } from './scenario.ts';
import { SCENARIOS } from './scenarios/all.ts';
import { installAnew } from './installation.ts';

/** The first process inside the isolation (test/lab/isolation.ts). Its argument is an `Order`; it writes `Result`s to descriptor 3. */

const began = performance.now();
const say = (text: string): void =>
  console.error(`  ${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${text}`);

function writeAll(descriptor: number, data: Buffer): void {
  for (let at = 0; at < data.length; at += writeSync(descriptor, data, at));
}

/** Milliseconds after which a scenario is given up. */
const SCENARIO_MS = 8 * 60_000;

async function resultOf({ id, name, run: runScenario }: Scenario, cluster: Cluster): Promise<Result> {
  const started = performance.now();
  const tooLong = sleep(SCENARIO_MS, undefined, { ref: false }).then(() => {
    throw new Error(`it did not end within ${SCENARIO_MS / 60_000} minutes`);
  });
  const outcome = await Promise.race([runScenario(cluster), tooLong]).then(
    (seen) => ({ ok: true, ...(typeof seen === 'string' ? { seen } : seen) }),
    (error: unknown) => ({ ok: false, seen: error instanceof Error ? error.message : String(error) }),
  );
  return { id, name, ...outcome, ms: performance.now() - started };
}

/** Tries a scenario once more, on a new installation. What it saw the first time stays with the result. */
async function tryAgain(scenario: Scenario, cluster: Cluster, { seen: first }: Result): Promise<Result> {
  say(`once more, for it saw: ${first}`);
  const anew: Scenario = {
    ...scenario,
    async run() {
      await installAnew(cluster);
      return await scenario.run(cluster);
    },
  };
  return { ...(await resultOf(anew, cluster)), first };
}

async function run(order: Order): Promise<readonly Result[]> {
  if (process.pid !== 1) throw new Error('this runs in a machine of its own only: npm run e2e');
  await hideMachine(order.folder);
  const cluster = await startCluster(order, say);
  const results: Result[] = [];
  for (const scenario of order.scenarios.flatMap((id) => SCENARIOS.filter((one) => one.id === id))) {
    let result = await resultOf(scenario, cluster);
    if (!result.ok && order.again) result = await tryAgain(scenario, cluster, result);
    results.push(result);
    const { ok, name, seen } = result;
    say(`${ok ? 'ok      ' : 'NOT SO  '}${name}\n            ${seen.replaceAll('\n', '\n            ')}`);
  }
  return results;
}

endWithParent();
try {
  writeAll(3, Buffer.from(JSON.stringify(await run(JSON.parse(process.argv[2] ?? '{}') as Order))));
  process.exit(0);
} catch (error) {
  const { message, cause } = error as Error;
  console.error(`  failed: ${message}${cause instanceof Error ? `\n  ${cause.message}` : ''}`);
  process.exit(1);
}
