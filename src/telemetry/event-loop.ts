import { type ELDHistogram, monitorEventLoopDelay } from 'node:perf_hooks';

import { Gauge, type Registry } from 'prom-client';

/** What is told of the iterations since the last scrape, by the last word of the metric's name. Nanoseconds. */
const VALUES: Readonly<Record<string, (lag: ELDHistogram) => number>> = {
  min: ({ min }) => min,
  max: ({ max }) => max,
  mean: ({ mean }) => mean,
  stddev: ({ stddev }) => stddev,
  p50: (lag) => lag.percentile(50),
  p90: (lag) => lag.percentile(90),
  p99: (lag) => lag.percentile(99),
};

/** For prom-client's default metrics: milliseconds between samples of its own monitor, which so never wakes the process. */
export const NEVER_SAMPLED = { eventLoopMonitoringPrecision: 2 ** 31 - 1 } as const;

/**
 * Puts gauges of the same names in the place of prom-client's `nodejs_eventloop_lag_*_seconds`. A sample is the time that one iteration
 * of the event loop took. That needs no timer: prom-client's wakes an idle process 100 times a second, which costs more than the reviews
 * of most clusters. Node before 26 ignores the option and uses such a timer. Returns a function to call before each scrape.
 */
export function measureEventLoop(registry: Registry): () => void {
  const lag = monitorEventLoopDelay({ samplePerIteration: true });
  lag.enable();
  const gauges = Object.entries(VALUES).map(([word, read]) => {
    const name = `nodejs_eventloop_lag_${word}_seconds`;
    registry.removeSingleMetric(name);
    const help = `How long iterations of the event loop took since the last scrape: ${word}.`;
    return { gauge: new Gauge({ name, help, registers: [registry] }), read };
  });
  return () => {
    for (const { gauge, read } of gauges) gauge.set(lag.count === 0 ? 0 : read(lag) / 1e9);
    lag.reset();
  };
}
