import { startCollector } from '../test/support/collector.ts';
import { assertPatches, createCaller } from './client.ts';
import { openLoop } from './load.ts';
import type { Bench, Part } from './part.ts';
import { cpuOf, residentOf } from './process-cost.ts';
import { benchRegistry } from './registry.ts';
import { spread } from './report.ts';
import { bodies, inTurn } from './reviews.ts';
import { startOurs, type BenchServer } from './servers.ts';
import { figure, percentile } from './statistics.ts';

const RATE = 200;

/** What a server cost that sends traces, or none. Memory is resident MiB. */
interface Round {
  readonly idle: number;
  readonly loaded: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly cpuUs: number;
}

async function measure(bench: Bench, server: BenchServer, texts: readonly string[]): Promise<Round> {
  // Each Pod gives a span.
  const seconds = 5 * bench.seconds;
  const target = { port: server.port, path: server.path, ca: bench.keys.ca };
  const next = inTurn(texts);
  const idle = residentOf(server.pid);
  await assertPatches(target, next());
  const caller = createCaller(target);
  // V8 optimises first.
  await openLoop(RATE, seconds, () => caller.call(next()));
  const before = cpuOf(server.pid);
  const { latencies } = await openLoop(RATE, seconds, () => caller.call(next()));
  const cpuUs = (cpuOf(server.pid) - before) / latencies.length;
  caller.close();
  const [p50, p99] = [percentile(latencies, 0.5), percentile(latencies, 0.99)];
  return { idle, loaded: residentOf(server.pid), p50, p99, cpuUs };
}

/** Measures what traces cost a server that sends none, one that sends them, and one whose collector hangs. */
export const tracing: Part = async (bench) => {
  const registry = await benchRegistry();
  const [taking, hanging] = [await startCollector(), await startCollector(() => {})];
  const [plain] = bodies(registry.stand);
  const settings = { SCOPE: 'cluster', DETECTION_REGISTRY_INSECURE: registry.host };
  const cases = [
    { name: 'off', environment: {}, rounds: [] as Round[] },
    { name: 'on', environment: { OTEL_EXPORTER_OTLP_ENDPOINT: taking.endpoint }, rounds: [] as Round[] },
    {
      name: 'on, the collector hangs',
      environment: { OTEL_EXPORTER_OTLP_ENDPOINT: hanging.endpoint },
      rounds: [] as Round[],
    },
  ];
  try {
    for (let round = 0; round < bench.rounds; round += 1) {
      for (const { name, environment, rounds } of cases) {
        bench.progress(`traces ${name}, round ${round + 1}`);
        const server = await startOurs(bench.keys, { main: bench.main, settings, environment });
        rounds.push(await measure(bench, server, plain?.texts ?? []));
        await server.stop();
      }
    }
  } finally {
    await Promise.all([registry.close(), taking.close(), hanging.close()]);
  }
  const column = (rounds: readonly Round[], of: keyof Round): string => spread(figure(rounds.map((one) => one[of])));
  const table = {
    title: 'Traces',
    note: `${RATE} Pods a second with known images, each a span; memory after ${10 * RATE * bench.seconds} of them. MiB, and milliseconds.`,
    columns: ['traces', 'idle', 'loaded', 'p50', 'p99', 'processor us/request'],
    rows: cases.map(({ name, rounds }) => [
      name,
      ...(['idle', 'loaded', 'p50', 'p99', 'cpuUs'] as const).map((of) => column(rounds, of)),
    ]),
  };
  return { tables: [table], data: cases };
};
