import { assertPatches, targetOf } from './client.ts';
import { type Contender, paced, pacedTable } from './paced.ts';
import type { Bench, Part } from './part.ts';
import { cpuOf } from './process-cost.ts';
import { benchRegistry, type BenchRegistry } from './registry.ts';
import { digits, spread, type Table } from './report.ts';
import { bodies, type Body, textsOf } from './reviews.ts';
import { generator, saturateFrom } from './saturate.ts';
import { startFloor, startOurs, startTellingFloor, type BenchServer } from './servers.ts';
import { figure, ratios } from './statistics.ts';

const CONNECTIONS = [1, 16, 64];

/** The servers that patch each of the Pods. */
const PATCHING = ['telling floor', 'ours', 'pepr'];

/** Seconds of load before measuring: V8 optimises functions after some ten thousand calls. */
const WARM_UP = 10;

/** Rounds, if as many are wanted: one of all paces takes four minutes, one of all reviews at saturation three. */
const ROUNDS = 3;

interface Saturated {
  readonly server: string;
  readonly review: string;
  readonly connections: number;
  /** Requests a second, by round. */
  readonly perSecond: number[];
  /** The server's processor time per request by round, microseconds. */
  readonly cpuUs: number[];
}

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
    for (let round = 0; round < Math.min(ROUNDS, rounds); round += 1) {
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
    note: `Load from ${generator() === 'wrk' ? 'wrk, one thread' : 'our own client'}. "Of the floor": the median of the rounds' ratios; of processor time its inverse. pepr: Pepr's controller with the telling floor's patch, and its own annotation and log.`,
    columns: ['review', 'connections', 'server', 'requests/s', 'of the floor', 'processor us/request', 'of the floor'],
    rows,
  };
}

/** The servers that are compared: floors, ours and peers. */
const contendersOf = ({ keys, main, peers }: Bench, { host }: BenchRegistry): Contender[] => [
  { name: 'floor', start: () => startFloor(keys) },
  { name: 'telling floor', start: () => startTellingFloor(keys) },
  {
    name: 'ours',
    start: () =>
      startOurs(keys, { main, settings: { SCOPE: 'cluster', DETECTION_REGISTRY_INSECURE: host }, inPod: true }),
  },
  ...peers.map(({ name, start }) => ({ name, start: () => start(keys) })),
];

/** Measures what known images cost at the pace of clusters, next to a server that does nothing. */
export const pace: Part = async (bench) => {
  const registry = await benchRegistry();
  try {
    const results = await paced(
      { ...bench, rounds: Math.min(ROUNDS, bench.rounds) },
      contendersOf(bench, registry),
      textsOf('plain', registry.stand),
    );
    return { tables: [pacedTable(results)], data: results };
  } finally {
    await registry.close();
  }
};

/** Measures what known images cost at saturation, next to a server that does nothing. */
export const warmPath: Part = async (bench) => {
  const { keys } = bench;
  const registry = await benchRegistry();
  const reviews = bodies(registry.stand);
  const servers: BenchServer[] = [];
  try {
    for (const { start } of contendersOf(bench, registry)) servers.push(await start());
    for (const server of servers.filter(({ name }) => PATCHING.includes(name)))
      for (const { texts } of reviews) await assertPatches(targetOf(server, keys.ca), texts[0] ?? '');
    const saturated = await saturation(bench, servers, reviews);
    return { tables: [saturationTable(saturated, reviews)], data: { generator: generator(), saturated } };
  } finally {
    for (const server of servers) await server.stop();
    await registry.close();
  }
};
