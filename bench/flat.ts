import { setTimeout as sleep } from 'node:timers/promises';

import { assertPatches, createCaller, type Caller } from './client.ts';
import { closedLoop, openLoop } from './load.ts';
import type { Bench } from './part.ts';
import { cpuOf } from './process-cost.ts';
import { digits, spread, type Table } from './report.ts';
import { inTurn } from './reviews.ts';
import type { BenchServer } from './servers.ts';
import { figure, median, percentile } from './statistics.ts';

/** Calls a second to each server. */
const RATE = 100;

/** Factors for rounds and seconds: tail latency needs more calls than the other measurements. */
const [ROUNDS_EACH, SECONDS_EACH] = [3, 5];

export interface Held {
  /** Number of namespaces, and of verdicts. */
  readonly count: number;
  readonly server: BenchServer;
}

interface Measured {
  readonly count: number;
  /** Latencies by round, milliseconds. */
  readonly rounds: (readonly number[])[];
  /** Processor time per call by round, microseconds. */
  readonly cpuUs: number[];
}

interface Run {
  readonly server: BenchServer;
  readonly caller: Caller;
  readonly measured: Measured;
}

/** Measures all servers at once, with their calls interleaved, so that any disturbance of the machine affects all of them. */
async function round(runs: readonly Run[], seconds: number, next: () => string): Promise<void> {
  await Promise.all(
    runs.map(async ({ server, caller, measured }, place) => {
      await sleep((place * 1000) / RATE / runs.length);
      const before = cpuOf(server.pid);
      const { latencies } = await openLoop(RATE, seconds, () => caller.call(next()));
      measured.rounds.push(latencies);
      measured.cpuUs.push((cpuOf(server.pid) - before) / latencies.length);
    }),
  );
}

/** Puts the same load on servers that hold little and on servers that hold much. */
export async function flatCost(
  { keys, rounds, seconds, progress }: Bench,
  held: readonly Held[],
  texts: readonly string[],
): Promise<readonly Measured[]> {
  const next = inTurn(texts);
  for (const { server } of held) await assertPatches({ ...server, ca: keys.ca }, next());
  const runs = held.map(({ count, server }) => ({
    server,
    caller: createCaller({ ...server, ca: keys.ca }),
    measured: { count, rounds: [], cpuUs: [] } as Measured,
  }));
  for (const { caller } of runs) await closedLoop(4, 2 * seconds, () => caller.call(next()));
  for (let at = 0; at < rounds * ROUNDS_EACH; at += 1) {
    progress(`flat cost, round ${at + 1}`);
    // Rotate, so that no server is always the first.
    await round([...runs.slice(at % runs.length), ...runs.slice(0, at % runs.length)], seconds * SECONDS_EACH, next);
  }
  for (const { caller } of runs) caller.close();
  return runs.map(({ measured }) => measured);
}

interface Latency {
  readonly overall: number;
  readonly text: string;
  /** Ratio of the slowest to the fastest server of the same count: the noise. */
  readonly equals: number;
}

function latencyOf(servers: readonly Measured[], share: number): Latency {
  const rounds = servers.flatMap((one) => one.rounds);
  const overall = percentile(rounds.flat(), share);
  const byRound = figure(rounds.map((latencies) => percentile(latencies, share)));
  const each = servers.map((one) => percentile(one.rounds.flat(), share));
  return {
    overall,
    text: `${digits(overall)} (${digits(byRound.low)} to ${digits(byRound.high)})`,
    equals: Math.max(...each) / Math.min(...each),
  };
}

/** Returns a row for each count, over all servers of that count. */
export function flatTable(measured: readonly Measured[]): Table {
  const rows = Map.groupBy(measured, ({ count }) => count)
    .entries()
    .map(([count, servers]) => ({
      count,
      p50: latencyOf(servers, 0.5),
      p99: latencyOf(servers, 0.99),
      cpuUs: servers.flatMap((one) => one.cpuUs),
    }))
    .toArray();
  const [first] = rows;
  const columnsOf = (latency: Latency, least: Latency | undefined): string[] => [
    latency.text,
    digits(latency.overall / (least?.overall ?? Number.NaN)),
    digits(latency.equals),
  ];
  return {
    title: 'Latency by what the cluster holds',
    note:
      `Two servers of each count, ${RATE} requests a second for each, all at once and in turns; of both together, with the spread of ` +
      `${first?.cpuUs.length ?? 0} rounds. "Of equals" is the slower of two that hold the same by the other: noise.`,
    columns: [
      'namespaces and verdicts',
      'p50 ms',
      'by the first',
      'of equals',
      'p99 ms',
      'by the first',
      'of equals',
      'processor us',
      'by the first',
    ],
    rows: rows.map(({ count, p50, p99, cpuUs }) =>
      [
        String(count),
        columnsOf(p50, first?.p50),
        columnsOf(p99, first?.p99),
        spread(figure(cpuUs)),
        digits(median(cpuUs) / median(first?.cpuUs ?? [])),
      ].flat(),
    ),
  };
}
