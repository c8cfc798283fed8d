import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { allChecks, chooseChecks } from '../../../src/doctor/all-checks.ts';
import { failure, ok, type Outcome, skipped, summarize, warning, errorText, worst } from '../../../src/doctor/check.ts';
import { createEvidence, type DoctorParts } from '../../../src/doctor/evidence.ts';
import { doctorReport, fails, reportText, type TextStyle } from '../../../src/doctor/report.ts';
import { type Check, type Checked, runChecks } from '../../../src/doctor/run.ts';
import { statusError, transportError } from '../../../src/kubernetes/errors.ts';
import { cli } from '../../support/cli.ts';

const never = new AbortController().signal;
const check = (id: string, run: Check['run'], timeoutMs = 1000): Check => ({ id, group: 'fault', timeoutMs, run });
const refusal = (code: string, message: string): Error => Object.assign(new Error(message), { code });

describe('running checks', () => {
  it('one that fails, hangs or is refused never hides the others', async () => {
    const checks = [
      check('good', async () => ok('fine')),
      check('broken', async () => {
        throw new TypeError('a defect');
      }),
      check('hangs', () => new Promise<Outcome>(() => {}), 30),
      check('refused', async () => {
        throw statusError(403, '{}', { method: 'GET', path: '/api/v1/nodes' });
      }),
      check('unreachable', async () => {
        throw refusal('unreachable', 'no answer');
      }),
      check(
        'late',
        async (signal) => {
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          return ok('too late to count');
        },
        30,
      ),
    ];
    const done: string[] = [];
    const found = await runChecks(checks, never, ({ id }) => done.push(id));
    expect(found.map(({ id, status, seen }) => [id, status, seen])).toEqual([
      ['good', 'ok', 'fine'],
      ['broken', 'skipped', 'the check itself failed: a defect'],
      ['hangs', 'skipped', 'gave up after 0.03 s'],
      ['refused', 'skipped', 'not looked at: may not list nodes'],
      ['unreachable', 'skipped', 'not looked at: no answer'],
      ['late', 'skipped', 'gave up after 0.03 s'],
    ]);
    expect(done.toSorted()).toEqual(checks.map(({ id }) => id).toSorted());
  });

  it('ends at once when it is interrupted', async () => {
    const [only] = await runChecks([check('x', () => new Promise(() => {}))], AbortSignal.abort());
    expect(only).toMatchObject({ status: 'skipped', seen: 'interrupted' });
  });
});

describe('the reason of a failure', () => {
  const of = (status: number, method: string, path: string): string =>
    errorText(statusError(status, JSON.stringify({ message: 'the server says why' }), { method, path }));

  it.each([
    ['GET', '/api/v1/nodes', 'may not list nodes'],
    ['GET', '/api/v1/namespaces/libc-dns/secrets/ca', 'may not get secrets in libc-dns'],
    ['watch', '/apis/apps/v1/namespaces/a/deployments', 'may not watch deployments.apps in a'],
    ['GET', '/api/v1/namespaces/shop', 'may not get namespaces'],
    ['GET', '/api/v1/namespaces/a/pods/b:9402/proxy/metrics', 'may not get pods/proxy in a'],
    [
      'POST',
      '/apis/authorization.k8s.io/v1/subjectaccessreviews',
      'may not create subjectaccessreviews.authorization.k8s.io',
    ],
    ['GET', '/version', 'GET /version: the server says why'],
  ])('names the right that is missing: %s %s', (method, path, text) => expect(of(403, method, path)).toBe(text));

  it.each([
    ['/api/v1/nodes', 'nodes: the server says why'],
    ['/api/v1/namespaces/shop/pods', 'pods in shop: the server says why'],
    ['/api/v1/namespaces/shop', 'namespaces shop: the server says why'],
    ['/api/v1/namespaces/a/configmaps/b', 'configmaps a/b: the server says why'],
    ['/apis/apps/v1/namespaces/a/deployments/c', 'deployments.apps a/c: the server says why'],
    ['/version', 'GET /version: the server says why'],
  ])('names the object, not the call: %s', (path, text) => expect(of(500, 'GET', path)).toBe(text));

  it('is the same for a call that was not answered', () => {
    const error = transportError(new DOMException('', 'TimeoutError'), { method: 'GET', path: '/api/v1/nodes' });
    expect(errorText(error)).toBe('nodes: no answer in time');
  });

  it('is the message of anything else, whatever it says', () => {
    expect(errorText(new Error('GET /api/v1/nodes: cannot list resource "nodes"'))).toBe(
      'GET /api/v1/nodes: cannot list resource "nodes"',
    );
    expect(errorText('a string')).toBe('a string');
  });
});

