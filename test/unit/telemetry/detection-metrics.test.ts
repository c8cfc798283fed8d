import { describe, expect, it } from 'vitest';

import { createMetrics } from '../../../src/telemetry/metrics.ts';

const read = async (metrics: ReturnType<typeof createMetrics>, name: string): Promise<number> => {
  const line = (await metrics.render()).split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length));
};

describe('what is counted of detection and of the server', () => {
  it('registries that fail, until they are well, whatever their number and their names', async () => {
    const metrics = createMetrics('1');
    for (let host = 0; host < 5000; host += 1) metrics.detection.breaker(`h${host}.example`, 'open');
    expect(await read(metrics, 'libc_dns_registries_failing')).toBe(1024);
    for (let host = 0; host < 5000; host += 1) metrics.detection.breaker(`h${host}.example`, 'half-open');
    for (let host = 3977; host < 5000; host += 1) metrics.detection.breaker(`h${host}.example`, 'closed');
    expect(await read(metrics, 'libc_dns_registries_failing')).toBe(1);
    expect(await read(metrics, 'libc_dns_registry_breaker_changes_total{state="open"}')).toBe(5000);
    expect(await metrics.render()).not.toContain('example');
  });

  it('sizes and readiness, as they are when asked', async () => {
    const metrics = createMetrics('1');
    expect(await read(metrics, 'libc_dns_ready')).toBe(0);
    let ready = true;
    metrics.service.ready(() => ready);
    metrics.detection.sizes(() => ({ underWay: 3, queued: 2, verdicts: 7 }));
    expect(await read(metrics, 'libc_dns_ready')).toBe(1);
    expect(await read(metrics, 'libc_dns_lookups_running')).toBe(3);
    expect(await read(metrics, 'libc_dns_lookups_queued')).toBe(2);
    expect(await read(metrics, 'libc_dns_verdicts_remembered')).toBe(7);
    ready = false;
    expect(await read(metrics, 'libc_dns_ready')).toBe(0);
  });
});
