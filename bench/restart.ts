import { setTimeout as sleep } from 'node:timers/promises';

import { startBalancer } from '../test/support/balancer.ts';
import { createCaller } from './client.ts';
import { openLoop } from './load.ts';
import type { Part } from './part.ts';
import { benchRegistry } from './registry.ts';
import { digits } from './report.ts';
import { inTurn, textsOf } from './reviews.ts';
import { startOurs, type BenchServer } from './servers.ts';
import { percentile } from './statistics.ts';

const RATE = 100;

/** Milliseconds in which a Service still sends connections to a terminating Pod, until its endpoints are updated everywhere. */
const ENDPOINTS_MS = 500;

/** Replaces the servers behind one address one by one, like a Deployment: each new one is ready before the old one ends. */
async function roll(start: () => Promise<BenchServer>, servers: BenchServer[], point: () => void): Promise<void> {
  for (const old of servers.slice()) {
    servers.push(await start());
    point();
    const stopped = old.stop();
    await sleep(ENDPOINTS_MS);
    servers.splice(servers.indexOf(old), 1);
    point();
    await stopped;
  }
}

/** Restarts servers under load and counts the calls that fail. */
export const rollingRestart: Part = async (bench) => {
  const { keys, main, rounds, progress } = bench;
  const registry = await benchRegistry();
  const settings = { SCOPE: 'cluster', DETECTION_REGISTRY_INSECURE: registry.host };
  const start = (): Promise<BenchServer> => startOurs(keys, { main, settings, inPod: true });
  const servers = [await start(), await start()];
  const balancer = await startBalancer('127.0.0.1');
  const point = (): void => balancer.set(servers.map(({ port }) => `https://127.0.0.1:${port}`));
  point();
  const caller = createCaller({ port: balancer.port, path: '/mutate', ca: keys.ca });
  const next = inTurn(textsOf('plain', registry.stand));
  const restartAll = async (): Promise<void> => {
    for (let round = 0; round < rounds; round += 1) {
      progress(`rolling restart ${round + 1}`);
      await roll(start, servers, point);
    }
  };
  const over = new AbortController();
  const restarts = restartAll().finally(() => over.abort());
  try {
    const latencies: number[] = [];
    let failed = 0;
    while (!over.signal.aborted) {
      const second = await openLoop(RATE, 1, () => caller.call(next()));
      latencies.push(...second.latencies);
      failed += second.failed;
    }
    await restarts;
    const calls = latencies.length + failed;
    const p99 = percentile(latencies, 0.99);
    return {
      tables: [
        {
          title: 'Rolling restarts',
          note: `Two servers behind one address, ${RATE} calls a second over kept connections. The new server is ready before the old one gets SIGTERM; new connections go to the old one for ${ENDPOINTS_MS} ms more. It ends once it was not called for five seconds, as in a Pod.`,
          columns: ['servers replaced', 'calls', 'failed', 'p99 ms', 'longest ms'],
          rows: [[String(2 * rounds), String(calls), String(failed), digits(p99), digits(Math.max(...latencies))]],
        },
      ],
      data: { replaced: 2 * rounds, calls, failed, p99 },
    };
  } finally {
    await restarts.catch(() => {});
    caller.close();
    for (const server of servers) await server.stop();
    await balancer.close();
    await registry.close();
  }
};
