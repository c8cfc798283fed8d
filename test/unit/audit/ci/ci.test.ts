import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';

import type { AuditReport } from '../../../../src/audit/report/report.ts';
import { fakeCluster } from '../../../support/audit-fake.ts';
import { cli, type CliOptions } from '../../../support/cli.ts';

/** The standard's own schema. zod knows no relative URIs. */
const schema = z.fromJSONSchema(
  JSON.parse(
    readFileSync(new URL('../../../fixtures/sarif/sarif-schema-2.1.0.json', import.meta.url), 'utf8').replaceAll(
      '"format": "uri-reference"',
      '"format": ""',
    ),
  ) as never,
);

/** An error (timeout:1 with musl), a warning (ndots 2 with musl) and an info (options that musl ignores). */
const MANIFESTS = `apiVersion: v1
kind: ConfigMap
metadata: {name: x}
---
# the shop
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {annotations: {libc-dns.dev/libc: musl}}
    spec:
      containers: [{name: a, image: "a:1"}]
      dnsConfig: {options: [{name: timeout, value: "1"}, {name: ndots, value: "2"}, {name: single-request}]}
---
apiVersion: v1
kind: Pod
metadata: {name: fine, namespace: bank, annotations: {libc-dns.dev/libc: go}}
spec: {containers: [{name: a, image: "a:1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: unread, namespace: bank}
spec: {containers: [{name: a, image: "unread:1"}]}
`;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'libc-dns-ci-'));
  writeFileSync(path('my shop.yaml'), MANIFESTS);
});
afterEach(() => rmSync(folder, { recursive: true }));

const path = (name: string): string => join(folder, name);
const audit = async (flags: readonly string[], options: CliOptions = {}) =>
  await cli(['audit', '--offline', '-f', path('my shop.yaml'), ...flags], options);

interface Result {
  readonly ruleId: string;
  readonly level: string;
  readonly suppressions?: readonly { readonly justification: string }[];
  readonly locations: readonly [
    { physicalLocation: { artifactLocation: { uri: string }; region: { startLine: number } } },
  ];
  readonly partialFingerprints: Record<string, string>;
}

interface Run {
  readonly tool: { readonly driver: { readonly rules: readonly { readonly id: string }[] } };
  readonly results: readonly Result[];
  readonly invocations: readonly [{ toolExecutionNotifications: readonly { message: { text: string } }[] }];
}

const runOf = (out: string): Run => {
  const log = JSON.parse(out) as { runs: [Run] };
  expect(schema.safeParse(log).error?.issues).toBeUndefined();
  return log.runs[0];
};

describe('SARIF', () => {
  it('has a result for each finding, with the line of the object that has it', async () => {
    const { code, out } = await audit(['-o', 'sarif']);
    const { tool, results } = runOf(out);
    expect(code).toBe(0);
    expect(results.map(({ ruleId, level }) => [ruleId, level])).toEqual([
      ['MuslShortTimeout', 'error'],
      ['MuslNdotsLowered', 'warning'],
      ['OptionsIgnoredByMusl', 'note'],
    ]);
    expect(tool.driver.rules.map(({ id }) => id)).toEqual(results.map(({ ruleId }) => ruleId));
    expect(results[0]?.locations[0].physicalLocation).toEqual({
      artifactLocation: { uri: `file://${folder}/my%20shop.yaml` },
      region: { startLine: 6 },
    });
  });

  it('has paths from here on as they are: viewers look for them in the repository', async () => {
    const { out } = await cli(['audit', '--offline', '-o', 'sarif', '-f', 'test/fixtures/../fixtures/manifests']);
    for (const { locations } of runOf(out).results) {
      expect(locations[0].physicalLocation.artifactLocation.uri).toMatch(
        /^test\/fixtures\/\.\.\/fixtures\/manifests\//,
      );
    }
  });

  it('names each finding the same from run to run, and no two the same', async () => {
    const printsOf = async (): Promise<string[]> =>
      runOf((await audit(['-o', 'sarif'])).out).results.map(({ partialFingerprints }) =>
        JSON.stringify(partialFingerprints),
      );
    const prints = await printsOf();
    expect(new Set(prints).size).toBe(3);
    expect(await printsOf()).toEqual(prints);
  });

  it('of a cluster names the object, and what could not be read', async () => {
    const cluster = fakeCluster([{ name: 'web', image: 'unread:1' }]);
    const { out } = await cli(['audit', '-o', 'sarif'], { cluster });
    const { results, invocations } = runOf(out);
    expect(results.map(({ locations }) => locations[0].physicalLocation.artifactLocation.uri)).toEqual(
      results.map(() => 'shop/Deployment/web'),
    );
    expect(invocations[0].toolExecutionNotifications.map(({ message }) => message.text)).toEqual([
      expect.stringContaining('unread:1 (linux/amd64): unauthorized'),
    ]);
  });

  it('is refused by the schema if it is wrong: the schema works', () => {
    expect(schema.safeParse({ version: '2.1.0', runs: [{ tool: {} }] }).success).toBe(false);
  });
});

