import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { describe, expect, it } from 'vitest';

import { htmlReport } from '../../../../src/audit/html/report.ts';
import { findingTable } from '../../../../src/audit/html/tables.ts';
import type { AuditReport } from '../../../../src/audit/report/report.ts';
import example from '../../../fixtures/audit/report.json' with { type: 'json' };

const report = example as AuditReport;
const file = (path: string): string => fileURLToPath(new URL(`../../../../${path}`, import.meta.url));

const hash = (text = ''): string => `&#39;sha256-${createHash('sha256').update(text).digest('base64')}&#39;`;
const policy = (document: string): string => /Content-Security-Policy" content="([^"]*)"/.exec(document)?.[1] ?? '';
const section = (document: string, id: string): string =>
  new RegExp(`<section id="${id}".*?</section>`, 's').exec(document)?.[0] ?? '';

describe('the report as HTML', () => {
  const document = htmlReport(report);

  it('is the same for the same report', () => {
    expect(htmlReport(report)).toBe(document);
  });

  it('allows its own style and script by their hashes, and nothing else', () => {
    const [, style] = /<style>(.*?)<\/style>/s.exec(document) ?? [];
    const [, script] = /<script>(.*?)<\/script>/s.exec(document) ?? [];
    expect(policy(document)).toBe(
      `default-src &#39;none&#39;; style-src ${hash(style)}; script-src ${hash(script)}; img-src data:; base-uri &#39;none&#39;; ` +
        'form-action &#39;none&#39;; require-trusted-types-for &#39;script&#39;; trusted-types &#39;none&#39;',
    );
  });

  it('refers to nothing outside, and has no handler or style in an attribute', () => {
    const tags = [...document.matchAll(/<[a-z][^>]*>/g)].map(([tag]) => tag);
    const references = tags.flatMap((tag) => /\s(?:href|src|action|data|srcset)="([^"]*)"/.exec(tag)?.[1] ?? []);
    expect(references.filter((reference) => !/^(#[a-z-]+|data:,)$/.test(reference))).toEqual([]);
    expect(tags.filter((tag) => /\s(on\w+|style)=/.test(tag.replaceAll(/"[^"]*"/g, '""')))).toEqual([]);
  });

  it('begins with the verdict, what to do next and why', () => {
    const text = section(document, 'summary');
    const { sentence, next, because } = report.verdict;
    const plain = text.replaceAll(/<\/?code[^>]*>/g, '');
    const places = [sentence, ...next, ...because].map((part) => plain.indexOf(part));
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(places[0]).toBeGreaterThan(0);
  });

  it.each([
    ['yes', 'Needed'],
    ['no', 'Not needed'],
    ['perhaps', 'Perhaps needed'],
  ] as const)('says %s plainly: %s', (needed, words) => {
    const text = section(htmlReport({ ...report, verdict: { ...report.verdict, needed } }), 'summary');
    expect(text).toContain(`<p class="badge">${words}</p>`);
  });

  it.each([
    ['error', '1 could not be read'],
    ['unknown', '1 with a resolver that is not known'],
    ['known', 'the resolver of each is known'],
  ])('says how far the images were read: %s', (state, words) => {
    const images = report.images.filter(({ resolver }) => state !== 'known' || resolver !== 'unknown');
    const summary = { ...report.summary, unreadableImages: state === 'error' ? 1 : 0 };
    expect(section(htmlReport({ ...report, images, summary }), 'summary')).toContain(words);
  });

  it('shows one card for each kind of finding, with an example and the way to all of them', () => {
    const findings = report.findings.flatMap((finding) => [finding, finding]);
    const text = section(htmlReport({ ...report, findings }), 'findings');
    expect(text.match(/<article/g)).toHaveLength(report.findings.length);
    // One workload with two findings of a kind: its Pods count once.
    expect(text).toContain('1 workload, 12 Pods');
  });

  it('leads from a kind of finding to all workloads that have it', () => {
    const [finding] = report.findings;
    if (finding === undefined) throw new Error('no finding');
    const findings = [finding, { ...finding, where: { ...finding.where, name: 'another' } }];
    const text = section(htmlReport({ ...report, findings }), 'findings');
    expect(text).toContain('2 workloads');
    expect(text).toContain('data-value="MuslShortTimeout"');
  });

  it('has product, version and cluster in its heading', () => {
    const [header = ''] = /<header>.*?<\/header>/s.exec(document) ?? [];
    expect(header.replaceAll(/<[^>]*>/g, '').replaceAll(/\s+/g, ' ')).toContain(
      `DNS audit of ${report.source.server} libc-dns-webhook ${report.version} · `,
    );
  });

  it('has a row for each workload with findings, and all of its findings in it', () => {
    const { rows } = findingTable(report);
    expect(rows.map(({ cells }) => cells[0])).toEqual([
      'storefront',
      'reconcile',
      'orders',
      '<img src=x onerror=alert(1)>',
    ]);
    expect(rows[0]?.cells.slice(3)).toEqual([
      12,
      [
        { text: 'error', tone: 'bad' },
        { text: 'info', tone: 'quiet' },
      ],
      [
        { text: 'MuslShortTimeout', tone: 'quiet' },
        { text: 'OptionsIgnoredByMusl', tone: 'quiet' },
      ],
    ]);
    expect(rows[0]?.details).toHaveLength(4);
  });

  it('has one advice for each registry and cause', () => {
    const text = section(document, 'unreadable');
    expect(text).toContain('registry.internal:5000');
    expect(text).toMatch(/<code class="command">docker login registry.internal:5000<\/code>/);
    expect(htmlReport({ ...report, unreadable: [] })).not.toContain('id="unreadable"');
  });

  it('does not call 0 what is not known', () => {
    const exposure = { yes: 0, possible: 5, mitigated: 0, no: 3 };
    const summary = { ...report.summary, exposure };
    const source = { ...report.source, kind: 'manifests' } as const;
    const text = section(htmlReport({ ...report, summary, source }), 'summary').replaceAll(/<[^>]*>|\s+/g, ' ');
    expect(text).toMatch(/Pods exposed today\s+not known\s+up to 5 of 34/);
    expect(text).not.toContain('patched already');
    const error = { code: 'disabled', message: '' };
    const images = report.images.map((image) => ({ ...image, error }));
    expect(section(htmlReport({ ...report, images }), 'summary')).toContain('8 not looked up');
    expect(section(htmlReport({ ...report, images }), 'images')).toContain('8 images were not looked up');
  });

  it('names no resolver in the legend that was not found', () => {
    const resolvers = { glibc: 0, musl: 0, go: 0, other: 0, unknown: 5 };
    const text = section(htmlReport({ ...report, summary: { ...report.summary, resolvers } }), 'charts');
    const [, legend = ''] = /<ul class="legend[^>]*>(.*?)<\/ul>/s.exec(text) ?? [];
    expect(legend.replaceAll(/<[^>]*>|\s+/g, ' ').trim()).toBe('unknown 5');
  });

  it('has no backtick but in foreign names', () => {
    const workloads = report.workloads.map((one) => ({ ...one, name: one.name.replaceAll('`', '') }));
    const text = htmlReport({ ...report, workloads }).replace(/<script>.*?<\/script>/s, '');
    expect(text.replaceAll(/data-value="[^"]*"/g, '')).not.toContain('`');
  });

  it('says what it could not read, and what to grant', () => {
    const text = section(document, 'cluster');
    expect(text).toContain('get daemonsets.apps node-local-dns in namespace kube-system');
    expect(section(htmlReport({ ...report, gaps: [] }), 'cluster')).not.toContain('What could not be read');
  });

  it('is made of a cluster in which there is nothing', () => {
    const { resolvers, exposure, findings } = report.summary;
    const none = <T extends object>(counts: T): T =>
      Object.fromEntries(Object.keys(counts).map((key) => [key, 0])) as T;
    const nothing = htmlReport({
      ...report,
      source: { ...report.source, kind: 'manifests', files: ['a.yaml', '<b>.yaml'] },
      verdict: { needed: 'no', sentence: 'Nothing runs here.', because: [], next: [] },
      summary: {
        ...report.summary,
        unreadableImages: 0,
        images: 1,
        remedies: {},
        reasons: {},
        resolvers: none(resolvers),
        exposure: none(exposure),
        findings: none(findings),
      },
      kernels: [],
      namespaces: [],
      workloads: [],
      images: [],
      findings: [],
      unreadable: [],
      gaps: [],
    });
    expect(nothing).toContain('None: no Pod has a DNS setting that hurts its resolver.');
    expect(nothing).toContain('a.yaml, &lt;b&gt;.yaml');
    expect(nothing).not.toMatch(/NaN|undefined|What to do, first/);
  });

  it('holds the page as src/audit/html/page/build.mjs makes it: run that after a change there', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [file('src/audit/html/page/build.mjs'), '--print']);
    expect(await readFile(file('src/audit/html/page-assets.json'), 'utf8')).toBe(stdout);
  });
});
