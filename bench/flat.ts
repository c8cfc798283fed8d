import { setTimeout as sleep } from 'node:timers/promises';

import { assertPatches, createCaller, type Caller } from './client.ts';
import { closedLoop, openLoop } from './load.ts';
import type { Bench } from './part.ts';
import { cpuOf } from './process-cost.ts';
import { digits, spread, type Table } from './report.ts';
import { inTurn } from './reviews.ts';
import type { BenchServer } from './servers.ts';
import { figure, median, percentile } from './statistics.ts';

/** Calls a second, for each server. */
const RATE = 100;

/** A tail is seen by many calls: three times as many rounds as for the rest, and five times as long. */
const [ROUNDS_EACH, SECONDS_EACH] = [3, 5];

export interface Held {
  /** Namespaces and verdicts. */
  readonly count: number;
  readonly server: BenchServer;
}

interface Measured {
  readonly count: number;
  /** Milliseconds, of each round. */
  readonly rounds: (readonly number[])[];
  /** Microseconds of processor time for a call, one for each round. */
  readonly cpuUs: number[];
}

interface Run {
  readonly server: BenchServer;
  readonly caller: Caller;
  readonly measured: Measured;
}

/** All servers at once, each called in the pauses of the others: what disturbs the machine disturbs all of them. */
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

/** The same load on servers that hold little and much. */
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
    // Who comes first changes.
    await round([...runs.slice(at % runs.length), ...runs.slice(0, at % runs.length)], seconds * SECONDS_EACH, next);
  }
  for (const { caller } of runs) caller.close();
  return runs.map(({ measured }) => measured);
}

export function flatTable(measured: readonly Measured[]): Table {
  const [first] = measured;
  const latency = (one: Measured, share: number): [string, string] => {
    const byRound = figure(one.rounds.map((latencies) => percentile(latencies, share)));
    const overall = percentile(one.rounds.flat(), share);
    const [least, most] = [digits(byRound.low), digits(byRound.high)];
    return [
      `${digits(overall)} (${least} to ${most})`,
      digits(overall / percentile(first?.rounds.flat() ?? [], share)),
    ];
  };
  return {
    title: 'Latency by what the cluster holds',
    note:
      `${RATE} requests a second for each, all at once and in turns; of ${first?.rounds.flat().length ?? 0} calls each, with the spread of ` +
      `${first?.rounds.length ?? 0} rounds. "By the first": of two servers that hold the same it says what is noise.`,
    columns: [
      'namespaces and verdicts',
      'p50 ms',
      'by the first',
      'p99 ms',
      'by the first',
      'processor us',
      'by the first',
    ],
    rows: measured.map((one) => [
      String(one.count),
      ...latency(one, 0.5),
      ...latency(one, 0.99),
      spread(figure(one.cpuUs)),
      digits(median(one.cpuUs) / median(first?.cpuUs ?? [])),
    ]),
  };
}
