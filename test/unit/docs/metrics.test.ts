import { readdirSync, readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { REASONS } from '../../../src/policy/reasons.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { anchors, code, page, rows } from './pages.ts';

const METRICS = page('docs/metrics.md');
const RUNBOOK = page('docs/runbook.md');
const RULES = page('charts/libc-dns-webhook/files/rules.yaml');
const DASHBOARD = page('charts/libc-dns-webhook/files/dashboard.json');

interface Rule {
  readonly alert: string;
  readonly annotations: Readonly<Record<string, string>>;
}
const rules = (parse(RULES) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules);

/** Everything that a server can show, as `name type labels`. */
async function exported(): Promise<string[]> {
  const metrics = createMetrics('0.0.0');
  metrics.cluster.certificates(() => ({ trusted: true, caExpires: 0 }));
  metrics.cluster.exposure(() => ({ exposed: true, nodes: 1 }));
  metrics.cluster.podResolvers(() => ({ namespaces: 1, images: 1, leftOut: 0 }));
  metrics.clientCa(new Date());
  metrics.dnsOverTcp(true);
  metrics.detection.sizes(() => ({ underWay: 0, queued: 0, verdicts: 0 }));
  metrics.detection.readers(() => 0);
  const text = await metrics.render();
  return [...text.matchAll(/^# TYPE (libc_dns_\S+) (\S+)$/gm)].map(([, name, type]) => `${name} ${type}`);
}

const documented = rows(METRICS)
  .filter(([name]) => code(name)?.startsWith('libc_dns_'))
  .map(([name, type]) => `${code(name)} ${type}`);

const reasons = (text: string, heading: string): (string | undefined)[] =>
  rows(text, heading)
    .map(([name]) => code(name))
    .filter((name) => name !== undefined);

describe('the documentation of metrics', () => {
  it('has what the server shows, and nothing else', async () => {
    expect(documented.toSorted()).toEqual((await exported()).toSorted());
  });

  it('has the metrics of alerts and dashboard', () => {
    const used = [...`${RULES}${DASHBOARD}`.matchAll(/\blibc_dns_[a-z_]+\b/g)].map(([name]) =>
      name.replace(/_(bucket|sum|count)$/, ''),
    );
    const names = documented.map((entry) => entry.split(' ')[0]);
    expect([...new Set(used)].filter((name) => !names.includes(name))).toEqual([]);
    expect(used.length).toBeGreaterThan(20);
  });

  it('has units and names as Prometheus wants them', async () => {
    const names = (await exported()).map((entry) => entry.split(' '));
    expect(names.filter(([name, type]) => name?.endsWith('_total') !== (type === 'counter'))).toEqual([]);
    expect(names.filter(([name]) => /_(ms|milliseconds|kb|count)$/.test(name ?? ''))).toEqual([]);
  });

  it('names the labels that are counted by', async () => {
    const metrics = createMetrics('0.0.0');
    metrics.decided({ mode: 'off', remedy: [], reason: 'NoContainers', message: '', containers: [], warnings: [] })(0);
    metrics.detected('none', 'deadline');
    metrics.lookedUp('none', 1, 1);
    metrics.cluster.apiFailed('lease', 'forbidden');
    metrics.cluster.stored('verdict', 'written');
    metrics.cluster.pullSecretFailed('invalid');
    metrics.cluster.informer('namespaces', () => ({ synced: true, items: 0, contactAt: 0 }));
    metrics.refused(400);
    const text = await metrics.render();
    const shown = [...text.matchAll(/^(libc_dns_\w+)\{([^}]*)\}/gm)]
      .filter(([, name]) => !name?.endsWith('_bucket'))
      .map(
        ([, name, labels = '']) =>
          `${name} ${[...labels.matchAll(/(\w+)="/g)].map(([, label]) => `\`${label}\``).join(', ')}`,
      );
    const written = rows(METRICS).map(([name, , labels]) => `${code(name)} ${labels}`);
    expect([...new Set(shown)].filter((entry) => !written.includes(entry))).toEqual([]);
  });
});

describe('reasons', () => {
  const known = Object.keys(REASONS);

  it('are all in the runbook, in order, with their sentence and what to do', () => {
    expect(reasons(RUNBOOK, '## Reasons')).toEqual(known);
    const sentences = Object.fromEntries(rows(RUNBOOK, '## Reasons').map(([name, sentence]) => [code(name), sentence]));
    for (const [name, sentence] of Object.entries(REASONS)) expect(sentences[name]).toBe(sentence);
    const empty = rows(RUNBOOK, '## Reasons').filter((row) => row.length !== 3 || row.includes(''));
    expect(empty).toEqual([]);
  });
});

/** The text of all tests but those of the documentation. */
function tests(folder = new URL('../../', import.meta.url)): string {
  return readdirSync(folder, { withFileTypes: true })
    .map((entry) => {
      if (entry.isDirectory()) return tests(new URL(`${entry.name}/`, folder));
      return entry.name.endsWith('.test.ts') && entry.name !== 'metrics.test.ts'
        ? readFileSync(new URL(entry.name, folder), 'utf8')
        : '';
    })
    .join('\n');
}

it('every reason is in a test', () => {
  const text = tests();
  expect(Object.keys(REASONS).filter((reason) => !new RegExp(`\\b${reason}\\b`).test(text))).toEqual([]);
});

describe('alerts', () => {
  it.each(rules)('$alert has a chapter in the runbook, to which it points', ({ alert, annotations }) => {
    expect(RUNBOOK).toContain(`\n### ${alert}\n`);
    const chapter = RUNBOOK.split(`\n### ${alert}\n`)[1]?.split(/\n#{2,3} /)[0] ?? '';
    expect(chapter).toContain('```sh');
    expect(annotations['runbook_url']).toMatch(new RegExp(`/docs/runbook[.]md#${alert.toLowerCase()}$`));
  });

  it('lead to a chapter of the runbook that is there', () => {
    const places = rules.map(({ annotations }) => annotations['runbook_url']?.split('/blob/main/')[1]);
    const chapters = anchors(RUNBOOK).map((anchor) => `docs/runbook.md#${anchor}`);
    expect(places.filter((place) => !chapters.includes(place ?? ''))).toEqual([]);
  });

  it('are all there is in the runbook', () => {
    const chapters = [...RUNBOOK.matchAll(/^### (LibcDns\w+)$/gm)].map(([, name]) => name);
    expect(chapters).toEqual(rules.map(({ alert }) => alert));
  });
});
