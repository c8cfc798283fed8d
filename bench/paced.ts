import { setTimeout as sleep } from 'node:timers/promises';

import { assertPatches, createCaller, targetOf } from './client.ts';
import { openLoop } from './load.ts';
import type { Bench } from './part.ts';
import { cpuOf } from './process-cost.ts';
import { spread, type Table } from './report.ts';
import { inTurn } from './reviews.ts';
import type { BenchServer } from './servers.ts';
import { figure, percentile, ratios } from './statistics.ts';

/** What clusters send, and for how many seconds: Linux tells processor time in hundredths of a second. */
const PACES = [
  { rate: 1, seconds: 40 },
  { rate: 5, seconds: 40 },
  { rate: 20, seconds: 20 },
  { rate: 100, seconds: 20 },
  { rate: 500, seconds: 8 },
] as const;

type Pace = { readonly rate: number; readonly seconds: number };

/** Milliseconds between the first review, which looks the image up, and the load. */
const SETTLE_MS = 12_000;

/** Calls of a round from which a 99.9th percentile says something. */
const LEAST_FOR_P999 = 1000;

interface Paced {
  readonly server: string;
  readonly rate: number;
  /** Milliseconds, by round. */
  readonly p50: number[];
  readonly p99: number[];
  /** Empty if a round has too few calls. */
  readonly p999: number[];
  /** The server's processor time per request by round, microseconds. */
  readonly cpuUs: number[];
  failed: number;
}

/** A server under this name, started anew for each round. */
export interface Contender {
  readonly name: string;
  readonly start: () => Promise<BenchServer>;
}

async function load(
  { keys }: Bench,
  server: BenchServer,
  { rate, seconds }: Pace,
  next: () => string,
  result: Paced,
): Promise<void> {
  const caller = createCaller(targetOf(server, keys.ca));
  const before = cpuOf(server.pid);
  const { latencies, failed } = await openLoop(rate, seconds, () => caller.call(next()));
  result.cpuUs.push((cpuOf(server.pid) - before) / latencies.length);
  result.p50.push(percentile(latencies, 0.5));
  result.p99.push(percentile(latencies, 0.99));
  if (latencies.length >= LEAST_FOR_P999) result.p999.push(percentile(latencies, 0.999));
  result.failed += failed;
  caller.close();
}

/** Loads freshly started servers at the same time, their calls interleaved: a disturbance of the machine affects all of them. */
async function round(
  bench: Bench,
  contenders: readonly Contender[],
  pace: Pace,
  texts: readonly string[],
  results: readonly Paced[],
): Promise<void> {
  const servers: BenchServer[] = [];
  const next = inTurn(texts);
  try {
    for (const { start } of contenders) servers.push(await start());
    const ours = servers.filter(({ name }) => name === 'ours');
    for (const server of ours) await assertPatches(targetOf(server, bench.keys.ca), next());
    await sleep(Math.min(SETTLE_MS, 3000 * bench.seconds));
    await Promise.all(
      results.map(async (result, place) => {
        const server = servers[place];
        if (server === undefined) return;
        await sleep((place * 1000) / pace.rate / servers.length);
        await load(bench, server, pace, next, result);
      }),
    );
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

/** Measures what a review costs at the pace of clusters: each server is started anew, and warmed only by what it is sent. */
export async function paced(
  bench: Bench,
  contenders: readonly Contender[],
  texts: readonly string[],
  paces: readonly Pace[] = PACES,
): Promise<Paced[]> {
  const all: Paced[] = [];
  for (const { rate, seconds } of paces) {
    const pace = { rate, seconds: Math.min(seconds, 10 * bench.seconds) };
    const results = contenders.map(({ name }): Paced => ({
      server: name,
      rate,
      p50: [],
      p99: [],
      p999: [],
      cpuUs: [],
      failed: 0,
    }));
    for (let time = 0; time < bench.rounds; time += 1) {
      bench.progress(`known images: ${rate} a second, round ${time + 1}`);
      // Rotated, so that no server is always the first.
      const turn = <T>(list: readonly T[]): T[] => [
        ...list.slice(time % list.length),
        ...list.slice(0, time % list.length),
      ];
      await round(bench, turn(contenders), pace, texts, turn(results));
    }
    all.push(...results);
  }
  return all;
}

/** Returns a server's processor time by the floor's, of each round. */
export const costByFloor = (results: readonly Paced[], { rate, cpuUs }: Paced): number[] =>
  ratios(cpuUs, results.find((one) => one.server === 'floor' && one.rate === rate)?.cpuUs ?? []);

export function pacedTable(results: readonly Paced[]): Table {
  return {
    title: 'Known images, at the pace of clusters',
    note:
      'Each server started anew for each round, and warmed only by what it is sent; the one review that looks the image up comes before, and ours rehearses after it. ' +
      'All at the same time. Milliseconds from when a call was due to its answer, over a kept connection. At 500 a second all together are more than two cores can do: the latencies say nothing.',
    columns: ['requests/s', 'server', 'processor us/request', 'by the floor', 'p50', 'p99', 'p99.9', 'failed'],
    rows: results.map((result) => [
      String(result.rate),
      result.server,
      spread(figure(result.cpuUs)),
      spread(figure(costByFloor(results, result))),
      spread(figure(result.p50)),
      spread(figure(result.p99)),
      spread(figure(result.p999)),
      String(result.failed),
    ]),
  };
}
