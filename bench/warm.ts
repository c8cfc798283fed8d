import { assertPatches, createCaller, type Target } from './client.ts';
import { openLoop } from './load.ts';
import type { Bench, Part } from './part.ts';
import { cpuOf } from './process-cost.ts';
import { benchRegistry } from './registry.ts';
import { digits, spread, type Table } from './report.ts';
import { bodies, inTurn, type Body } from './reviews.ts';
import { generator, saturateFrom } from './saturate.ts';
import { startFloor, startOurs, startPeer, type BenchServer } from './servers.ts';
import { figure, percentile, ratios } from './statistics.ts';

const CONNECTIONS = [1, 16, 64];
const RATES = [20, 100, 500];

/** Seconds of load before measuring: V8 optimises functions after some ten thousand calls. */
const WARM_UP = 10;

interface Saturated {
  readonly server: string;
  readonly review: string;
  readonly connections: number;
  /** Requests a second, by round. */
  readonly perSecond: number[];
  /** The server's processor time per request by round, microseconds. */
  readonly cpuUs: number[];
}

interface Paced {
  readonly server: string;
  readonly rate: number;
  /** Milliseconds, by round. */
  readonly p50: number[];
  readonly p99: number[];
  readonly p999: number[];
  /** The server's processor time per request by round, microseconds. */
  readonly cpuUs: number[];
  failed: number;
}

/** Adds the timeout that an API server puts into the URL. */
const targetOf = ({ port, path }: BenchServer, ca: string): Target => ({ port, path: `${path}?timeout=10s`, ca });

async function saturation(
  bench: Bench,
  servers: readonly BenchServer[],
  reviews: readonly Body[],
): Promise<Saturated[]> {
  const { keys, rounds, seconds, progress } = bench;
  const saturate = saturateFrom(keys.folder);
  const cases = reviews.flatMap(({ name, texts }) => {
    // One review is enough to show the effect of the number of connections.
    const numbers = name === 'plain' ? CONNECTIONS : [16];
    return numbers.map((connections) => ({ name, texts, connections }));
  });
  const results: Saturated[] = [];
  for (const { name, texts, connections } of cases) {
    const here = servers.map((server) => ({ server, result: emptySaturated(server.name, name, connections) }));
    results.push(...here.map(({ result }) => result));
    for (const { server } of here)
      await saturate(targetOf(server, keys.ca), texts, connections, Math.min(WARM_UP, 3 * seconds));
    for (let round = 0; round < rounds; round += 1) {
      progress(`warm path: ${name}, ${connections} connections, round ${round + 1}`);
      for (const { server, result } of here) {
        const before = cpuOf(server.pid);
        const answered = await saturate(targetOf(server, keys.ca), texts, connections, seconds);
        result.perSecond.push(answered / seconds);
        result.cpuUs.push((cpuOf(server.pid) - before) / answered);
      }
    }
  }
  return results;
}

const emptySaturated = (server: string, review: string, connections: number): Saturated => ({
  server,
  review,
  connections,
  perSecond: [],
  cpuUs: [],
});

async function pacing(bench: Bench, servers: readonly BenchServer[], reviews: readonly string[]): Promise<Paced[]> {
  const next = inTurn(reviews);
  const { keys, rounds, seconds, progress } = bench;
  const results: Paced[] = [];
  for (const rate of RATES) {
    const here = servers.map((server) => ({
      pid: server.pid,
      caller: createCaller(targetOf(server, keys.ca)),
      result: { server: server.name, rate, p50: [], p99: [], p999: [], cpuUs: [], failed: 0 } as Paced,
    }));
    results.push(...here.map(({ result }) => result));
    for (let round = 0; round < rounds; round += 1) {
      progress(`warm path: ${rate} requests/s, round ${round + 1}`);
      for (const { pid, caller, result } of here) {
        const before = cpuOf(pid);
        const { latencies, failed } = await openLoop(rate, Math.max(seconds, 400 / rate), () => caller.call(next()));
        result.cpuUs.push((cpuOf(pid) - before) / latencies.length);
        result.p50.push(percentile(latencies, 0.5));
        result.p99.push(percentile(latencies, 0.99));
        result.p999.push(percentile(latencies, 0.999));
        result.failed += failed;
      }
    }
    for (const { caller } of here) caller.close();
  }
  return results;
}

function saturationTable(results: readonly Saturated[], reviews: readonly Body[]): Table {
  const rows = results.map(({ server, review, connections, perSecond, cpuUs }) => {
    const floor = results.find(
      (one) => one.server === 'floor' && one.review === review && one.connections === connections,
    );
    const bytes = reviews.find(({ name }) => name === review)?.texts[0]?.length ?? 0;
    return [
      `${review}, ${digits(bytes / 1024)} KiB`,
      String(connections),
      server,
      spread(figure(perSecond)),
      digits(figure(ratios(perSecond, floor?.perSecond ?? [])).median),
      spread(figure(cpuUs)),
      digits(1 / figure(ratios(cpuUs, floor?.cpuUs ?? [])).median),
    ];
  });
  return {
    title: 'Known images, as many requests as there can be',
    note: `Load from ${generator() === 'wrk' ? 'wrk, one thread' : 'our own client'}. "Of the floor": the median of the rounds' ratios; of processor time its inverse.`,
    columns: ['review', 'connections', 'server', 'requests/s', 'of the floor', 'processor us/request', 'of the floor'],
    rows,
  };
}

function pacingTable(results: readonly Paced[]): Table {
  return {
    title: 'Known images, at a given pace',
    note: 'Milliseconds from when a call was due to its answer, over kept connections.',
    columns: ['requests/s', 'server', 'p50', 'p99', 'p99.9', 'processor us/request', 'failed'],
    rows: results.map(({ server, rate, p50, p99, p999, cpuUs, failed }) => [
      String(rate),
      server,
      spread(figure(p50)),
      spread(figure(p99)),
      spread(figure(p999)),
      spread(figure(cpuUs)),
      String(failed),
    ]),
  };
}

/** Measures throughput and latency for known images, next to a server that does nothing. */
export const warmPath: Part = async (bench) => {
  const { keys, main, peer } = bench;
  const registry = await benchRegistry();
  const reviews = bodies(registry.stand);
  const settings = { SCOPE: 'cluster', DETECTION_REGISTRY_INSECURE: registry.host };
  const ours = await startOurs(keys, { main, settings });
  const servers = [
    await startFloor(keys),
    ours,
    ...(peer === undefined ? [] : [await startPeer(keys, peer.command, peer.path)]),
  ];
  try {
    for (const { texts } of reviews) await assertPatches(targetOf(ours, keys.ca), texts[0] ?? '');
    const saturated = await saturation(bench, servers, reviews);
    const paced = await pacing(bench, servers, reviews[0]?.texts ?? []);
    return {
      tables: [saturationTable(saturated, reviews), pacingTable(paced)],
      data: { generator: generator(), saturated, paced },
    };
  } finally {
    for (const server of servers) await server.stop();
    await registry.close();
  }
};
