import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { configProblems, FILES, fileProblems } from '../image/checks.ts';
import { entriesOf, type BuiltImage } from '../image/inspect-image.ts';
import { ROOT } from './helm.ts';

/** What `npm run image` would say of an image: the image itself is built there, not here. */
describe('the look at the image', () => {
  const good: BuiltImage['config']['config'] = {
    User: '65532:65532',
    Entrypoint: ['/nodejs/bin/node', '--initial-old-space-size=32', '/app/main.js'],
    Cmd: ['serve'],
    WorkingDir: '/app',
    ExposedPorts: { '9402/tcp': {}, '10250/tcp': {} },
    Labels: {
      'org.opencontainers.image.title': 'libc-dns-webhook',
      'org.opencontainers.image.description': 'Gives every Pod the DNS options',
      'org.opencontainers.image.licenses': 'Apache-2.0',
    },
  };
  const problems = (config: BuiltImage['config']['config']): string[] =>
    configProblems({ digest: '', own: [], config: { architecture: 'amd64', config } });

  it('finds nothing wrong with a right one', () => {
    expect(problems(good)).toEqual([]);
    expect(fileProblems(FILES)).toEqual([]);
  });

  it.each<[what: string, change: object, problem: RegExp]>([
    ['root', { User: '0:0' }, /user "0:0": expected numbers/],
    ['a user by name', { User: 'nonroot' }, /expected numbers/],
    ['no user', { User: undefined }, /user ""/],
    ['a shell', { Entrypoint: ['/bin/sh', '-c'] }, /entry point/],
    ["the base's own way to start", { Entrypoint: ['/nodejs/bin/node'] }, /entry point/],
    ['another flag', { Entrypoint: ['/nodejs/bin/node', '--inspect', '/app/main.js'] }, /entry point/],
    ['a flag less', { Entrypoint: ['/nodejs/bin/node', '/app/main.js'] }, /entry point/],
    ['another command', { Cmd: ['main.js', 'serve'] }, /command/],
    ['another folder', { WorkingDir: '/' }, /working directory/],
    ['another port', { ExposedPorts: { '443/tcp': {} } }, /ports 443/],
    ['no labels', { Labels: {} }, /label org\.opencontainers\.image\.title/],
  ])('finds %s', (_, change, problem) => {
    expect(problems({ ...good, ...change })[0]).toMatch(problem);
  });

  it('finds files that should not be there, cannot be changed, or are missing', () => {
    const folder = mkdtempSync(join(tmpdir(), 'libc-dns-layer-'));
    mkdirSync(join(folder, 'app/node_modules'), { recursive: true });
    writeFileSync(join(folder, 'app/main.js'), '');
    chmodSync(join(folder, 'app/main.js'), 0o777);
    const layer = join(folder, 'layer.tar');
    spawnSync('tar', ['--create', '--owner=0', '--group=0', '--file', layer, '--directory', folder, 'app']);
    const found = fileProblems(entriesOf(layer));
    rmSync(folder, { recursive: true });
    expect(found).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^not expected: d\S+ 0\/0 app\/node_modules\/$/),
        'not expected: -rwxrwxrwx 0/0 app/main.js',
        'missing: -rw-r--r-- 0/0 app/LICENSE',
      ]),
    );
  });

  it('says loudly that it could not look where there is no builder', () => {
    const script = join(ROOT, 'test/image/main.ts');
    const result = spawnSync(process.execPath, [script], { env: { PATH: '/nonexistent' }, encoding: 'utf8' });
    expect(result).toMatchObject({ status: 2, stderr: expect.stringContaining('!! THE IMAGE WAS NOT BUILT') });
  });
});
