import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';

import { createMetrics } from '../../src/telemetry/metrics.ts';
import { CHART } from './helm.ts';
import { hasTool } from './tools.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
}
interface Rules {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
}
interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[];
}

const read = (file: string): string => readFileSync(join(CHART, 'files', file), 'utf8');
const rules = parse(read('rules.yaml')) as Rules;
const dashboard = JSON.parse(read('dashboard.json')) as Dashboard;

/** Counted by the API server, not by us (test/cluster/chart.test.ts finds it there). */
const OF_OTHERS = ['apiserver_admission_webhook_fail_open_count'];

const expressions: [string, string][] = [
  ...rules.groups.flatMap((group) => group.rules.map(({ alert, expr }): [string, string] => [alert, expr])),
  ...dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }): [string, string] => [title, expr])),
];

const metricsOf = (expression: string): string[] =>
  [...expression.matchAll(/\b(?:libc_dns|apiserver|process)_[a-z_]+\b/g)].map(([name]) => name);

describe('alerts and dashboard', () => {
  it.each(expressions)('%s asks for metrics that the server has', async (_, expression) => {
    const metrics = createMetrics('0.0.0');
    metrics.clientCa(new Date());
    metrics.cluster.certificates(() => ({ trusted: true, caExpires: 0 }));
    metrics.detection.sizes(() => ({ underWay: 0, queued: 0, verdicts: 0 }));
    const text = await metrics.render();
    const exported = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = '', type]) =>
      type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    );
    const wanted = metricsOf(expression).filter((name) => !OF_OTHERS.includes(name));
    expect(wanted.filter((name) => !exported.includes(name))).toEqual([]);
    expect(metricsOf(expression)).not.toEqual([]);
  });
});

