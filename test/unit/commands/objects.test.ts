import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import type { AuditReport } from '../../../src/audit/report/report.ts';
import { cli } from '../../support/cli.ts';

const deployment = (name: string, namespace?: string): string => `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}${namespace === undefined ? '' : `, namespace: ${namespace}`}}
spec: {template: {metadata: {annotations: {libc-dns.dev/libc: musl}}, spec: {containers: [{name: a, image: "a:1"}]}}}
`;

const BARE = 'apiVersion: v1\nkind: Pod\nmetadata: {name: bare}\nspec: {containers: [{name: a, image: "a:1"}]}\n';
const CONFIG_MAP = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'libc-dns-objects-'));
  writeFileSync(path('web.yaml'), deployment('web', 'shop'));
  writeFileSync(path('bank.yaml'), `${deployment('till', 'bank')}---\n${BARE}`);
  writeFileSync(path('settings.yaml'), CONFIG_MAP);
});
afterEach(() => rmSync(folder, { recursive: true }));

const path = (name: string): string => join(folder, name);

const explained = async (...argv: string[]): Promise<string[]> => {
  const { code, out } = await cli(['explain', '--offline', '-o', 'name', ...argv]);
  expect(code).toBe(0);
  return out.split('\n').slice(0, -1);
};

describe('files', () => {
  const both = ['deployment.apps/web', 'deployment.apps/till', 'pod/bare'];

  it('are arguments, values of -f, several to one -f', async () => {
    expect(await explained(path('web.yaml'), path('bank.yaml'))).toEqual(both);
    expect(await explained('-f', path('web.yaml'), '-f', path('bank.yaml'))).toEqual(both);
    expect(await explained('-f', `${path('web.yaml')},${path('bank.yaml')}`)).toEqual(both);
    expect(await explained(path('web.yaml'), '-f', path('bank.yaml'))).toEqual(both);
  });

  it('one of which is not there: exit 1, by its name, and nothing is printed', async () => {
    expect(await cli(['inject', '--offline', path('web.yaml'), path('none.yaml')])).toEqual({
      code: 1,
      out: '',
      err: `libc-dns: ${path('none.yaml')}: no such file\n`,
    });
  });

  it('audit takes them, too', async () => {
    const { out } = await cli(['audit', '--offline', '-o', 'yaml', folder]);
    expect(parse(out)).toMatchObject({ kind: 'AuditReport', summary: { pods: 3 }, source: { kind: 'manifests' } });
  });
});

describe('namespaces', () => {
  it('audit says what it leaves out of manifests, and names what would change', async () => {
    const audited = async (...flags: string[]) => await cli(['audit', '--offline', '-o', 'name', ...flags, folder]);
    expect(await audited('-n', 'shop')).toMatchObject({
      out: 'deployment.apps/web\npod/bare\n',
      err: expect.stringContaining('libc-dns: passed over: 1 Pod of other namespaces (--namespace)\n'),
    });
    const all = await audited();
    expect(all.err).not.toContain('other namespaces');
    // The bare Pod's image is not known here: it gets what glibc obeys.
    expect(all.out.split('\n').toSorted()).toEqual(['', 'deployment.apps/till', 'deployment.apps/web', 'pod/bare']);
    const off = await audited('--namespace-mode', 'off');
    expect(off.out).toBe('');
  });

  it('-n leaves only its own objects; those that name none are in the first', async () => {
    expect(await explained('-n', 'shop', folder)).toEqual(['pod/bare', 'deployment.apps/web']);
    expect(await explained('-n', 'bank,shop', folder)).toHaveLength(3);
    expect(await explained('-n', 'bank', '-n', 'other', folder)).toEqual(['deployment.apps/till', 'pod/bare']);
    expect(await explained('-A', folder)).toHaveLength(3);
    expect(await explained('-n', '', folder)).toHaveLength(3);
  });

  it('how many are left out is told', async () => {
    const { err } = await cli(['explain', '--offline', '-n', 'shop', folder]);
    expect(err).toContain('libc-dns: passed over: 1 Pod of other namespaces (--namespace)\n');
    expect((await cli(['explain', '--offline', '-A', folder])).err).not.toContain('passed over');
  });

  it('inject changes nothing in others', async () => {
    const { out } = await cli(['inject', '--offline', '-n', 'shop', '-o', 'name', folder]);
    expect(out).toBe('pod/bare\ndeployment.apps/web\n');
    const yaml = await cli(['inject', '--offline', '-n', 'bank', path('web.yaml')]);
    expect(yaml.out).toBe(deployment('web', 'shop'));
  });

  it('audit -f counts only these', async () => {
    const audited = async (...flags: string[]): Promise<AuditReport> =>
      JSON.parse((await cli(['audit', '--offline', '-o', 'json', ...flags, '-f', folder])).out) as AuditReport;
    const { source, workloads } = await audited('-n', 'shop');
    expect(source.namespaces).toEqual(['shop']);
    expect(workloads.map(({ namespace, name }) => `${namespace}/${name}`)).toEqual(['shop/web', 'shop/bare']);
    expect((await audited('-A')).summary.pods).toBe(3);
  });

  it('-A with -n takes all, and -n is the namespace of those that name none', async () => {
    const { out } = await cli(['explain', '--offline', '-A', '-n', 'cafe', '-o', 'json', folder]);
    expect((JSON.parse(out) as { namespace: string }[]).map(({ namespace }) => namespace)).toEqual([
      'bank',
      'cafe',
      'shop',
    ]);
    const report = JSON.parse(
      (await cli(['audit', '--offline', '-A', '-n', 'cafe', '-o', 'json', folder])).out,
    ) as AuditReport;
    expect(report.source.namespaces).toEqual([]);
    expect(report.namespaces.map(({ name }) => name)).toEqual(['bank', 'cafe', 'shop']);
  });
});

