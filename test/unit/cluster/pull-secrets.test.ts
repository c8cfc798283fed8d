import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { PullSecretProblem } from '../../../src/cluster/pull-secret-api.ts';
import { createPullSecrets, type PullSecrets } from '../../../src/cluster/pull-secrets.ts';
import { parseDockerConfig, parseLegacyDockerConfig } from '../../../src/registry/auth/docker-config.ts';
import { manualClock } from '../../support/registry-harness.ts';
import { dockerConfigSecret, type SecretsApi, startSecretsApi } from '../../support/secrets-api.ts';

let api: SecretsApi;
let pullSecrets: PullSecrets;
let clock: ReturnType<typeof manualClock>;
let problems: PullSecretProblem[];

beforeEach(async () => {
  api = await startSecretsApi();
  clock = manualClock();
  problems = [];
  pullSecrets = createPullSecrets({
    client: api.client,
    readers: { dockerConfig: parseDockerConfig, legacyDockerConfig: parseLegacyDockerConfig },
    clock,
    onProblem: (problem) => problems.push(problem),
  });
});
afterEach(async () => {
  pullSecrets.close();
  await api.close();
});

const pod = (imagePullSecrets: string[], serviceAccountName = 'default') => ({ imagePullSecrets, serviceAccountName });
const login = (username: string, password = 's3cr3t') => ({ username, password });
const config = (host: string, username: string) => dockerConfigSecret({ auths: { [host]: login(username) } });
const users = async (...args: Parameters<PullSecrets['loginsOf']>) =>
  (await pullSecrets.loginsOf(...args)).map(({ host, credential }) => `${credential.username}@${host}`);

describe("a Pod's logins", () => {
  it('come from its pull secrets, in their order, of both types', async () => {
    api.objects.set('shop/secrets/first', config('registry.example', 'alice'));
    const legacy = { 'https://old.example/v1/': { auth: Buffer.from('bob:s3cr3t').toString('base64') } };
    api.objects.set('shop/secrets/second', dockerConfigSecret(legacy, 'kubernetes.io/dockercfg'));
    expect(await users(pod(['second', 'first', 'second']), 'shop')).toEqual([
      'bob@https://old.example/v1/',
      'alice@registry.example',
    ]);
    expect(problems).toEqual([]);
  });

  it('are read by name, with GET, and nothing else is', async () => {
    api.objects.set('shop/secrets/regcred', config('registry.example', 'alice'));
    await users(pod(['regcred']), 'shop');
    expect(api.requests).toEqual(['GET /api/v1/namespaces/shop/secrets/regcred']);
  });

  it('are those of its own namespace, whatever another one has under that name', async () => {
    api.objects.set('shop/secrets/regcred', config('registry.example', 'shop'));
    api.objects.set('other/secrets/regcred', config('registry.example', 'other'));
    const both = await Promise.all(['shop', 'other', 'third'].map((namespace) => users(pod(['regcred']), namespace)));
    expect(both).toEqual([['shop@registry.example'], ['other@registry.example'], []]);
  });

  it.each(['..', '.', '../../kube-system/secrets/regcred', 'a/../b', '%2e%2e', 'A', '', ' ', 'a?b', 'x'.repeat(254)])(
    'are not looked for under the name %j, which admission has not validated yet',
    async (name) => {
      api.objects.set('kube-system/secrets/regcred', config('registry.example', 'root'));
      expect(await users(pod([name], name), 'shop')).toEqual([]);
      expect(await users(pod(['regcred'], name), `shop/../${name}`)).toEqual([]);
      expect(api.requests).toEqual([]);
    },
  );
});

