import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';

import { anything, assert, json as anyJson, oneof, property, string } from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';

import { credentialHelper } from '../../../../src/registry/auth/credential-helper.ts';
import { combineCredentials, listedCredentials, matchCredentials } from '../../../../src/registry/auth/credentials.ts';
import {
  dockerConfigCredentials,
  parseDockerConfig,
  parseLegacyDockerConfig,
} from '../../../../src/registry/auth/docker-config.ts';

const login = (username: string) => ({ username, password: 'p' });
const auth = (text: string) => Buffer.from(text).toString('base64');
const entry = (host: string) => ({ host, credential: login(host) });

describe('which logins are for a repository', () => {
  it.each([
    ['https://index.docker.io/v1/', 'docker.io', 'library/nginx', true],
    ['index.docker.io', 'docker.io', 'library/nginx', true],
    ['docker.io', 'docker.io', 'library/nginx', true],
    ['registry-1.docker.io', 'docker.io', 'library/nginx', true],
    ['auth.docker.io', 'docker.io', 'library/nginx', false],
    ['ghcr.io', 'ghcr.io', 'a/b', true],
    ['https://ghcr.io/v2/', 'ghcr.io', 'a/b', true],
    ['http://ghcr.io/v1', 'ghcr.io', 'a/b', true],
    ['GHCR.io', 'ghcr.io', 'a/b', true],
    ['ghcr.io', 'xghcr.io', 'a/b', false],
    ['ghcr.io', 'ghcr.io:5000', 'a/b', false],
    ['host:5000', 'host:5000', 'a', true],
    ['ghcr.io/a', 'ghcr.io', 'a/b', true],
    ['ghcr.io/a/b', 'ghcr.io', 'a/b', true],
    ['ghcr.io/a/', 'ghcr.io', 'a/b', true],
    ['ghcr.io/a/b/c', 'ghcr.io', 'a/b', false],
    ['ghcr.io/a', 'ghcr.io', 'ab/c', true],
    ['https://ghcr.io/v2/a', 'ghcr.io', 'a/b', true],
    ['https://ghcr.io/v2/b', 'ghcr.io', 'a/b', false],
    ['ghcr.io/v2fork', 'ghcr.io', 'a/b', false],
    ['*.dkr.ecr.*.amazonaws.com', '1.dkr.ecr.eu-west-1.amazonaws.com', 'a', true],
    ['*.io', 'ghcr.io', 'a', true],
    ['*.io', 'a.ghcr.io', 'a', false],
    ['g*r.io', 'ghcr.io', 'a', true],
    ['g*c*r.io', 'ghcr.io', 'a', true],
    ['gh*hcr.io', 'ghcr.io', 'a', false],
    ['*', 'ghcr.io', 'a', false],
    ['gh?r.io', 'ghcr.io', 'a', true],
    ['gh?cr.io', 'ghcr.io', 'a', false],
    ['reg[0-9].io', 'reg7.io', 'a', true],
    ['reg[0-9].io', 'regx.io', 'a', false],
    ['reg[^0-9a].io:5000/team', 'regx.io:5000', 'team/app', true],
    ['reg[^0-9a].io', 'rega.io', 'a', false],
    ['*[0-9]?.io', 'mirror17.io', 'a', true],
    ['reg[0-9.io', 'reg7.io', 'a', false],
    ['[::1]:5000', '[::1]:5000', 'a', true],
    // The rest is the table of the kubelet's own tests (keyring_test.go).
    ['*.kubernetes.io', 'prefix.kubernetes.io', 'a', true],
    ['prefix.*.io', 'prefix.kubernetes.io', 'a', true],
    ['prefix.kubernetes.*', 'prefix.kubernetes.io', 'a', true],
    ['*-good.kubernetes.io', 'prefix-good.kubernetes.io', 'a', true],
    ['*.kubernetes.io/blah', 'prefix.kubernetes.io', 'blah', true],
    ['prefix.*.io/foo', 'prefix.kubernetes.io', 'foo/bar', true],
    ['*.kubernetes.io:1111/blah', 'prefix.kubernetes.io:1111', 'blah', true],
    ['prefix.*.io:1111/foo', 'prefix.kubernetes.io:1111', 'foo/bar', true],
    ['*.kubernetes.io', 'kubernetes.io', 'a', false],
    ['*.*.kubernetes.io', 'prefix.kubernetes.io', 'a', false],
    ['*.*.kubernetes.io', 'kubernetes.io', 'a', false],
    ['*kubernetes.io', 'a.kubernetes.io', 'a', false],
    ['*kubernetes.io', 'kubernetes.io', 'a', true],
    ['*.*.*.kubernetes.io', 'a.b.c.kubernetes.io', 'a', true],
    ['kubernetes.io', 'kubernetes.com', 'a', false],
    ['k*.io', 'quay.io', 'a', false],
    ['*.kubernetes.io:1234/blah', 'prefix.kubernetes.io:1111', 'blah', false],
    ['prefix.*.io/foo', 'prefix.kubernetes.io:1111', 'foo/bar', false],
    ['https://*.docker.io/path', 'prefix.docker.io', 'path/foo/bar', true],
    ['https://prefix.*.io:8888', 'prefix.docker.io:8888', 'foo/bar', true],
    ['https://*.docker.io/path:1111', 'prefix.docker.io', 'path:1111/foo/bar', true],
    ['https://*.docker.io/v1/', 'prefix.docker.io', 'path:1111/foo/bar', true],
    ['https://*.docker.io/v2/', 'prefix.docker.io', 'path:1111/foo/bar', true],
    ['https://prefix.*.io/path:1111', 'prefix.docker.io', 'path/subpath:1111/foo/bar', false],
    ['https://prefix.docker.c*', 'prefix.docker.io', 'foo/bar', false],
    ['https://index.docker.io/v1/', 'world.mesos.org', 'foo/bar', false],
    ['', 'ghcr.io', 'a', false],
  ])('%s for %s/%s: %s', (key, host, repository, expected) => {
    expect(matchCredentials([entry(key)], host, repository)).toHaveLength(expected ? 1 : 0);
  });

  it('in the order of the kubelet: keys sorted backwards, equal ones in the order of the file', async () => {
    const entries = ['*.io', 'ghcr.io', 'ghcr.io/a/b', 'g*.io/a', 'ghcr.io/a', 'https://ghcr.io'].map(entry);
    const found = await listedCredentials(entries).find('ghcr.io', 'a/b/c');
    expect(found.map(({ username }) => username)).toEqual([
      'ghcr.io/a/b',
      'ghcr.io/a',
      'ghcr.io',
      'https://ghcr.io',
      'g*.io/a',
      '*.io',
    ]);
    const both = combineCredentials([listedCredentials([entry('*.io')]), listedCredentials([entry('ghcr.io')])]);
    expect((await both.find('ghcr.io', 'a')).map(({ username }) => username)).toEqual(['*.io', 'ghcr.io']);
  });

  it('those for index.docker.io count for Docker Hub if no other does', () => {
    const keys = (...hosts: string[]) =>
      matchCredentials(hosts.map(entry), 'docker.io', 'team/app').map(({ username }) => username);
    expect(keys('https://index.docker.io/v1/', 'docker.io/team')).toEqual(['docker.io/team']);
    expect(keys('https://index.docker.io/v1/', 'docker.io/other')).toEqual(['https://index.docker.io/v1/']);
  });

  it('keys of stars and classes are compared in linear time', () => {
    const hostile = Array.from({ length: 500 }, () => entry(`${'*a?[a-z]'.repeat(120)}b`));
    const started = performance.now();
    expect(matchCredentials(hostile, 'a'.repeat(63), 'x')).toEqual([]);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  // Backtracking would never end.
  it('a key of many stars is compared to its end', () => {
    expect(matchCredentials([entry(`${'a*'.repeat(5000)}b`)], 'a'.repeat(20_000), 'x')).toEqual([]);
  });
});

describe('a docker config file', () => {
  it.each([
    ['auth', { auth: auth('u:p') }, { username: 'u', password: 'p' }],
    ['auth without padding', { auth: auth('user:pa').replaceAll('=', '') }, { username: 'user', password: 'pa' }],
    [
      'auth with line breaks',
      { auth: `${auth('user:pass').slice(0, 4)}\n${auth('user:pass').slice(4)}` },
      { username: 'user', password: 'pass' },
    ],
    [
      'auth in the URL alphabet',
      { auth: Buffer.from('u:??>>').toString('base64url') },
      { username: 'u', password: '??>>' },
    ],
    ['a password with colons', { auth: auth('u:p:q:r') }, { username: 'u', password: 'p:q:r' }],
    ['a password padded with NUL', { auth: auth('u:p\0\0') }, { username: 'u', password: 'p' }],
    ['username and password', { username: 'u', password: 'p' }, { username: 'u', password: 'p' }],
    ['auth beside username', { auth: auth('a:b'), username: 'u', password: 'p' }, { username: 'a', password: 'b' }],
    [
      'an identity token',
      { auth: auth('u:'), identitytoken: 't' },
      { username: 'u', password: '', identityToken: 't' },
    ],
    ['a registry token', { registrytoken: 't' }, { username: '', password: '', registryToken: 't' }],
  ])('reads %s', (_, value, credential) => {
    expect(parseDockerConfig(JSON.stringify({ auths: { 'ghcr.io': value } }))).toEqual({
      auths: [{ host: 'ghcr.io', credential }],
      credHelpers: {},
      problems: [],
    });
    expect(parseLegacyDockerConfig(JSON.stringify({ 'ghcr.io': value })).auths).toEqual([
      { host: 'ghcr.io', credential },
    ]);
  });

  it.each([
    ['not JSON', '{"auths":{"ghcr.io":{"auth":"hunter2', 'JSON'],
    ['an array', '["hunter2"]', 'JSON'],
    ['too much', `"${'hunter2'.repeat(200_000)}"`, 'JSON'],
    ['auths of another kind', '{"auths":["hunter2"]}', 'auths'],
    ['an auth that is not base64', '{"auths":{"ghcr.io":{"auth":"hunter2!"}}}', 'ghcr.io'],
    [
      'an auth without a colon',
      `{"auths":{"ghcr.io":{"auth":"${Buffer.from('hunter2').toString('base64')}"}}}`,
      'ghcr.io',
    ],
    ['an entry of another kind', '{"auths":{"ghcr.io":"hunter2"}}', 'ghcr.io'],
    ['a helper with a path', '{"credHelpers":{"ghcr.io":"../hunter2"}}', 'ghcr.io'],
    ['helpers of another kind', '{"credHelpers":"hunter2"}', 'credHelpers'],
    ['a store with a path', '{"credsStore":"/bin/hunter2"}', 'credsStore'],
  ])('names %s as a problem, without its content', (_, json, problem) => {
    const config = parseDockerConfig(json);
    expect(config.auths).toEqual([]);
    expect(config.problems.join()).toContain(problem);
    expect(config.problems.join()).not.toContain('hunter2');
  });

  it('one bad entry does not take the others with it', () => {
    const config = parseDockerConfig(
      JSON.stringify({ auths: { a: { auth: '!' }, b: { username: 'u', password: 'p' }, c: {} } }),
    );
    expect(config.auths.map(({ host }) => host)).toEqual(['b']);
    expect(config.problems).toHaveLength(1);
    expect(parseLegacyDockerConfig('[]').problems).toHaveLength(1);
  });

  it('a hostile file is read without a report on each entry', () => {
    for (const value of ['1', '{}', '{"auth":"!"}']) {
      const entries = Array.from({ length: 40_000 }, (_, index) => `"${index}":${value}`).join(',');
      const config = parseDockerConfig(`{"auths":{${entries}},"credHelpers":{${entries}}}`);
      expect(config.problems.length).toBeLessThan(1100);
    }
  });

  it('a key named __proto__ is a key', () => {
    const config = parseDockerConfig(
      '{"auths":{"__proto__":{"username":"u","password":"p"}},"credHelpers":{"__proto__":"x"}}',
    );
    expect(({} as Record<string, unknown>)['username']).toBeUndefined();
    expect(config.credHelpers['toString']).not.toBe('x');
  });

  it('nothing makes it throw', () => {
    assert(
      property(
        oneof(
          string(),
          anyJson(),
          anything().map((value) => JSON.stringify({ auths: value }) ?? ''),
        ),
        (text) => {
          expect(parseDockerConfig(text).auths).toBeInstanceOf(Array);
          expect(parseLegacyDockerConfig(text).auths).toBeInstanceOf(Array);
        },
      ),
    );
  });
});

describe('credential helpers', () => {
  const bin = mkdtempSync(join(tmpdir(), 'helpers-'));
  afterAll(() => {
    rmSync(bin, { recursive: true });
  });
  const install = (name: string, body: string) => {
    const file = join(bin, `docker-credential-${name}`);
    writeFileSync(file, `#!/bin/sh\n${body}\n`);
    chmodSync(file, 0o755);
  };
  const helper = credentialHelper({ PATH: `${bin}:/usr/bin:/bin` }, 2000);

  it('is asked for the server and answers a login', async () => {
    install('good', 'read s; echo "{\\"ServerURL\\":\\"$s\\",\\"Username\\":\\"$1 $s\\",\\"Secret\\":\\"x\\"}"');
    await expect(helper('good', 'ghcr.io')).resolves.toEqual({ username: 'get ghcr.io', password: 'x' });
  });

  it('answers an identity token', async () => {
    install('token', 'echo \'{"Username":"<token>","Secret":"x"}\'');
    await expect(helper('token', 'ghcr.io')).resolves.toEqual({ username: '', password: '', identityToken: 'x' });
  });

  it('has no login', async () => {
    install('none', 'echo "credentials not found in native keychain"; exit 1');
    await expect(helper('none', 'ghcr.io')).resolves.toBeUndefined();
  });

  it.each([
    ['fails', 'echo hunter2; exit 3', 'exit code 3'],
    ['talks', 'echo hunter2', 'JSON'],
    ['errs', 'echo "{\\"Secret\\":\\"hunter2\\"}"', 'Username and Secret'],
    ['floods', 'while :; do echo hunter2hunter2hunter2hunter2hunter2hunter2; done', 'exit code null'],
    ['hangs', 'exec sleep 30', 'exit code null'],
  ])('%s: the error does not repeat what it said', async (name, body, message) => {
    install(name, body);
    const error = await helper(name, 'ghcr.io').catch((reason: unknown) => reason as Error);
    expect(error).toMatchObject({ message: expect.stringContaining(message) });
    expect(inspect(error)).not.toContain('hunter2');
  });

  it('is not there', async () => {
    await expect(helper('absent', 'ghcr.io')).rejects.toThrow('docker-credential-absent could not be run: ENOENT');
  });

  it('comes before auths, runs once per registry, and only where running it is allowed', async () => {
    const asked: string[] = [];
    const config = parseDockerConfig(
      JSON.stringify({
        auths: { 'ghcr.io': { username: 'listed', password: 'p' } },
        credHelpers: { 'ghcr.io': 'gh', 'quay.io': 'broken' },
        credsStore: 'store',
      }),
    );
    const problems: string[] = [];
    const source = dockerConfigCredentials(config, {
      helper: async (name, server) => {
        asked.push(`${name} ${server}`);
        if (name === 'broken') throw new Error('broken');
        return name === 'gh' ? login('helped') : undefined;
      },
      onProblem: (message) => problems.push(message),
    });
    const names = async (host: string) => (await source.find(host, 'a')).map(({ username }) => username);
    expect(await names('ghcr.io')).toEqual(['helped', 'listed']);
    expect(await names('ghcr.io')).toEqual(['helped', 'listed']);
    expect(await names('quay.io')).toEqual([]);
    expect(await names('docker.io')).toEqual([]);
    expect(asked).toEqual(['gh ghcr.io', 'broken quay.io', 'store https://index.docker.io/v1/']);
    expect(problems).toEqual(['broken']);
    expect(await dockerConfigCredentials(config).find('ghcr.io', 'a')).toEqual([login('listed')]);
  });
});
