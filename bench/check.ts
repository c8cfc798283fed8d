import { assertPatches, createCaller } from './client.ts';
import { closedLoop } from './load.ts';
import { costByFloor, paced } from './paced.ts';
import type { Bench } from './part.ts';
import { cpuOf } from './process-cost.ts';
import { benchRegistry } from './registry.ts';
import { digits } from './report.ts';
import { inTurn, textsOf } from './reviews.ts';
import { startFloor, startOurs, type BenchServer } from './servers.ts';
import { median, ratios } from './statistics.ts';

/** Ours takes 1.2 to 1.6 of the floor's time. Above these, something is wrong. */
const MOST = { saturated: 2, paced: 2.5 } as const;

const ROUNDS = 5;
const SECONDS = 2;

/** Calls after which V8 has compiled what a review needs, or seconds: on a busy machine they come slowly. */
const WARM_UP = { calls: 20_000, seconds: 30 } as const;

/** Reviews a second of a busy cluster, to servers that were just started. */
const PACE = { rate: 20, seconds: 15 };
const PACED_ROUNDS = 2;

/** Saturates a server for some seconds. Returns the number of calls, and their processor time in microseconds. */
async function saturate(
  { keys }: Bench,
  { pid, port, path }: BenchServer,
  reviews: readonly string[],
): Promise<{ readonly calls: number; readonly cpuUs: number }> {
  const next = inTurn(reviews);
  const caller = createCaller({ port, path, ca: keys.ca });
  const before = cpuOf(pid);
  const calls = await closedLoop(16, SECONDS, () => caller.call(next()));
  caller.close();
  return { calls, cpuUs: cpuOf(pid) - before };
}

async function warmUp(bench: Bench, server: BenchServer, reviews: readonly string[]): Promise<void> {
  const until = performance.now() + 1000 * WARM_UP.seconds;
  for (let calls = 0; calls < WARM_UP.calls && performance.now() < until;) {
    calls += (await saturate(bench, server, reviews)).calls;
  }
}

/** Returns the processor time per request, in microseconds. */
async function cost(bench: Bench, server: BenchServer, reviews: readonly string[]): Promise<number> {
  const { calls, cpuUs } = await saturate(bench, server, reviews);
  return cpuUs / calls;
}

interface Starts {
  readonly floor: () => Promise<BenchServer>;
  readonly ours: () => Promise<BenchServer>;
}

/** Returns the ratio at a pace, of servers that were just started. */
async function pacedRatio(bench: Bench, starts: Starts, texts: readonly string[]): Promise<number> {
  const contenders = (['floor', 'ours'] as const).map((name) => ({ name, start: starts[name] }));
  const results = await paced({ ...bench, rounds: PACED_ROUNDS }, contenders, texts, [PACE]);
  const ours = results.find(({ server }) => server === 'ours');
  return ours === undefined ? Number.NaN : median(costByFloor(results, ours));
}

/** Returns the ratio at saturation, with both servers in turns. */
async function saturatedRatio(bench: Bench, starts: Starts, texts: readonly string[]): Promise<number> {
  const [floor, ours] = [await starts.floor(), await starts.ours()];
  try {
    await assertPatches({ ...ours, ca: bench.keys.ca }, texts[0] ?? '');
    for (const server of [floor, ours]) await warmUp(bench, server, texts);
    const [floors, all]: [number[], number[]] = [[], []];
    for (let round = 0; round < ROUNDS; round += 1) {
      floors.push(await cost(bench, floor, texts));
      all.push(await cost(bench, ours, texts));
    }
    return median(ratios(all, floors));
  } finally {
    await Promise.all([floor.stop(), ours.stop()]);
  }
}

/**
 * Checks for CI that our processor time per request is not far above the floor's, at 20 a second and at saturation. Prints the
 * ratios. Resolves to false if one is too high.
 */
export async function check(bench: Bench): Promise<boolean> {
  const registry = await benchRegistry();
  const settings = { SCOPE: 'cluster', DETECTION_REGISTRY_INSECURE: registry.host };
  const starts: Starts = {
    floor: () => startFloor(bench.keys),
    ours: () => startOurs(bench.keys, { main: bench.main, settings, inPod: true }),
  };
  try {
    const texts = textsOf('plain', registry.stand);
    const found = {
      paced: await pacedRatio(bench, starts, texts),
      saturated: await saturatedRatio(bench, starts, texts),
    };
    console.log(
      `processor time of a request, by the floor's: ${digits(found.paced)} at ${PACE.rate} a second (at most ${MOST.paced}), ` +
        `${digits(found.saturated)} at saturation (at most ${MOST.saturated})`,
    );
    return found.paced <= MOST.paced && found.saturated <= MOST.saturated;
  } finally {
    await registry.close();
  }
}
