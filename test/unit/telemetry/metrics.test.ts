import { describe, expect, it } from 'vitest';

import type { Decision } from '../../../src/policy/model.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';

const decision = (mode: Decision['mode'], ...options: readonly string[]): Decision => ({
  mode,
  reason: 'OptionsAdded',
  message: '',
  remedy: ['options'],
  containers: [],
  warnings: [],
  change: { options: options.map((name) => ({ name })) },
});

const samples = async (metrics: ReturnType<typeof createMetrics>, name: string): Promise<string[]> =>
  (await metrics.render()).split('\n').filter((line) => line.startsWith(name));

describe('the metrics that alerts about DNS over TCP need', () => {
  it('count the Pods that were given use-vc, not those of audit mode', async () => {
    const metrics = createMetrics('0.0.0');
    metrics.decided(decision('enforce', 'single-request-reopen', 'use-vc'))(0);
    metrics.decided(decision('enforce', 'single-request-reopen'))(0);
    metrics.decided(decision('audit', 'use-vc'))(0);
    const name = 'libc_dns_pods_with_use_vc_total';
    expect(await samples(metrics, name)).toEqual([`${name} 1`]);
  });

  it('say nothing of DNS over TCP before somebody has asked: a 0 would be an alert', async () => {
    const metrics = createMetrics('0.0.0');
    const name = 'libc_dns_cluster_dns_over_tcp';
    expect(await samples(metrics, name)).toEqual([]);
    metrics.dnsOverTcp(false);
    expect(await samples(metrics, name)).toEqual([`${name} 0`]);
    metrics.dnsOverTcp(true);
    expect(await samples(metrics, name)).toEqual([`${name} 1`]);
  });
});
