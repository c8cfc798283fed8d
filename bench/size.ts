import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';

import { clusterMissing, startCluster, type TestCluster } from '../test/support/cluster.ts';
import { installImageLibcs } from '../test/support/image-libc.ts';
import { churn, HOUR } from './churn.ts';
import { assertPatches, createCaller } from './client.ts';
import { flatCost, flatTable } from './flat.ts';
import { closedLoop } from './load.ts';
import { fill } from './many.ts';
import type { Bench, Part } from './part.ts';
import { residentFilesOf, residentOf } from './process-cost.ts';
import { benchRegistry, type BenchRegistry } from './registry.ts';
import { digits, spread, type Table } from './report.ts';
import { inTurn, textsOf } from './reviews.ts';
import { startFloor, startOurs, startTypical, type BenchServer } from './servers.ts';
import { figure, median, ratios, slope } from './statistics.ts';

const COUNTS = [0, 1000, 10_000, 50_000];

/** Namespaces and verdicts of the nearly empty cluster that the largest is compared with. */
const FEW = 100;

/** The figures of one start. Memory is resident MiB. */
interface Round {
  readonly readyMs: number;
  readonly idle: number;
  /** The part of `idle` that is pages of program files. */
  readonly files: number;
  readonly loaded: number;
  /** The typical server, idle; NaN without a cluster. */
  readonly typical: number;
}

interface Sized {
  readonly count: number;
  readonly rounds: readonly Round[];
  /** Resident MiB of the last start after an hour's churn. */
  readonly churned: number;
}

async function load({ keys, seconds }: Bench, { port, path }: BenchServer, texts: readonly string[]): Promise<void> {
  const target = { port, path, ca: keys.ca };
  const next = inTurn(texts);
  await assertPatches(target, next());
  const caller = createCaller(target);
  await closedLoop(16, 2 * seconds, () => caller.call(next()));
  caller.close();
}

/** Waits until all ImageLibcs are read; readiness waits for them only a few seconds. */
async function untilRead({ probesPort }: BenchServer, count: number): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    const text = await (await fetch(`http://127.0.0.1:${probesPort}/metrics`)).text();
    const items = /^libc_dns_informer_objects\{resource="imagelibcs"\} (\d+)$/m.exec(text)?.[1];
    if (Number(items) >= count) return;
    await sleep(100);
  }
  throw new Error(`${count} ImageLibcs were not read within a minute`);
}

/** The default is 20,000 verdicts; larger clusters must configure more. */
const entriesFor = (count: number): string => String(Math.max(20_000, Math.round(1.2 * count)));

async function startJoined(
  { keys, main }: Bench,
  cluster: TestCluster | undefined,
  registry: BenchRegistry,
  count: number,
): Promise<BenchServer> {
  const settings = {
    SCOPE: 'cluster',
    DETECTION_REGISTRY_INSECURE: registry.host,
    ...(cluster && { DETECTION_CACHE_STORE: 'cluster', DETECTION_CACHE_ENTRIES: entriesFor(count) }),
  };
  const flags = cluster === undefined ? [] : ['--kubeconfig', cluster.kubeconfig];
  const server = await startOurs(keys, { main, settings, flags });
  if (cluster !== undefined) await untilRead(server, count);
  return server;
}

async function sizeWith(
  bench: Bench,
  cluster: TestCluster | undefined,
  registry: BenchRegistry,
  count: number,
): Promise<Sized> {
  const { seconds } = bench;
  const rounds: Round[] = [];
  let churned = Number.NaN;
  for (let round = 1; round <= bench.rounds; round += 1) {
    const server = await startJoined(bench, cluster, registry, count);
    try {
      await sleep(1000 * seconds);
      const [idle, files] = [residentOf(server.pid), residentFilesOf(server.pid)];
      await load(bench, server, textsOf('plain', registry.stand));
      const loaded = residentOf(server.pid);
      if (round === bench.rounds) {
        await churn(bench, server, { registry, client: cluster?.client, share: round === 1 ? 0.1 : 1 });
        await sleep(1000 * seconds);
        churned = residentOf(server.pid);
      }
      rounds.push({ readyMs: server.readyMs, idle, files, loaded, typical: await typicalResident(bench, cluster) });
    } finally {
      await server.stop();
    }
  }
  return { count, rounds, churned };
}

async function residentAndStop(server: BenchServer, seconds: number): Promise<number> {
  await sleep(1000 * seconds);
  const resident = residentOf(server.pid);
  await server.stop();
  return resident;
}

const typicalResident = async ({ keys, seconds }: Bench, cluster: TestCluster | undefined): Promise<number> =>
  cluster === undefined ? Number.NaN : await residentAndStop(await startTypical(keys, cluster.kubeconfig), seconds);

