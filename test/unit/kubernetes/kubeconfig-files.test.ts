import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { readKubeConfig } from '../../../src/kubernetes/kubeconfig.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'libc-dns-kubeconfigs-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Each file in a folder of its own, named by its place. */
function files(...texts: readonly string[]): string[] {
  return texts.map((text, place) => {
    mkdirSync(join(folder, `${place}`), { recursive: true });
    const file = join(folder, `${place}`, 'config');
    writeFileSync(file, text);
    return file;
  });
}

const WORK = `
current-context: work
clusters:
- { name: main, cluster: { server: "https://work", certificate-authority: ca.pem } }
users:
- { name: me, user: { client-certificate: keys/me.crt, client-key: /absolute/me.key } }
contexts:
- { name: work, context: { cluster: main, user: me } }
- { name: both, context: { cluster: main, user: me } }
`;

const HOME = `
current-context: home
clusters:
- { name: main, cluster: { server: "https://home", insecure-skip-tls-verify: true } }
- { name: lab, cluster: { server: "https://lab", certificate-authority: ca.pem } }
users:
- { name: me, user: { token: mine, client-certificate: home.crt } }
- { name: lab, user: { exec: { apiVersion: v1, command: bin/login, args: [a] } } }
- { name: path, user: { exec: { apiVersion: v1, command: login } } }
- { name: file, user: { tokenFile: ../token } }
contexts:
- { name: home, context: { cluster: lab, user: lab } }
- { name: both, context: { cluster: lab, user: lab, namespace: shop } }
`;

describe('several files are one, as kubectl has it', () => {
  it.each<[string, string[], string, object]>([
    ['the first one’s current context', [WORK, HOME], 'work', { server: 'https://work' }],
    ['the other way round', [HOME, WORK], 'home', { server: 'https://lab' }],
    ['the first that names one', ['current-context: ""\n', 'contexts: null\n', HOME, WORK], 'home', {}],
    ['which may be of a later file', ['current-context: both\n', WORK, HOME], 'both', { server: 'https://work' }],
    ['files with nothing in them', ['', '# soon\n', WORK], 'work', { server: 'https://work' }],
    ['one file', [HOME], 'home', { server: 'https://lab' }],
  ])('%s', (_, texts, context, cluster) => {
    const config = readKubeConfig(files(...texts));
    expect(config.getCurrentContext()).toBe(context);
    expect(config.getCurrentCluster()).toMatchObject(cluster);
  });

  it('of two entries of one name the first counts, and nothing of the other', () => {
    const config = readKubeConfig(files(WORK, HOME));
    expect(config.clusters.map(({ name, server, skipTLSVerify }) => [name, server, skipTLSVerify])).toEqual([
      ['main', 'https://work', false],
      ['lab', 'https://lab', false],
    ]);
    expect(config.users.map(({ name }) => name)).toEqual(['me', 'lab', 'path', 'file']);
    expect(config.getUser('me')?.token).toBeUndefined();
    expect(config.getContextObject('both')).toEqual({
      name: 'both',
      cluster: 'main',
      user: 'me',
      namespace: undefined,
    });
  });

  it('relative paths are of the file that they stand in', () => {
    const config = readKubeConfig(files(WORK, HOME));
    expect(config.getCluster('main')?.caFile).toBe(join(folder, '0', 'ca.pem'));
    expect(config.getCluster('lab')?.caFile).toBe(join(folder, '1', 'ca.pem'));
    expect(config.getUser('me')).toMatchObject({
      certFile: join(folder, '0', 'keys', 'me.crt'),
      keyFile: '/absolute/me.key',
    });
    expect(config.getUser('lab')?.exec).toMatchObject({ command: join(folder, '1', 'bin', 'login'), args: ['a'] });
    expect(config.getUser('path')?.exec).toMatchObject({ command: 'login' });
    expect(config.getUser('file')?.authProvider).toEqual({
      name: 'tokenFile',
      config: { tokenFile: join(folder, 'token') },
    });
  });

  it.each([
    ['no YAML', '{'],
    ['a cluster without a server', 'clusters: [{ name: x, cluster: {} }]'],
    ['a user without a name', 'users: [{ user: {} }]'],
  ])('%s in one of them is an error that names it', (_, text) => {
    const [good = '', bad = ''] = files(WORK, text);
    const reading = (): unknown => readKubeConfig([good, bad]);
    expect(reading).toThrow(
      expect.objectContaining({ code: 'invalid', message: expect.stringContaining(bad) as string }),
    );
  });
});
