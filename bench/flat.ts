import { assertPatches, createCaller, type Caller } from './client.ts';
import { closedLoop, openLoop } from './load.ts';
import type { Bench } from './part.ts';
import { cpuOf } from './process-cost.ts';
import { digits, spread, type Table } from './report.ts';
import { inTurn } from './reviews.ts';
import type { BenchServer } from './servers.ts';
import { figure, median, percentile } from './statistics.ts';

const RATE = 100;

/** A tail is seen by many rounds: each gives one p99 of 400 calls. */
const ROUNDS_EACH = 4;

export interface Held {
  /** Namespaces and verdicts. */
  readonly count: number;
  readonly server: BenchServer;
}

interface Measured {
  readonly count: number;
  readonly p50: number[];
  readonly p99: number[];
  readonly cpuUs: number[];
}

async function round({ server, caller }: { server: BenchServer; caller: Caller }, seconds: number, next: () => string) {
  const before = cpuOf(server.pid);
  const { latencies } = await openLoop(RATE, seconds, () => caller.call(next()));
  return { latencies, cpuUs: (cpuOf(server.pid) - before) / latencies.length };
}

/** The same load on servers that hold little and much, in turns within one run. */
export async function flatCost(
  { keys, rounds, seconds, progress }: Bench,
  held: readonly Held[],
  texts: readonly string[],
) {
  const next = inTurn(texts);
  for (const { server } of held) await assertPatches({ ...server, ca: keys.ca }, next());
  const runs = held.map(({ count, server }) => ({
    server,
    caller: createCaller({ ...server, ca: keys.ca }),
    measured: { count, p50: [], p99: [], cpuUs: [] } as Measured,
  }));
  for (const { caller } of runs) await closedLoop(4, 2 * seconds, () => caller.call(next()));
  for (let at = 0; at < rounds * ROUNDS_EACH; at += 1) {
    progress(`flat cost, round ${at + 1}`);
    // Who comes first changes: what a round leaves behind falls on both.
    for (const run of at % 2 === 0 ? runs : runs.toReversed()) {
      const { latencies, cpuUs } = await round(run, seconds, next);
      run.measured.p50.push(percentile(latencies, 0.5));
      run.measured.p99.push(percentile(latencies, 0.99));
      run.measured.cpuUs.push(cpuUs);
    }
  }
  for (const { caller } of runs) caller.close();
  return runs.map(({ measured }) => measured);
}

export function flatTable(measured: readonly Measured[]): Table {
  const [least] = measured;
  const by = (values: readonly number[], first: readonly number[] = []): string =>
    digits(median(values) / median(first));
  return {
    title: 'Latency by what the cluster holds',
    note: `${RATE} requests a second, servers in turns, ${least?.p99.length ?? 0} rounds. "By the first": the ratio of the medians; of two servers that hold the same it says what is noise.`,
    columns: [
      'namespaces and verdicts',
      'p50 ms',
      'by the first',
      'p99 ms',
      'by the first',
      'processor us',
      'by the first',
    ],
    rows: measured.map(({ count, p50, p99, cpuUs }) => [
      String(count),
      spread(figure(p50)),
      by(p50, least?.p50),
      spread(figure(p99)),
      by(p99, least?.p99),
      spread(figure(cpuUs)),
      by(cpuUs, least?.cpuUs),
    ]),
  };
}