describe('the service account', () => {
  beforeEach(() => {
    api.objects.set('shop/serviceaccounts/robot', { imagePullSecrets: [{ name: 'regcred' }, {}, { name: '..' }] });
    api.objects.set('shop/secrets/regcred', config('registry.example', 'alice'));
    api.objects.set('shop/secrets/own', config('registry.example', 'own'));
  });

  it('gives its pull secrets to a Pod that names none', async () => {
    expect(await users(pod([], 'robot'), 'shop')).toEqual(['alice@registry.example']);
    expect(problems).toEqual([]);
  });

  it('gives nothing to a Pod that names some, and is not read for it', async () => {
    expect(await users(pod(['own'], 'robot'), 'shop')).toEqual(['own@registry.example']);
    expect(api.requests.join()).not.toContain('serviceaccounts');
  });

  it.each([
    ['is not there', undefined, 'not-found', 'ServiceAccount shop/robot: it is not there'],
    ['may not be read', { status: 403, message: 'User "x" cannot get' }, 'forbidden', 'grant get'],
    ['is not one', { imagePullSecrets: 'regcred' }, 'invalid', 'not what was expected'],
  ] as const)('that %s costs nothing but its secrets', async (_, answer, code, message) => {
    api.objects.delete('shop/serviceaccounts/robot');
    if (answer !== undefined) api.objects.set('shop/serviceaccounts/robot', answer);
    expect(await users(pod([], 'robot'), 'shop')).toEqual([]);
    expect(problems).toEqual([{ namespace: 'shop', code, message: expect.stringContaining(message) }]);
  });
});

describe('a pull secret', () => {
  const garbage = dockerConfigSecret('{"auths": s3cr3t');
  it.each([
    ['that is missing', undefined, 'not-found', 'Secret shop/bad: it is not there'],
    ['that is forbidden', { status: 403, message: 'User "x" cannot get resource' }, 'forbidden', 'User "x" cannot get'],
    ['without a valid token of ours', { status: 401, message: 'Unauthorized' }, 'forbidden', 'Unauthorized'],
    ['when the server fails', { status: 500, message: 'etcd' }, 'unavailable', 'etcd'],
    ['when the connection breaks', 'reset', 'unavailable', 'it could not be read'],
    ['when a proxy answers', 'html', 'unavailable', 'HTTP status 502'],
    ['of another type', { type: 'Opaque', data: { password: 's3cr3t' } }, 'invalid', 'expected the type kubernetes.io'],
    ['of a wrong type', { type: 7 }, 'invalid', 'expected the type'],
    ['that is no object', [], 'invalid', 'expected the type'],
    ['without data', { type: 'kubernetes.io/dockercfg' }, 'invalid', 'it has no .dockercfg'],
    ['without its key', { type: 'kubernetes.io/dockerconfigjson', data: { x: '' } }, 'invalid', 'no .dockerconfigjson'],
    [
      'with data of a wrong type',
      { type: 'kubernetes.io/dockercfg', data: { '.dockercfg': 1 } },
      'invalid',
      'no .dock',
    ],
    ['that is no JSON', garbage, 'invalid', '.dockerconfigjson: it is not a JSON object'],
    [
      'that is no base64',
      { type: 'kubernetes.io/dockercfg', data: { '.dockercfg': '§' } },
      'invalid',
      'not a JSON object',
    ],
    ['with auths of a wrong type', dockerConfigSecret({ auths: 's3cr3t' }), 'invalid', 'auths is not an object'],
    [
      'with a broken login',
      dockerConfigSecret({ auths: { 'r.example': { auth: 's3cr3t' } } }),
      'invalid',
      '"r.example"',
    ],
    [
      'with a login in the name of a registry',
      dockerConfigSecret({ auths: { 'https://u:s3cr3t/s3cr3t@r.example': { auth: 'x' } } }),
      'invalid',
      '…@r.example',
    ],
    [
      'with a thousand broken logins',
      dockerConfigSecret({ auths: Object.fromEntries(Array.from({ length: 1000 }, (__, i) => [`r${i}`, 's3cr3t'])) }),
      'invalid',
      '500 more like this',
    ],
    [
      'with a name of a registry that is half a MiB long',
      dockerConfigSecret({ auths: { [`https://s3cr3t${'x'.repeat(500_000)}@r.example`]: 's3cr3t' } }),
      'invalid',
      'the login for "…',
    ],
  ] as const)('%s is left out, once said why, and leaves the others', async (_, answer, code, message) => {
    if (answer !== undefined) api.objects.set('shop/secrets/bad', answer);
    api.objects.set('shop/secrets/good', config('registry.example', 'alice'));
    expect(await users(pod(['bad', 'good']), 'shop')).toEqual(['alice@registry.example']);
    expect(problems).toEqual([{ namespace: 'shop', code, message: expect.stringContaining(message) }]);
    expect(problems[0]?.message.length).toBeLessThan(500);
    expect(JSON.stringify(problems)).not.toContain('s3cr3t');
  });

  it('with some broken logins gives the others', async () => {
    const auths = { 'a.example': { auth: '?' }, 'b.example': login('alice') };
    api.objects.set('shop/secrets/half', dockerConfigSecret({ auths }));
    expect(await users(pod(['half']), 'shop')).toEqual(['alice@b.example']);
    expect(problems).toHaveLength(1);
  });

  it('of a MiB, as large as they get, gives as many logins as are ever tried', async () => {
    const entries = Array.from({ length: 9000 }, (_, i) => [`r${i}.example`, login(`user${i}`, 'p'.repeat(60))]);
    const large = dockerConfigSecret({ auths: Object.fromEntries(entries) });
    for (const name of ['a', 'b', 'c']) api.objects.set(`shop/secrets/${name}`, large);
    expect(JSON.stringify(large).length).toBeGreaterThan(1_300_000);
    expect(await users(pod(['a', 'b', 'c']), 'shop')).toHaveLength(500);
    await users(pod(['a', 'b', 'c']), 'shop');
    expect(api.requests).toHaveLength(3);
  });
});

