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
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
}
interface Panel {
  readonly title: string;
  readonly type: string;
  readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>;
  readonly fieldConfig: {
    readonly defaults: { readonly unit?: string; readonly thresholds?: { readonly steps: readonly object[] } };
  };
  readonly targets: readonly { readonly expr: string }[];
}

const read = (file: string): string => readFileSync(join(CHART, 'files', file), 'utf8');
const rules = parse(read('rules.yaml')) as Rules;
const dashboard = JSON.parse(read('dashboard.json')) as Dashboard;

/** Of the API server (test/cluster/chart.test.ts finds it there) and of node-exporter. */
const OF_OTHERS = [
  'apiserver_admission_webhook_fail_open_count',
  'apiserver_mutating_admission_policy_check_total',
  'apiserver_validating_admission_policy_check_total',
  'node_nf_conntrack_stat_drop',
];

const expressions: [string, string][] = [
  ...rules.groups.flatMap((group) => group.rules.map(({ alert, expr }): [string, string] => [alert, expr])),
  ...dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }): [string, string] => [title, expr])),
];

const metricsOf = (expression: string): string[] =>
  [...expression.matchAll(/\b(?:libc_dns|apiserver|process|node)_[a-z_]+\b/g)].map(([name]) => name);

describe('alerts and dashboard', () => {
  it.each(expressions)('%s asks for metrics that the server has', async (_, expression) => {
    const metrics = createMetrics('0.0.0');
    metrics.clientCa(new Date());
    metrics.dnsOverTcp(true);
    metrics.cluster.certificates(() => ({ trusted: true, caExpires: 0 }));
    metrics.cluster.podResolvers(() => ({ namespaces: 1, images: 1, leftOut: 0 }));
    metrics.detection.sizes(() => ({ underWay: 0, queued: 0, verdicts: 0 }));
    const text = await metrics.render();
    const exported = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = '', type]) =>
      type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    );
    const wanted = metricsOf(expression).filter((name) => !OF_OTHERS.includes(name));
    expect(wanted.filter((name) => !exported.includes(name))).toEqual([]);
    expect(metricsOf(expression)).not.toEqual([]);
  });

  it('every panel filters what is ours by cluster and namespace, and what is of others by cluster', () => {
    const selectors = dashboard.panels.flatMap(({ targets }) =>
      targets.flatMap(({ expr }) => [...expr.matchAll(/\b(libc_dns|process|apiserver|node)_[a-z_]+(\{[^}]*\})?/g)]),
    );
    const wrong = selectors.filter(([, owner, labels = '']) => {
      const own = owner === 'libc_dns' || owner === 'process';
      return !labels.includes('cluster=~"$cluster"') || own !== labels.includes('namespace=~"$namespace"');
    });
    expect(wrong.map(([selector]) => selector)).toEqual([]);
    expect(selectors.length).toBeGreaterThan(20);
    expect(dashboard.templating.list.map(({ name }) => name)).toEqual(['datasource', 'cluster', 'namespace']);
  });

  it('the first row is of single numbers with thresholds, every panel has a unit, and none covers another', () => {
    const top = dashboard.panels.filter(({ gridPos }) => gridPos.y === 0);
    expect(top.map(({ type }) => type)).toEqual(top.map(() => 'stat'));
    expect(top.reduce((width, { gridPos }) => width + gridPos.w, 0)).toBe(24);
    const coloured = top.filter(({ fieldConfig }) => (fieldConfig.defaults.thresholds?.steps.length ?? 0) > 1);
    expect(coloured).toEqual(top);
    expect(dashboard.panels.filter(({ fieldConfig }) => fieldConfig.defaults.unit === undefined)).toEqual([]);
    const taken = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, index) => `${x + (index % w)} ${y + Math.floor(index / w)}`),
    );
    expect(new Set(taken).size).toBe(taken.length);
  });
});

