import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { clusterMissing, startCluster, type TestCluster } from '../test/support/cluster.ts';
import { installImageLibcs } from '../test/support/image-libc.ts';
import { createCaller } from './client.ts';
import { closedLoop, openLoop } from './load.ts';
import { fill } from './many.ts';
import type { Bench, Part } from './part.ts';
import { cpuOf, residentOf } from './process-cost.ts';
import { benchRegistry, type BenchRegistry } from './registry.ts';
import { digits, spread, type Table } from './report.ts';
import { bodies } from './reviews.ts';
import { startFloor, startOurs, type BenchServer } from './servers.ts';
import { figure, percentile, slope } from './statistics.ts';

const COUNTS = [0, 100, 1000, 10_000, 50_000];
const RATE = 100;

/** Images of an hour: Pods of Jobs and previews on images that come once. */
const CHURN = 2000;

interface Sized {
  readonly count: number;
  readonly readyMs: number;
  readonly idle: number;
  readonly loaded: number;
  readonly churned: number;
  /** Milliseconds, one for each round. */
  readonly p99: number[];
  readonly cpuUs: number[];
}

async function paced(
  { keys, rounds, seconds }: Bench,
  { port, pid }: BenchServer,
  text: string,
): Promise<Pick<Sized, 'p99' | 'cpuUs'>> {
  const caller = createCaller({ port, path: '/mutate', ca: keys.ca });
  const p99: number[] = [];
  const cpuUs: number[] = [];
  await closedLoop(4, seconds, () => caller.call(text));
  for (let round = 0; round < rounds; round += 1) {
    const before = cpuOf(pid);
    const { latencies } = await openLoop(RATE, 2 * seconds, () => caller.call(text));
    cpuUs.push((cpuOf(pid) - before) / latencies.length);
    p99.push(percentile(latencies, 0.99));
  }
  caller.close();
  return { p99, cpuUs };
}

/** Pods on images that are seen once, as many as there can be at a time. */
async function churn({ keys }: Bench, { port }: BenchServer, registry: BenchRegistry): Promise<void> {
  const caller = createCaller({ port, path: '/mutate', ca: keys.ca });
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < CHURN) {
      next += 1;
      const image = registry.stand(`churn-${next}`);
      const [review] = bodies(() => image);
      await caller.call(review?.text ?? '');
    }
  };
  await Promise.all(Array.from({ length: 8 }, lane));
  caller.close();
}

/** Waits until all of a cluster's ImageLibcs are read: readiness does not wait for more than some seconds. */
async function untilRead({ probesPort }: BenchServer, count: number): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    const text = await (await fetch(`http://127.0.0.1:${probesPort}/metrics`)).text();
    if (text.includes(`libc_dns_informer_objects{resource="imagelibcs"} ${count}\n`)) return;
    await sleep(100);
  }
  throw new Error(`${count} ImageLibcs were not read within a minute`);
}

async function sizeWith(
  bench: Bench,
  cluster: TestCluster | undefined,
  registry: BenchRegistry,
  count: number,
): Promise<Sized> {
  const { keys, main, seconds } = bench;
  const joined = cluster === undefined ? [] : ['--kubeconfig', cluster.kubeconfig];
  const settings = {
    SCOPE: 'cluster',
    DETECTION_REGISTRY_INSECURE: registry.host,
    ...(cluster !== undefined && { DETECTION_CACHE_STORE: 'cluster', DETECTION_CACHE_ENTRIES: '60000' }),
  };
  const server = await startOurs(keys, { main, settings, flags: joined });
  try {
    if (cluster !== undefined) await untilRead(server, count);
    await sleep(1000 * seconds);
    const idle = residentOf(server.pid);
    const [plain = { name: '', text: '' }] = bodies(registry.stand);
    const load = await paced(bench, server, plain.text);
    const loaded = residentOf(server.pid);
    await churn(bench, server, registry);
    await sleep(1000 * seconds);
    return { count, readyMs: server.readyMs, idle, loaded, churned: residentOf(server.pid), ...load };
  } finally {
    await server.stop();
  }
}

function sizeTable(results: readonly Sized[], floor: number): Table {
  const points = results.map(({ count, idle }) => ({ things: count, value: idle * 2 ** 20 }));
  const grown = results.length < 2 ? '' : ` A namespace and a verdict together: ${Math.round(slope(points))} bytes.`;
  return {
    title: 'Memory and latency by what the cluster holds',
    note: `MiB resident. Loaded: after ${RATE} requests a second. Churned: after ${CHURN} Pods on images that are seen once. The floor: ${digits(floor)} idle.${grown}`,
    columns: [
      'namespaces and verdicts',
      'ready after ms',
      'idle',
      'loaded',
      'churned',
      'p99 ms',
      'processor us/request',
    ],
    rows: results.map(({ count, readyMs, idle, loaded, churned, p99, cpuUs }) => [
      String(count),
      digits(readyMs),
      digits(idle),
      digits(loaded),
      digits(churned),
      spread(figure(p99)),
      spread(figure(cpuUs)),
    ]),
  };
}

async function startTable({ keys, main, rounds }: Bench): Promise<{ table: Table; data: unknown }> {
  const ready: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const server = await startOurs(keys, { main, settings: { SCOPE: 'cluster' } });
    ready.push(server.readyMs);
    await server.stop();
  }
  const bytes = statSync(main).size;
  const table = {
    title: 'Bundle and start',
    columns: ['bundle MB', 'start to ready ms, without a cluster'],
    rows: [[digits(bytes / 1e6), spread(figure(ready))]],
  };
  return { table, data: { bytes, ready } };
}

async function floorResident({ keys, seconds }: Bench): Promise<number> {
  const floor = await startFloor(keys);
  await sleep(1000 * seconds);
  const resident = residentOf(floor.pid);
  await floor.stop();
  return resident;
}

/** How large it is, and whether its costs stay flat in what the cluster holds. */
export const size: Part = async (bench) => {
  const start = await startTable(bench);
  const floor = await floorResident(bench);
  const registry = await benchRegistry();
  const missing = clusterMissing();
  if (missing !== undefined) process.stderr.write(`!! only sizes without a cluster: ${missing}\n`);
  const cluster = missing === undefined ? await startCluster() : undefined;
  try {
    if (cluster !== undefined) await installImageLibcs(cluster.client);
    const counts = cluster === undefined ? [0] : COUNTS.slice(0, bench.rounds === 1 ? 3 : COUNTS.length);
    const results: Sized[] = [];
    for (const [at, count] of counts.entries()) {
      bench.progress(`size: writing ${count} namespaces and verdicts`);
      if (cluster !== undefined) await fill(cluster.client, counts[at - 1] ?? 0, count);
      bench.progress(`size: with ${count} namespaces and verdicts`);
      results.push(await sizeWith(bench, cluster, registry, count));
    }
    return { tables: [start.table, sizeTable(results, floor)], data: { start: start.data, floor, results } };
  } finally {
    await cluster?.stop();
    await registry.close();
  }
};
