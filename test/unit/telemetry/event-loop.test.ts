import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { createMetrics } from '../../../src/telemetry/metrics.ts';

/** Keeps the event loop busy. */
function block(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

async function lag(metrics: ReturnType<typeof createMetrics>, word: string): Promise<number> {
  const line = new RegExp(`^nodejs_eventloop_lag_${word}_seconds (\\S+)$`, 'm');
  return Number(line.exec(await metrics.render())?.[1]);
}

describe('the metrics of the event loop', () => {
  it('show an iteration that took long, until they are scraped', async () => {
    const metrics = createMetrics('0.0.0');
    await lag(metrics, 'max');
    await sleep(5);
    block(120);
    await sleep(5);
    expect(await lag(metrics, 'max')).toBeGreaterThan(0.1);
    await sleep(5);
    expect(await lag(metrics, 'max')).toBeLessThan(0.1);
  });

  it('have a value for each name that prom-client gives them', async () => {
    const metrics = createMetrics('0.0.0');
    for (const word of ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99']) {
      expect(await lag(metrics, word)).toBeGreaterThanOrEqual(0);
    }
  });

  it('do not count the time in which nothing happened', async () => {
    const metrics = createMetrics('0.0.0');
    await lag(metrics, 'max');
    await sleep(300);
    expect(await lag(metrics, 'max')).toBeLessThan(0.2);
  });
});