describe('outcomes', () => {
  it('the worst of several', () => {
    expect(worst([])).toBe('ok');
    expect(worst(['ok', 'failure', 'warning', 'skipped'])).toBe('failure');
    expect(worst(['skipped'])).toBe('ok');
  });

  it('remarks together: the worst first, advice of all', () => {
    const remarks = [
      { status: 'warning', text: 'w', advice: { text: 'do w' } },
      { status: 'failure', text: 'f', advice: { text: 'do f' } },
      { status: 'ok', text: 'note' },
    ] as const;
    expect(summarize(remarks, 'fine')).toEqual({
      status: 'failure',
      seen: 'f',
      details: ['w', 'note'],
      advice: [{ text: 'do f' }, { text: 'do w' }],
      data: {},
    });
    expect(summarize([], 'fine')).toMatchObject({ status: 'ok', seen: 'fine' });
  });
});

const checked = (id: string, group: Checked['group'], outcome: Outcome): Checked => ({
  id,
  group,
  durationMs: 1.6,
  ...outcome,
});
const reportOf = (...all: Checked[]) =>
  doctorReport(all, { now: new Date('2026-11-21T00:00:00Z'), version: '1.2.3', configuration: 'defaults' });

describe('the report', () => {
  it('is the same for programs as long as the version is', () => {
    expect(
      reportOf(
        checked(
          'kernels',
          'fault',
          warning('w', { details: ['d'], advice: [{ text: 'a', command: 'c' }], data: { x: 1 } }),
        ),
      ),
    ).toEqual({
      apiVersion: 'doctor.libc-dns.dev/v1',
      kind: 'DoctorReport',
      generatedAt: '2026-11-21T00:00:00.000Z',
      version: '1.2.3',
      server: null,
      configuration: 'defaults',
      summary: { ok: 0, warning: 1, failure: 0, skipped: 0 },
      checks: [
        {
          id: 'kernels',
          group: 'fault',
          status: 'warning',
          seen: 'w',
          details: ['d'],
          advice: [{ text: 'a', command: 'c' }],
          data: { x: 1 },
          durationMs: 2,
        },
      ],
    });
  });

  it.each([
    [[ok('')], false, false],
    [[ok(''), skipped('')], false, false],
    [[ok(''), warning('')], false, true],
    [[ok(''), failure('')], true, true],
    [[skipped('')], true, true],
    [[], true, true],
  ])('%j fails: %s, strictly: %s', (outcomes, usually, strictly) => {
    const report = reportOf(...outcomes.map((outcome) => checked('x', 'dns', outcome)));
    expect([fails(report, false), fails(report, true)]).toEqual([usually, strictly]);
  });

  it.each([
    [skipped(''), true],
    [ok(''), false],
  ])('an API server that answers is not enough: with %j it fails: %s', (outcome, expected) => {
    const access = checked('api-server', 'access', ok('it answers'));
    expect(fails(reportOf(access, checked('kernels', 'fault', outcome)), false)).toBe(expected);
    expect(fails(reportOf(access), false)).toBe(false);
  });
});

const plain = (columns: number): TextStyle => ({
  columns,
  status: (_, text) => text,
  heading: (text) => text,
  dim: (text) => text,
  command: (text) => text,
});

