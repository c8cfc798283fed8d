import { assertPatches, createCaller } from './client.ts';
import { closedLoop } from './load.ts';
import type { Bench } from './part.ts';
import { cpuOf } from './process-cost.ts';
import { benchRegistry } from './registry.ts';
import { digits } from './report.ts';
import { bodies } from './reviews.ts';
import { startFloor, startOurs, type BenchServer } from './servers.ts';
import { median, ratios } from './statistics.ts';

/** Ours takes 1.5 times the time of the floor, on a machine with other things to do, too. Beyond this something is wrong. */
const MOST = 2.5;

const ROUNDS = 7;
const SECONDS = 2;
const WARM_UP = 8;

/** Microseconds of processor time for a request. */
async function cost({ keys }: Bench, { pid, port, path }: BenchServer, text: string, seconds: number): Promise<number> {
  const caller = createCaller({ port, path, ca: keys.ca });
  const before = cpuOf(pid);
  const answered = await closedLoop(16, seconds, () => caller.call(text));
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
    const text = bodies(registry.stand)[0]?.text ?? '';
    await assertPatches({ ...ours, ca: bench.keys.ca }, text);
    for (const server of [floor, ours]) await cost(bench, server, text, WARM_UP);
    const [floors, all]: [number[], number[]] = [[], []];
    for (let round = 0; round < ROUNDS; round += 1) {
      floors.push(await cost(bench, floor, text, SECONDS));
      all.push(await cost(bench, ours, text, SECONDS));
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