function sizeTable(results: readonly Sized[], floor: number): Table {
  const points = results.map(({ count, rounds }) => ({
    count,
    value: median(rounds.map(({ idle }) => idle)) * 2 ** 20,
  }));
  const grown = results.length < 2 ? '' : ` A namespace and a verdict together: ${Math.round(slope(points))} bytes.`;
  return {
    title: 'Memory by what the cluster holds',
    note:
      `MiB resident, ours with the environment and flags of image and chart. Files: of that, Node and its libraries. ` +
      `Loaded: just after saturation. Churned: after an hour's ${HOUR.pods} Pods, ${HOUR.images} new images and ` +
      `${HOUR.namespaces} new namespaces, once. Typical: the same namespaces and ImageLibcs in informers of client-node, ` +
      `idle (\`bench/servers/typical.ts\`). The floor: ${digits(floor)} idle.${grown}`,
    columns: [
      'namespaces and verdicts',
      'ready after ms',
      'idle',
      'files',
      'loaded',
      'churned',
      'typical',
      'ours by it',
    ],
    rows: results.map(({ count, rounds, churned }) => {
      const of = (what: keyof Round): number[] => rounds.map((round) => round[what]);
      const figures = [of('readyMs'), of('idle'), of('files'), of('loaded')].map((values) => spread(figure(values)));
      const byTypical = digits(figure(ratios(of('idle'), of('typical'))).median);
      return [String(count), ...figures, digits(churned), spread(figure(of('typical'))), byTypical];
    }),
  };
}

async function startTable({ keys, main, rounds }: Bench): Promise<{ table: Table; data: unknown }> {
  const ready: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const server = await startOurs(keys, { main, settings: { SCOPE: 'cluster' } });
    ready.push(server.readyMs);
    await server.stop();
  }
  const text = readFileSync(main);
  const [bytes, zipped] = [text.length, gzipSync(text).length];
  const table = {
    title: 'Bundle and start',
    columns: ['bundle MB', 'in gzip MB', 'start to ready ms, without a cluster'],
    rows: [[digits(bytes / 1e6), digits(zipped / 1e6), spread(figure(ready))]],
  };
  return { table, data: { bytes, zipped, ready } };
}

/** Measures in a child process, which can force garbage collection. */
async function heapTable(): Promise<{ table: Table; data: Record<string, number> }> {
  const script = fileURLToPath(new URL('servers/heap.ts', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', script]);
  const data = JSON.parse(stdout) as Record<string, number>;
  const table = {
    title: 'Heap by entry',
    note: 'Each of 20,000 (`bench/servers/heap.ts`).',
    columns: ['what', 'bytes'],
    rows: Object.entries(data).map(([what, bytes]) => [what, String(bytes)]),
  };
  return { table, data };
}

async function newCluster(): Promise<TestCluster> {
  const cluster = await startCluster();
  await installImageLibcs(cluster.client);
  // The namespace of the reviews.
  await cluster.createNamespace('shop');
  return cluster;
}

async function flat(bench: Bench, large: TestCluster, registry: BenchRegistry, count: number) {
  const small = await newCluster();
  const servers: BenchServer[] = [];
  try {
    await fill(small.client, 0, FEW);
    const counts = [FEW, count, FEW, count];
    for (const each of counts) servers.push(await startJoined(bench, each === FEW ? small : large, registry, each));
    const held = servers.map((server, at) => ({ server, count: counts[at] ?? 0 }));
    return await flatCost(bench, held, textsOf('plain', registry.stand));
  } finally {
    for (const server of servers) await server.stop();
    await small.stop();
  }
}

/** Measures bundle, start and memory, and whether costs stay flat as the cluster grows. */
export const size: Part = async (bench) => {
  const start = await startTable(bench);
  const floor = await residentAndStop(await startFloor(bench.keys), bench.seconds);
  const registry = await benchRegistry();
  const missing = clusterMissing();
  if (missing !== undefined) process.stderr.write(`!! only sizes without a cluster: ${missing}\n`);
  const cluster = missing === undefined ? await newCluster() : undefined;
  try {
    const counts = cluster === undefined ? [0] : COUNTS.slice(0, bench.rounds === 1 ? 2 : COUNTS.length);
    const results: Sized[] = [];
    for (const [at, count] of counts.entries()) {
      bench.progress(`size: writing ${count} namespaces and verdicts`);
      if (cluster !== undefined) await fill(cluster.client, counts[at - 1] ?? 0, count);
      bench.progress(`size: with ${count} namespaces and verdicts`);
      results.push(await sizeWith(bench, cluster, registry, count));
    }
    const heap = await heapTable();
    const costs = cluster && (await flat(bench, cluster, registry, counts.at(-1) ?? 0));
    return {
      tables: [start.table, sizeTable(results, floor), heap.table, ...(costs === undefined ? [] : [flatTable(costs)])],
      data: { start: start.data, floor, results, heap: heap.data, flat: costs },
    };
  } finally {
    await cluster?.stop();
    await registry.close();
  }
};
