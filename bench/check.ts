import { assertPatches, createCaller } from './client.ts';
import { closedLoop } from './load.ts';
import type { Bench } from './part.ts';
import { cpuOf } from './process-cost.ts';
import { benchRegistry } from './registry.ts';
import { digits } from './report.ts';
import { inTurn, textsOf } from './reviews.ts';
import { startFloor, startOurs, type BenchServer } from './servers.ts';
import { median, ratios } from './statistics.ts';

/** Ours takes 1.2 to 1.6 of the floor's time. Above this, something is wrong. */
const MOST = 2;

const ROUNDS = 7;
const SECONDS = 2;
const WARM_UP = 8;

/** Returns the processor time per request, in microseconds. */
async function cost(
  { keys }: Bench,
  { pid, port, path }: BenchServer,
  reviews: readonly string[],
  seconds: number,
): Promise<number> {
  const next = inTurn(reviews);
  const caller = createCaller({ port, path, ca: keys.ca });
  const before = cpuOf(pid);
  const answered = await closedLoop(16, seconds, () => caller.call(next()));
  caller.close();
  return (cpuOf(pid) - before) / answered;
}

/**
 * Checks for CI that our processor time per request is not far above the floor's. Measures both servers in turns and prints the
 * ratio. Resolves to false if it is too high.
 */
export async function check(bench: Bench): Promise<boolean> {
  const registry = await benchRegistry();
  const settings = { SCOPE: 'cluster', DETECTION_REGISTRY_INSECURE: registry.host };
  const [floor, ours] = [await startFloor(bench.keys), await startOurs(bench.keys, { main: bench.main, settings })];
  try {
    const texts = textsOf('plain', registry.stand);
    await assertPatches({ ...ours, ca: bench.keys.ca }, texts[0] ?? '');
    for (const server of [floor, ours]) await cost(bench, server, texts, WARM_UP);
    const [floors, all]: [number[], number[]] = [[], []];
    for (let round = 0; round < ROUNDS; round += 1) {
      floors.push(await cost(bench, floor, texts, SECONDS));
      all.push(await cost(bench, ours, texts, SECONDS));
    }
    const found = median(ratios(all, floors));
    console.log(`processor time of a request: ${digits(found)} of the floor's, at most ${MOST}`);
    return found <= MOST;
  } finally {
    await floor.stop();
    await ours.stop();
    await registry.close();
  }
}