describe('the table', () => {
  const report = reportOf(
    checked('api-server', 'access', ok('it answers')),
    checked(
      'kernels',
      'fault',
      warning('two words of a sentence that is longer than a line of a narrow terminal', {
        details: ['a detail'],
        advice: [{ text: 'Do this:', command: 'kubectl get nodes --with-a-flag=that-is-very-long-indeed-for-a-line' }],
      }),
    ),
    checked('dns-udp', 'dns', skipped('nobody knows')),
    checked('dns-tcp', 'dns', skipped('nobody knows')),
    checked('rights', 'webhook', skipped('x', { data: { needs: 'cluster' } })),
    checked('pods', 'surroundings', skipped('y', { data: { needs: 'right' } })),
  );

  it('says in words what the colours say, with what to do beneath', () => {
    expect(reportText(report, plain(80))).toBe(`The cluster
  ✓ ok       api-server  it answers

Is the fault possible here?
  ! warning  kernels     two words of a sentence that is longer than a line of a
                         narrow terminal
                         a detail
                         -> Do this:
      kubectl get nodes --with-a-flag=that-is-very-long-indeed-for-a-line

Cluster DNS, from here
  - skipped  dns-udp     nobody knows
  - skipped  dns-tcp     the same

What else has a part in it
  - skipped  pods        y

1 check needs a cluster that answers, left out: rights.

An account with more rights sees more: a cluster administrator may read all of
it.

1 warning, 1 ok, 4 skipped
`);
  });

  it('gives no advice twice: what an earlier check has said is referred to', () => {
    const allow = { text: 'Allow it.', command: 'kubectl x' };
    const text = reportText(
      reportOf(
        checked('dns-udp', 'dns', warning('a', { advice: [allow] })),
        checked('dns-tcp', 'dns', warning('b', { advice: [allow, { text: 'Also this.' }] })),
        checked('rights', 'webhook', warning('c', { advice: [{ ...allow, command: 'kubectl y' }] })),
      ),
      plain(80),
    );
    expect(text.match(/kubectl x/g)).toHaveLength(1);
    expect(text.match(/-> .*/g)).toEqual(['-> Allow it.', '-> Also this.', '-> As for dns-udp.', '-> Allow it.']);
  });

  it('says why, if the check of the API server is left out', () => {
    const lone = reportOf(
      checked('kernels', 'fault', skipped('there is no kubeconfig', { data: { needs: 'cluster' } })),
    );
    expect(reportText(lone, plain(80))).toBe(`1 check needs a cluster that answers, left out: kernels. Why: there is no
kubeconfig.

0 ok, 1 skipped
`);
  });

  it('puts sentences beneath names where there is no room beside them', () => {
    expect(reportText(report, plain(40))).toContain(
      '  ! warning  kernels\n      two words of a sentence that is\n      longer than a line of a narrow\n',
    );
  });

  it('names of others reach the terminal as text', () => {
    const hostile = reportOf(
      checked(
        'pods',
        'surroundings',
        warning('\u001B[2Jx\u202E', { details: ['\r\n'], advice: [{ text: '\u0007', command: '\u009B' }] }),
      ),
    );
    expect(reportText(hostile, plain(80)).replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });
});

const nowhere = (change: Partial<DoctorParts> = {}): DoctorParts =>
  ({ noCluster: 'no cluster here', inside: false, given: {}, clock: { now: () => 0 }, ...change }) as DoctorParts;

describe('the command', () => {
  const openDoctor = async ({ config }: { config: DoctorParts['config'] }) => ({
    parts: nowhere({
      config,
      findDns: async () => {
        throw new Error('not in this test');
      },
    }),
    close: async () => {},
  });

  it('without a cluster: says so in one line, and that nothing was checked', async () => {
    const { code, out, err } = await cli(['doctor', '--skip', 'dns'], { openDoctor });
    expect(code).toBe(1);
    expect(out).toContain('- skipped  api-server');
    expect(out.match(/no cluster here/g)).toHaveLength(1);
    expect(err).toBe('libc-dns: nothing could be checked\n');
  });

  it('asks no registry under --offline, whatever the configuration of the webhook says', async () => {
    const idsOf = async (...flags: string[]): Promise<string[]> => {
      const { out } = await cli(['doctor', '-o', 'yaml', '--skip', 'dns', ...flags], { openDoctor });
      return (parse(out) as { checks: { id: string }[] }).checks.map(({ id }) => id);
    };
    const all = await idsOf();
    expect(all).toContain('registries');
    expect(await idsOf('--offline')).toEqual(all.filter((id) => id !== 'registries'));
  });

  it.each([
    [['--check', 'nothing'], /there is no check nothing; there are: api-server, access/],
    [['--webhook', 'here'], /expected HOST:PORT/],
    [['--webhook', 'here:99999'], /expected HOST:PORT/],
    [['-o', 'xml'], /Allowed choices are table, json, yaml/],
  ])('%j is wrong usage', async (flags, message) => {
    const { code, err } = await cli(['doctor', ...flags], { openDoctor });
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });

  it('waits aloud on a terminal, and leaves no trace of it', async () => {
    const { err } = await cli(['doctor', '--skip', 'dns'], { openDoctor, terminal: true });
    expect(err).toContain('\r\u001B[Kwaiting for ');
    expect(err.split('\u001B[K').at(-1)).toBe('libc-dns: nothing could be checked\n');
  });

  it('checks are chosen by name and by group', () => {
    const checks = allChecks(createEvidence(nowhere()));
    const ids = (only: string[], skip: string[]): string[] => chooseChecks(checks, only, skip).map(({ id }) => id);
    expect(ids(['dns'], [])).toEqual(['dns-udp', 'dns-tcp', 'dns-race']);
    expect(ids(['dns', 'rights'], ['dns-race'])).toEqual(['dns-udp', 'dns-tcp', 'rights']);
    expect(ids([], [])).toHaveLength(23);
    expect(new Set(ids([], [])).size).toBe(23);
  });
});
