import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { cli } from '../../support/cli.ts';

async function config(text: string, ...flags: string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'libc-dns-'));
  try {
    writeFileSync(join(folder, 'c.yaml'), text);
    return await cli(['config', join(folder, 'c.yaml'), ...flags]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('config', () => {
  it('prints the effective configuration, which it reads back', async () => {
    const { code, out, err } = await config('scope: cluster\n', '--node-local', '169.254.25.10', '--offline');
    expect([code, err]).toEqual([0, '']);
    expect(parse(out)).toMatchObject({
      scope: 'cluster',
      nodeLocal: { mode: 'on', addresses: ['169.254.25.10'] },
      detection: { budget: '1500ms', registry: { enabled: false } },
    });
    expect((await config(out)).out).toBe(out);
  });

  it('says what it is, as Kubernetes objects do, and takes that back', async () => {
    const json = JSON.parse((await config('scope: cluster\n', '-o', 'json')).out) as Record<string, unknown>;
    expect(json).toMatchObject({ apiVersion: 'config.libc-dns.dev/v1', kind: 'Configuration', scope: 'cluster' });
    expect(JSON.parse((await config(JSON.stringify(json), '-o', 'json')).out)).toEqual(json);
    const { code, err } = await config('apiVersion: config.libc-dns.dev/v2\nkind: Configuration\n');
    expect([code, err]).toEqual([2, expect.stringContaining('apiVersion: unknown key')]);
  });

  it('one file is read: an argument and --config contradict each other', async () => {
    expect(await cli(['config', 'a.yaml', '--config', 'b.yaml'])).toMatchObject({
      code: 2,
      err: 'libc-dns: either FILE or --config\n',
    });
  });

  it.each([
    { text: 'scoop: cluster\n', says: /scoop: unknown key; did you mean scope\?/ },
    { text: 'a: [\n', says: /c\.yaml:\d:\d+: / },
  ])('exit 2 where it is not valid: $text', async ({ text, says }) => {
    const { code, out, err } = await config(text);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(/^libc-dns: the configuration is not valid:\n {2}/);
    expect(err).toMatch(says);
  });

  it('a file that is not there, from a flag or the environment', async () => {
    expect(await cli(['config', '/nowhere.yaml'])).toEqual({
      code: 2,
      out: '',
      err: 'libc-dns: configuration file /nowhere.yaml: no such file\n',
    });
    expect((await cli(['config'], { environment: { LIBC_DNS_CONFIG: '/nowhere.yaml' } })).code).toBe(2);
  });
});

describe('help and usage', () => {
  it.each([
    ['--help'],
    ['serve', '--help'],
    ['inject', '--help'],
    ['explain', '--help'],
    ['config', '--help'],
    ['help', 'inject'],
  ])('%s %s: exit 0, with an example', async (...argv) => {
    const { code, out } = await cli(argv);
    expect(code).toBe(0);
    expect(out).toMatch(/Examples:\n {2}libc-dns /);
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(120);
  });

  it('no command: the help, on stderr, exit 2', async () => {
    const { code, out, err } = await cli([]);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('Usage: libc-dns');
  });

  it.each([
    { argv: ['serv'], says: "libc-dns: unknown command 'serv' (Did you mean serve?)\n(see libc-dns --help)\n" },
    {
      argv: ['audit', '--ofline'],
      says: "unknown option '--ofline' (Did you mean --offline?)\n(see libc-dns audit --help)\n",
    },
    { argv: ['explain', '-f', 'a.yaml,'], says: "argument 'a.yaml,' is invalid. A path is empty.\n" },
    { argv: ['inject', '-f', ''], says: "argument '' is invalid. A path is empty.\n" },
    { argv: ['config', 'a', 'b'], says: 'too many arguments' },
    { argv: ['explain', '--namespace-mode', 'on'], says: 'Allowed choices are enforce, audit, off' },
  ])('$argv: exit 2', async ({ argv, says }) => {
    const { code, err } = await cli(argv);
    expect(code).toBe(2);
    expect(err).toContain(says);
  });

  it('--version', async () => {
    expect(await cli(['--version'])).toEqual({ code: 0, out: '0.0.0-test\n', err: '' });
  });
});