describe('inject --in-place', () => {
  it('writes the files that change, and names them', async () => {
    const { code, out } = await cli(['inject', '--offline', '--in-place', '-f', folder]);
    expect({ code, out }).toEqual({ code: 0, out: `${path('bank.yaml')}\n${path('web.yaml')}\n` });
    expect(readFileSync(path('settings.yaml'), 'utf8')).toBe(CONFIG_MAP);
    expect(readFileSync(path('web.yaml'), 'utf8')).toContain('attempts');
    const again = await cli(['inject', '--offline', '--in-place', '-f', folder]);
    expect(again.out).toBe('');
  });

  it('writes nothing where one file cannot be read', async () => {
    writeFileSync(path('wrong.yaml'), 'a: [');
    expect((await cli(['inject', '--offline', '--in-place', '-f', folder])).code).toBe(1);
    expect(readFileSync(path('web.yaml'), 'utf8')).toBe(deployment('web', 'shop'));
  });

  it.each([
    [['-f', '-'], /standard input cannot be written to/],
    [[], /standard input cannot be written to/],
    [['-f', 'a.yaml', '-o', 'diff'], /--in-place writes YAML/],
  ])('%j is wrong usage', async (flags, message) => {
    const { code, out, err } = await cli(['inject', '--in-place', ...flags], { stdin: BARE });
    expect([code, out, err]).toEqual([2, '', expect.stringMatching(message)]);
  });

  it('a file that cannot be written: exit 1, by its name', async () => {
    const writeFile = async (): Promise<void> => {
      throw Object.assign(new Error('EROFS: read-only file system'), { code: 'EROFS' });
    };
    const { code, err } = await cli(['inject', '--offline', '--in-place', path('web.yaml')], { writeFile });
    expect([code, err]).toEqual([
      1,
      expect.stringContaining(`libc-dns: ${path('web.yaml')}: EROFS: read-only file system\n`),
    ]);
  });
});

describe('a Pod that the webhook has patched', () => {
  const patched = async (): Promise<string> => (await cli(['inject', '--offline', '-f', path('web.yaml')])).out;

  it('says what was done to it', async () => {
    const stdin = await patched();
    const { out } = await cli(['explain', '--offline', '--no-color'], { stdin });
    expect(out).toContain('Deployment shop/web  enforce  nothing to change  AlreadyConfigured\n');
    expect(out).toContain(
      '  The webhook has patched it before: retry (MuslRetried), by its annotation libc-dns.dev/decision.\n',
    );
    const json = await cli(['explain', '--offline', '-o', 'json'], { stdin });
    expect(JSON.parse(json.out)).toMatchObject([
      { reason: 'AlreadyConfigured', applied: { reason: 'MuslRetried', remedy: ['retry'] } },
    ]);
  });

  it('of others nothing is said', async () => {
    const { out } = await cli(['explain', '--offline', '-o', 'yaml', path('web.yaml')]);
    expect(parse(out)).toEqual([expect.not.objectContaining({ applied: expect.anything() as unknown })]);
  });
});
