import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';

import { fakeCluster } from '../../support/audit-fake.ts';
import { cli } from '../../support/cli.ts';

const stdin = `apiVersion: apps/v1
kind: Deployment
metadata: {name: storefront, namespace: shop}
spec:
  template:
    metadata: {annotations: {libc-dns.dev/libc.web: musl}}
    spec:
      containers:
      - {name: web, image: registry.example/storefront/web-server}
      - {name: proxy, image: "envoy:1"}
`;
const cluster = fakeCluster([{ name: 'storefront', image: 'glibc:1' }]);

const NOWHERE = 'neither --kubeconfig nor KUBECONFIG is given, and there is no /home/somebody/.kube/config here';

const HELP = ['', 'serve', 'inject', 'explain', 'detect', 'audit', 'doctor', 'config', 'completion', 'version'];

/** A line that is not wrapped, so that it can be copied: a command, or a word alone. */
const isWhole = (line: string): boolean =>
  /^ {2,}(libc-dns|kubectl|helm|source|LIBC_DNS\w+|--config) /.test(line) || !/\S \S/.test(line);

describe.each([50, 80, 140])('a terminal of %i columns', (columns) => {
  const tooLong = (text: string): string[] =>
    text.split(/[\n\r]/).filter((line) => stripVTControlCharacters(line).length > columns && !isWhole(line));

  it.each(HELP)('holds the help of %s', async (command) => {
    const { out } = await cli([command, '--help'].filter(Boolean), { terminal: true, columns });
    expect(tooLong(out)).toEqual([]);
  });

  it.each([
    [['explain', '--offline', '--node-local', 'on', '-f', '-']],
    [['explain', '--offline', '--context', 'x', '-f', '-']],
    [['explain', '-n', 'other', '-f', '-']],
    [['audit']],
    [['version']],
    [['audit', '--offline', '-f', '-']],
    [['audit', '--offline', '-o', 'nothing']],
    [['doctor', '--webhook', 'a port-forward of the webhook, which is no address at all']],
    [['config', 'a file that is not there but has a name of several words.yaml']],
  ])('holds what %j prints', async (argv) => {
    const openDoctor = async () => ({ parts: { noCluster: NOWHERE, given: {} } as never, close: async () => {} });
    const { out, err } = await cli(argv, { stdin, terminal: true, columns, cluster, openDoctor });
    expect(out + err).not.toBe('');
    expect(tooLong(out + err)).toEqual([]);
  });
});

describe('each message', () => {
  it.each([
    [['explain', '-f', '/nowhere']],
    [['inject', '-f', '-']],
    [['detect', 'UPPER']],
    [['audit', '-f', '-']],
    [['audit', '--accept', '/nowhere']],
    [['doctor', '--check', 'nothing']],
    [['config', '/nowhere']],
    [['completion', 'tcsh']],
    [['serv']],
    [['version', '--nothing']],
    [['explain', '--cluster-domain', '-f', '-']],
  ])('of %j begins the same way', async (argv) => {
    const openDoctor = async () => ({ parts: { noCluster: 'no cluster', given: {} } as never, close: async () => {} });
    const { code, err } = await cli(argv, { stdin: 'a: [', openDoctor, registries: true });
    expect(code).toBeGreaterThan(0);
    expect(err.split('\n').filter((line) => !/^libc-dns: |^ {2}|^\(|^$/.test(line))).toEqual([]);
    expect(err).toMatch(/^libc-dns: /);
  });
});