/** Reads XML with a parser that knows nothing of us. */
function parsed(xml: string): { suites: Record<string, string[]>; [attribute: string]: unknown } {
  const script = `import sys, json, xml.etree.ElementTree as e
root = e.fromstring(sys.stdin.buffer.read())
suites = {s.get('name'): [c.get('classname') + ' ' + c.get('name') + ''.join(' ' + k.tag for k in c) for c in s] for s in root}
print(json.dumps({**root.attrib, 'suites': suites, 'messages': [k.get('message') for k in root.iter() if k.get('message')]}))`;
  return JSON.parse(execFileSync('python3', ['-c', script], { input: xml, encoding: 'utf8' })) as never;
}

const hasPython = spawnSync('python3', ['--version']).status === 0;
if (!hasPython) console.error('\n!! JUNIT XML WAS NOT READ BY A PARSER: apt-get install python3\n');

describe.runIf(hasPython)('JUnit XML', () => {
  it('has a test for each workload and finding: errors and warnings fail', async () => {
    const { out } = await audit(['-o', 'junit']);
    expect(parsed(out)).toMatchObject({
      name: 'libc-dns audit',
      tests: '5',
      failures: '2',
      skipped: '0',
      suites: {
        bank: ['bank.Pod fine', 'bank.Pod unread'],
        shop: [
          'shop.Deployment web: MuslShortTimeout (a) failure',
          'shop.Deployment web: MuslNdotsLowered (a) failure',
          'shop.Deployment web: OptionsIgnoredByMusl system-out',
        ],
      },
    });
    expect(out).toContain(`file="${path('my shop.yaml')}"`);
  });

  it('what could not be read, and what is accepted, is skipped', async () => {
    writeFileSync(path('accepted.yaml'), 'accepted: [{code: MuslShortTimeout, reason: "old <clients> & \\"new\\""}]');
    const cluster = fakeCluster([{ name: 'web', image: 'unread:1' }]);
    const unread = await cli(['audit', '-o', 'junit'], { cluster });
    expect(parsed(unread.out).suites).toMatchObject({
      'images that could not be read': ['linux/amd64 unread:1 skipped'],
    });
    const accepted = parsed((await audit(['-o', 'junit', '--accept', path('accepted.yaml')])).out);
    expect(accepted).toMatchObject({ failures: '1', skipped: '1' });
    expect(accepted['messages']).toContain('accepted: old <clients> & "new"');
  });

  it('names of others are no markup', async () => {
    const name = '<a b="c">&amp;\u0001\u202E]]>';
    const cluster = fakeCluster([{ name, image: 'glibc:1' }]);
    const { out } = await cli(['audit', '-o', 'junit'], { cluster });
    expect(parsed(out).suites).toEqual({ shop: [expect.stringContaining('<a b="c">&amp;\\u{1}\\u{202e}]]>')] });
  });
});