describe('the API server', () => {
  it('is asked once for a thousand Pods at the same time', async () => {
    api.objects.set('shop/secrets/regcred', config('registry.example', 'alice'));
    api.delay = 20;
    const all = await Promise.all(Array.from({ length: 1000 }, () => users(pod(['regcred']), 'shop')));
    expect(new Set(all.flat())).toEqual(new Set(['alice@registry.example']));
    expect(api.requests).toHaveLength(1);
  });

  it.each([
    ['of a secret that was read is used for a minute', 60_000, config('registry.example', 'alice')],
    ['of one that was not is remembered for ten seconds', 10_000, { status: 403, message: 'no' }],
    ['of one of another type too', 10_000, { type: 'Opaque' }],
  ])('whose answer %s', async (_, ms, answer) => {
    api.objects.set('shop/secrets/regcred', answer);
    await users(pod(['regcred']), 'shop');
    clock.advance(ms - 1);
    await users(pod(['regcred']), 'shop');
    expect(api.requests).toHaveLength(1);
    clock.advance(1);
    await users(pod(['regcred']), 'shop');
    expect(api.requests).toHaveLength(2);
  });

  it('is asked for the first 16 secrets of a Pod that names 100', async () => {
    const names = Array.from({ length: 100 }, (_, index) => `s${index}`);
    for (const name of names) api.objects.set(`shop/secrets/${name}`, config(`${name}.example`, 'alice'));
    expect(await users(pod(names), 'shop')).toHaveLength(16);
    expect(api.requests).toHaveLength(16);
    const message = 'a Pod in namespace shop names 100 pull secrets: only the first 16 are read';
    expect(problems).toEqual([{ namespace: 'shop', code: 'too-many', message }]);
  });

  it('is asked for a few secrets at a time, however many Pods wait, and for no more than may wait', async () => {
    api.delay = 5;
    const namespaces = Array.from({ length: 600 }, (_, index) => `n${index}`);
    await Promise.all(namespaces.map((namespace) => users(pod(['regcred']), namespace)));
    expect(api.mostAtOnce()).toBeLessThanOrEqual(8);
    expect(api.requests).toHaveLength(508);
    expect(problems.filter(({ message }) => message.includes('too many others'))).toHaveLength(92);
  });

  it('that never answers is waited for until the end of the process at most', async () => {
    api.objects.set('shop/secrets/regcred', 'hang');
    const waiting = users(pod(['regcred']), 'shop');
    await expect.poll(() => api.requests.length).toBe(1);
    pullSecrets.close();
    expect(await waiting).toEqual([]);
    expect(await users(pod(['other']), 'shop')).toEqual([]);
    expect(problems).toEqual([]);
  });
});