/** What promtool is to see: series a minute apart, and which alerts they raise when. */
const CASES: readonly [alert: string, series: Readonly<Record<string, string>>, at: string, fires: boolean][] = [
  ['LibcDnsWebhookAbsent', { 'libc_dns_build_info{pod="a"}': '1x30' }, '20m', false],
  ['LibcDnsWebhookAbsent', {}, '20m', true],
  [
    'LibcDnsWebhookFailsOpen',
    { 'apiserver_admission_webhook_fail_open_count{name="pods.libc-dns.dev"}': '0+1x60' },
    '30m',
    true,
  ],
  [
    'LibcDnsWebhookFailsOpen',
    { 'apiserver_admission_webhook_fail_open_count{name="other.example.com"}': '0+1x60' },
    '30m',
    false,
  ],
  ['LibcDnsWebhookErrors', { 'libc_dns_failures_total{pod="a"}': '0+1x60' }, '50m', true],
  ['LibcDnsWebhookErrors', { 'libc_dns_failures_total{pod="a"}': '7x60' }, '50m', false],
  [
    'LibcDnsWebhookLookupsFail',
    { 'libc_dns_lookups_total{failure="none"}': '0+9x200', 'libc_dns_lookups_total{failure="timeout"}': '0+1x200' },
    '150m',
    false,
  ],
  [
    'LibcDnsWebhookLookupsFail',
    { 'libc_dns_lookups_total{failure="none"}': '0+1x200', 'libc_dns_lookups_total{failure="timeout"}': '0+9x200' },
    '150m',
    true,
  ],
  ['LibcDnsWebhookUntrusted', { 'libc_dns_certificate_trusted{pod="a"}': '0x60' }, '20m', true],
  ['LibcDnsWebhookUntrusted', { 'libc_dns_certificate_trusted{pod="a"}': '1x60' }, '20m', false],
  [
    'LibcDnsWebhookCertificateExpires',
    { 'libc_dns_certificate_expiry_timestamp_seconds{pod="a"}': '86000x60' },
    '20m',
    true,
  ],
  [
    'LibcDnsWebhookCertificateExpires',
    { 'libc_dns_certificate_expiry_timestamp_seconds{pod="a"}': '604800x60' },
    '20m',
    false,
  ],
  [
    'LibcDnsWebhookClientCaExpires',
    { 'libc_dns_client_ca_expiry_timestamp_seconds{pod="a"}': '1209000x60' },
    '20m',
    true,
  ],
  [
    'LibcDnsWebhookClientCaExpires',
    { 'libc_dns_client_ca_expiry_timestamp_seconds{pod="a"}': '1309600x60' },
    '20m',
    false,
  ],
  [
    'LibcDnsWebhookCacheStale',
    { 'libc_dns_informer_last_contact_timestamp_seconds{pod="a",resource="namespaces"}': '0x60' },
    '40m',
    true,
  ],
  [
    'LibcDnsWebhookCacheStale',
    { 'libc_dns_informer_last_contact_timestamp_seconds{pod="a",resource="namespaces"}': '0+60x60' },
    '40m',
    false,
  ],
  ['LibcDnsWebhookNotReady', { 'libc_dns_ready{pod="a"}': '0x60', 'libc_dns_ready{pod="b"}': '1x60' }, '20m', true],
  ['LibcDnsWebhookNotReady', { 'libc_dns_ready{pod="a"}': '0 0 0 0 0 1x60' }, '20m', false],
  ['LibcDnsWebhookLate', { 'libc_dns_late_answers_total{pod="a"}': '0+1x60' }, '50m', true],
  ['LibcDnsWebhookLate', { 'libc_dns_late_answers_total{pod="a"}': '9x60' }, '50m', false],
  [
    'LibcDnsWebhookFlooded',
    {
      'libc_dns_bad_requests_total{pod="a",status="400"}': '0+100x60',
      'libc_dns_log_lines_left_out_total{pod="a"}': '0x60',
    },
    '40m',
    true,
  ],
  [
    'LibcDnsWebhookFlooded',
    {
      'libc_dns_bad_requests_total{pod="a",status="400"}': '0+1x60',
      'libc_dns_log_lines_left_out_total{pod="a"}': '0x60',
    },
    '40m',
    false,
  ],
  [
    'LibcDnsWebhookSlow',
    {
      'libc_dns_decision_duration_seconds_bucket{le="1"}': '0+90x60',
      'libc_dns_decision_duration_seconds_bucket{le="2.5"}': '0+100x60',
      'libc_dns_decision_duration_seconds_bucket{le="+Inf"}': '0+100x60',
    },
    '40m',
    true,
  ],
];

describe.runIf(hasTool('promtool', 'apt-get install prometheus'))('alerts, by promtool', () => {
  it('are right by its rules, and fire when they should', () => {
    const folder = mkdtempSync(join(tmpdir(), 'libc-dns-rules-'));
    writeFileSync(join(folder, 'rules.yaml'), read('rules.yaml'));
    const tests = CASES.map(([alert, series, at, fires]) => ({
      interval: '1m',
      name: alert,
      input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
      promql_expr_test: [
        {
          expr: `count(ALERTS{alertname="${alert}",alertstate="firing"}) or vector(0)`,
          eval_time: at,
          exp_samples: [{ labels: '{}', value: fires ? 1 : 0 }],
        },
      ],
    }));
    const file = { rule_files: ['rules.yaml'], evaluation_interval: '1m', tests };
    writeFileSync(join(folder, 'test.yaml'), stringify(file));
    const promtool = (...args: string[]): string =>
      execFileSync('promtool', args, { cwd: folder, encoding: 'utf8', stdio: 'pipe' });
    expect(promtool('check', 'rules', '--lint-fatal', 'rules.yaml')).toContain('SUCCESS');
    expect(promtool('test', 'rules', 'test.yaml')).toContain('SUCCESS');
    rmSync(folder, { recursive: true });
  });

  it('are each seen to fire, and each but the plainest seen not to', () => {
    const all = rules.groups.flatMap((group) => group.rules.map(({ alert }) => alert));
    const fired = CASES.filter(([, , , fires]) => fires).map(([alert]) => alert);
    expect(all.filter((alert) => !fired.includes(alert))).toEqual([]);
  });
});