describe('--accept', () => {
  const accepting = async (yaml: string, ...flags: string[]) => {
    writeFileSync(path('accepted.yaml'), yaml);
    const { code, out, err } = await audit(['--accept', path('accepted.yaml'), '-o', 'json', ...flags]);
    return { code, err, report: (out === '' ? undefined : JSON.parse(out)) as AuditReport };
  };

  it('takes findings out of what counts, and tells why', async () => {
    const { code, err, report } = await accepting(`apiVersion: audit.libc-dns.dev/v1
kind: AcceptedFindings
accepted:
- code: MuslShortTimeout
  namespace: shop
  kind: Deployment
  name: web
  reason: slow clients, PLAT-12
  expires: 2026-11-21
- {code: OptionsIgnoredByMusl, reason: harmless}
`);
    expect([code, err]).toEqual([0, '']);
    expect(report.accepted).toMatchObject([
      { finding: { code: 'MuslShortTimeout' }, reason: 'slow clients, PLAT-12', expires: '2026-11-21' },
      { finding: { code: 'OptionsIgnoredByMusl' }, reason: 'harmless', expires: null },
    ]);
    expect(report.findings.map(({ code: found }) => found)).toEqual(['MuslNdotsLowered']);
    expect(report.summary.findings).toEqual({ error: 0, warning: 1, info: 0 });
    expect(report.workloads.find(({ name }) => name === 'web')?.findings).toEqual(['MuslNdotsLowered']);
    const table = await audit(['--accept', path('accepted.yaml')]);
    expect(table.out).toContain('Accepted     2 findings (--accept), not counted\n');
    const markdown = (await audit(['--accept', path('accepted.yaml'), '-o', 'markdown'])).out;
    expect(markdown).toContain('| Accepted | 2 findings, not counted |\n');
    expect(markdown).toContain('| Findings | warning 1 |\n');
    expect(markdown).toMatch(
      /## Accepted findings\n\n.*\n.*\n\| MuslShortTimeout \| Deployment shop\/web \| 1 \| slow clients, PLAT-12 \| 2026-11-21 \|\n/,
    );
    const html = (await audit(['--accept', path('accepted.yaml'), '-o', 'html'])).out;
    expect(html).toContain('2 findings accepted with a reason (--accept)');
    expect(html).toMatch(/<a href="#accepted">Accepted <span>2<\/span><\/a>/);
    expect(html).toContain('expires after 2026-11-21');
    expect(html).toContain('never expires');
    expect(html).toMatch(/<code>MuslShortTimeout<\/code>\s+<bdi>Deployment shop\/web<\/bdi>:\s+slow clients, PLAT-12/);
    expect((await audit(['-o', 'html'])).out).not.toContain('Accepted findings');
    const sarif = runOf((await audit(['--accept', path('accepted.yaml'), '-o', 'sarif'])).out);
    expect(sarif.results.map(({ suppressions }) => suppressions?.[0]?.justification)).toEqual([
      undefined,
      'slow clients, PLAT-12',
      'harmless',
    ]);
  });

  it('an entry that has expired counts again, and is named', async () => {
    const { err, report } = await accepting('accepted: [{code: MuslShortTimeout, reason: x, expires: 2026-11-20}]');
    expect(report.accepted).toEqual([]);
    expect(report.summary.findings.error).toBe(1);
    expect(err).toBe(
      `libc-dns: warning: ${path('accepted.yaml')}: entry 1 (MuslShortTimeout) expired on 2026-11-20: 1 finding again\n`,
    );
  });

  it('an entry that matches nothing is named, unless its namespace is not looked at', async () => {
    const yaml = `accepted:
- {code: MuslShortTimeout, reason: x, name: other}
- {code: MuslShortTimeout, reason: x, namespace: bank}
`;
    const nothing = (entry: number): string =>
      `libc-dns: warning: ${path('accepted.yaml')}: entry ${entry} (MuslShortTimeout) matches nothing: remove it\n`;
    expect((await accepting(yaml)).err).toBe(nothing(1) + nothing(2));
    const passedOver = 'libc-dns: passed over: 2 Pods of other namespaces (--namespace)\n';
    expect((await accepting(yaml, '-n', 'shop')).err).toBe(passedOver + nothing(1));
  });

  it.each([
    [
      'accepted: [{code: MuslShortTimeout}]',
      /accepted\.yaml: not a valid file of accepted findings \(docs\/audit\.md\):\n {2}entry 1, reason: expected text/,
    ],
    ['accepted: [{code: MuslShortTimeout, reason: " "}]', /entry 1, reason: expected a text that is not empty/],
    ['accepted: [{code: MuslShortTimeOut, reason: x}]', /entry 1, code: .*did you mean MuslShortTimeout\?/],
    ['accepted: [{code: Nothing, reason: x}]', /there is no finding Nothing: docs\/audit\.md lists them/],
    [
      'accepted: [{code: MuslShortTimeout, reason: x, expires: tomorrow}]',
      /entry 1, expires: expected a day, 2027-03-31 for example/,
    ],
    ['accepted: [{code: MuslShortTimeout, reason: x, nmae: y}]', /entry 1: .*nmae/],
    ['kind: Other\naccepted: []', /kind: expected AcceptedFindings/],
    ['[]', /expected a mapping of keys/],
    ['a: [', /accepted\.yaml is not YAML: /],
  ])('refuses %s', async (yaml, message) => {
    const { code, err, report } = await accepting(yaml);
    expect([code, err, report]).toEqual([2, expect.stringMatching(message), undefined]);
  });

  it('refuses a file that is not there', async () => {
    expect(await audit(['--accept', path('none')])).toMatchObject({
      code: 2,
      err: `libc-dns: --accept ${path('none')}: no such file or directory\n`,
    });
  });

  it('--fail-on findings: exit 3 where one counts', async () => {
    expect(await audit(['--fail-on', 'findings'])).toMatchObject({
      code: 3,
      err: expect.stringContaining('libc-dns: 1 error and 1 warning found (--fail-on findings)\n') as unknown,
    });
    const all = 'accepted: [{code: MuslShortTimeout, reason: x}, {code: MuslNdotsLowered, reason: x}]';
    expect((await accepting(all, '--fail-on', 'findings')).code).toBe(0);
  });
});