/** What promtool is to see: series a minute apart, and which alerts they raise when. */
const CASES: readonly [alert: string, series: Readonly<Record<string, string>>, at: string, fires: boolean][] = [
  ['LibcDnsWebhookAbsent', { 'libc_dns_build_info{pod="a"}': '1x30' }, '20m', false],
  ['LibcDnsWebhookAbsent', {}, '20m', true],
  // Gone from one of two clusters, which only the one that is left would hide.
  [
    'LibcDnsWebhookAbsent',
    { 'libc_dns_build_info{cluster="a"}': '1x10', 'libc_dns_build_info{cluster="b"}': '1x60' },
    '40m',
    true,
  ],
  [
    'LibcDnsWebhookAbsent',
    { 'libc_dns_build_info{cluster="a"}': '1x60', 'libc_dns_build_info{cluster="b"}': '1x60' },
    '40m',
    false,
  ],
  [
    'LibcDnsTcpRefused',
    {
      'libc_dns_cluster_dns_over_tcp{pod="a"}': '1x10 0x20',
      'libc_dns_cluster_dns_over_tcp{pod="b"}': '1x10 0x20',
      'libc_dns_pods_with_use_vc_total{pod="a"}': '3x30',
    },
    '20m',
    true,
  ],
  // One replica alone does not reach it, or no Pod has use-vc, or those with it are in another cluster.
  [
    'LibcDnsTcpRefused',
    {
      'libc_dns_cluster_dns_over_tcp{pod="a"}': '0x30',
      'libc_dns_cluster_dns_over_tcp{pod="b"}': '1x30',
      'libc_dns_pods_with_use_vc_total{pod="a"}': '3x30',
    },
    '20m',
    false,
  ],
  [
    'LibcDnsTcpRefused',
    { 'libc_dns_cluster_dns_over_tcp{pod="a"}': '0x30', 'libc_dns_pods_with_use_vc_total{pod="a"}': '0x30' },
    '20m',
    false,
  ],
  [
    'LibcDnsTcpRefused',
    {
      'libc_dns_cluster_dns_over_tcp{cluster="a"}': '0x30',
      'libc_dns_pods_with_use_vc_total{cluster="b"}': '3x30',
    },
    '20m',
    false,
  ],
  // The replica that gave use-vc is gone; the Pods still have it.
  [
    'LibcDnsTcpRefused',
    {
      'libc_dns_cluster_dns_over_tcp{pod="b"}': '1x150 0x30',
      'libc_dns_pods_with_use_vc_total{pod="a"}': '3x60',
      'libc_dns_pods_with_use_vc_total{pod="b"}': '0x200',
    },
    '170m',
    true,
  ],
  [
    'LibcDnsNodeCacheUnready',
    {
      'libc_dns_node_local_state{pod="a",state="ready"}': '0x30',
      'libc_dns_node_local_state{pod="a",state="unready"}': '1x30',
      'libc_dns_decisions_total{pod="a",mode="enforce",remedy="options+redirect",reason="MixedRedirected"}': '2x30',
    },
    '20m',
    true,
  ],
  [
    'LibcDnsNodeCacheUnready',
    {
      'libc_dns_node_local_state{pod="a",state="absent"}': '1x30',
      'libc_dns_decisions_total{pod="a",mode="enforce",remedy="redirect",reason="MuslRedirected"}': '2x30',
    },
    '20m',
    true,
  ],
  [
    'LibcDnsNodeCacheUnready',
    {
      'libc_dns_node_local_state{pod="a",state="unready"}': '1x30',
      'libc_dns_decisions_total{pod="a",mode="audit",remedy="redirect",reason="MuslRedirected"}': '2x30',
      'libc_dns_decisions_total{pod="a",mode="enforce",remedy="retry",reason="NodeLocalUnready"}': '2x30',
    },
    '20m',
    false,
  ],
  [
    'LibcDnsNodeCacheUnready',
    {
      'libc_dns_node_local_state{pod="a",state="unready"}': '0x30',
      'libc_dns_node_local_state{pod="a",state="ready"}': '1x30',
      'libc_dns_decisions_total{pod="a",mode="enforce",remedy="redirect",reason="MuslRedirected"}': '2x30',
    },
    '20m',
    false,
  ],
  [
    'LibcDnsPacketsDropped',
    {
      'node_nf_conntrack_stat_drop{instance="node-a:9100"}': '0+6x60',
      'node_nf_conntrack_stat_drop{instance="node-b:9100"}': '70x60',
      'libc_dns_build_info{pod="a"}': '1x60',
    },
    '40m',
    true,
  ],
  // `insert_failed` also counts clashes that newer kernels resolve.
  [
    'LibcDnsPacketsDropped',
    {
      'node_nf_conntrack_stat_drop{instance="node-a:9100"}': '70x60',
      'node_nf_conntrack_stat_insert_failed{instance="node-a:9100"}': '0+60x60',
      'libc_dns_build_info{pod="a"}': '1x60',
    },
    '40m',
    false,
  ],
  ['LibcDnsWebhookRegistryFails', { 'libc_dns_registries_failing{pod="a"}': '1x60' }, '50m', true],
  ['LibcDnsWebhookRegistryFails', { 'libc_dns_registries_failing{pod="a"}': '1x10 0x50' }, '50m', false],
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
