import { assertPatches, createCaller } from './client.ts';
import { closedLoop } from './load.ts';
import type { Bench } from './part.ts';
import { cpuOf } from './process-cost.ts';
import { benchRegistry } from './registry.ts';
import { digits } from './report.ts';
import { inTurn, textsOf } from './reviews.ts';
import { startFloor, startOurs, type BenchServer } from './servers.ts';
import { median, ratios } from './statistics.ts';

/** Ours takes two thirds of the floor's time. With this, known reviews are parsed again, or something else is wrong. */
const MOST = 1.2;

const ROUNDS = 7;
const SECONDS = 2;
const WARM_UP = 8;

/** Microseconds of processor time for a request. */
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
 * Whether ours costs too much beside the floor, for CI: processor time, of servers in turns, with a wide margin. Says what it
 * found on standard output; resolves to false where it is too much.
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
