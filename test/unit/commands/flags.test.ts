import { describe, expect, it } from 'vitest';

import { cli } from '../../support/cli.ts';

const DNS = ['--cluster-dns', '--cluster-domain', '--node-searches', '--node-local'];
const CLUSTER = ['--kubeconfig', '--context'];
const OBJECTS = ['--filename', '--namespace', '--all-namespaces'];
const DECIDING = [
  ...OBJECTS,
  ...CLUSTER,
  ...DNS,
  '--config',
  '--namespace-mode',
  '--offline',
  '--platform',
  '--no-color',
];

/** What each command makes use of. */
const USED: Readonly<Record<string, readonly string[]>> = {
  serve: [...CLUSTER, ...DNS, '--namespace', '--config', '--namespace-mode', '--offline', '--platform', '--log-level'],
  inject: [...DECIDING, '--output', '--in-place', '--kinds', '--fail-on'],
  explain: [...DECIDING, '--output', '--kinds', '--fail-on'],
  detect: ['--command', '--output', '--config', '--offline', '--platform', '--no-color'],
  audit: [...DECIDING, '--output', '--output-file', '--fail-on', '--accept'],
  doctor: [
    ...CLUSTER,
    '--namespace',
    '--cluster-dns',
    '--cluster-domain',
    '--config',
    '--offline',
    '--no-color',
    '--output',
    '--strict',
    '--check',
    '--skip',
    '--webhook',
  ],
  config: [...DNS, '--config', '--offline', '--platform', '--log-level', '--output'],
  completion: [],
  version: [...CLUSTER, '--namespace', '--client', '--output'],
};

const ALL = [...new Set(Object.values(USED).flat())].toSorted();

describe.each(Object.entries(USED))('%s', (command, used) => {
  it('takes the flags that it makes use of, and helps with all of them', async () => {
    const { out } = await cli([command, '--help']);
    const named = [...out.matchAll(/^ +(?:-\w, )?(--[a-z-]+)/gm)].map(([, flag]) => flag);
    expect(new Set(named)).toEqual(new Set([...used, '--help']));
  });

  it.each(ALL.filter((flag) => !used.includes(flag)))('refuses %s', async (flag) => {
    const { code, err } = await cli([command, flag]);
    expect(code).toBe(2);
    expect(err).toContain(`libc-dns: unknown option '${flag}'`);
  });
});

describe('short flags', () => {
  const pod = (name: string, namespace: string): string =>
    `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: {containers: [{name: a}]}\n`;
  const stdin = [pod('a', 'shop'), pod('b', 'bank'), pod('c', 'cafe')].join('---\n');

  it.each([
    [['-o=json', '-n=shop']],
    [['-ojson', '-nshop']],
    [['-o', 'json', '-n', 'shop']],
    [['--output=json', '--namespace=shop']],
  ])('take their value as with kubectl: %j', async (flags) => {
    const { code, out } = await cli(['explain', '--offline', ...flags], { stdin });
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject([{ name: 'a', namespace: 'shop' }]);
  });

  it('-o=nothing names what there is', async () => {
    const { code, err } = await cli(['explain', '-o=nothing'], { stdin });
    expect([code, err]).toEqual([2, expect.stringContaining('Allowed choices are text, json, yaml, name.')]);
  });
});
