import { inspect } from 'node:util';

import { afterEach, describe, expect, it } from 'vitest';

import type { Credential, LookupContext } from '../../src/detection/image-source.ts';
import { listedCredentials } from '../../src/registry/auth/credentials.ts';
import { amd64, collect, lookupContext, manualClock, sampleImage, testClient } from '../support/registry-harness.ts';
import { type RegistryServer, type RegistryServerOptions, startRegistry } from '../support/registry-server.ts';
import { startTokenServer, type TokenServerOptions } from '../support/token-server.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map(async (close) => await close()));
});

const alice: Credential = { username: 'alice', password: 'pa:ss wörd' };
const mallory: Credential = { username: 'mallory', password: 'wrong' };
const built = sampleImage(50_000);

async function setUpBasic(credentials: (host: string) => { host: string; credential: Credential }[]) {
  const registry = await startRegistry({ auth: { kind: 'basic', ...alice } });
  const source = listedCredentials(credentials(registry.host));
  const client = testClient({ insecure: [registry.host], credentials: source });
  closing.push(registry.close, client.close);
  return { registry, client, name: registry.put('team/app:v1', built) };
}

async function setUpToken(
  tokenOptions: TokenServerOptions,
  credentials: Credential[] = [],
  options: Partial<RegistryServerOptions> = {},
) {
  const tokens = await startTokenServer(tokenOptions);
  const { realm, service } = tokens;
  const verify = (token: string, scope: string) => tokens.verify(token, scope);
  const registry = await startRegistry({ auth: { kind: 'bearer', realm, service, verify }, ...options });
  const clock = manualClock();
  const client = testClient({
    insecure: [registry.host, tokens.host],
    credentials: listedCredentials(credentials.map((credential) => ({ host: registry.host, credential }))),
    clock,
  });
  closing.push(registry.close, tokens.close, client.close);
  return { registry, tokens, client, clock, name: registry.put('team/app:v1', built) };
}

async function readEverything(client: ReturnType<typeof testClient>, name: string, context: LookupContext) {
  const source = client.open(name);
  const manifest = await source.manifest(amd64, context);
  await source.config(manifest, context);
  await collect(source.read(manifest.layers[0]!, 0, 1000, context));
}

const sent = (registry: RegistryServer) => registry.requests.map(({ headers }) => headers.authorization ?? '-');

describe('Basic', () => {
  it('is sent once asked for, and without being asked the next time', async () => {
    const { registry, client, name } = await setUpBasic((host) => [{ host, credential: alice }]);
    await readEverything(client, name, lookupContext());
    const basic = `Basic ${Buffer.from('alice:pa:ss wörd').toString('base64')}`;
    expect(sent(registry)).toEqual(['-', basic, basic, basic]);
  });

  it('every matching login is tried, and the one that served first the next time', async () => {
    const { registry, client, name } = await setUpBasic((host) => [
      { host: `${host}/team`, credential: mallory },
      { host, credential: alice },
    ]);
    const context = lookupContext();
    await readEverything(client, name, context);
    expect(context.meter.requests).toBe(5);
    const again = lookupContext();
    await readEverything(client, name, again);
    expect(again.meter.requests).toBe(3);
    expect(registry.requests).toHaveLength(8);
  });

  it("the Pod's own login comes before the configured ones, and serves no other Pod", async () => {
    const { registry, client, name } = await setUpBasic((host) => [{ host, credential: mallory }]);
    await readEverything(client, name, lookupContext([{ host: registry.host, credential: alice }]));
    expect(registry.requests).toHaveLength(4);
    await expect(client.open(name).manifest(amd64, lookupContext())).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('a login for another host, port or path is not sent', async () => {
    const { registry, client, name } = await setUpBasic((host) => [
      { host: host.replace(/\d+$/, '1'), credential: alice },
      { host: 'docker.io', credential: alice },
      { host: `${host}/other`, credential: alice },
    ]);
    await expect(client.open(name).manifest(amd64, lookupContext())).rejects.toMatchObject({
      code: 'unauthorized',
      message: expect.stringContaining('team/app: manifests/v1'),
    });
    expect(sent(registry)).toEqual(['-']);
  });

  it('no more than 8 logins are tried', async () => {
    const { registry, client, name } = await setUpBasic(() => []);
    const many = Array.from({ length: 50 }, (_, index) => ({
      host: registry.host,
      credential: { username: `u${index}`, password: 'x' },
    }));
    await expect(client.open(name).manifest(amd64, lookupContext(many))).rejects.toMatchObject({
      code: 'unauthorized',
    });
    expect(registry.requests.length).toBeLessThanOrEqual(10);
  });
});

describe('Bearer', () => {
  it('asks for a token without a login, once, and keeps it', async () => {
    const { registry, tokens, client, name } = await setUpToken({});
    const context = lookupContext();
    await readEverything(client, name, context);
    expect(context.meter.requests).toBe(5);
    expect(tokens.asked).toHaveLength(1);
    expect(tokens.asked[0]?.authorization).toBeUndefined();
    const { parameters } = tokens.asked[0]!;
    expect(Object.fromEntries(parameters)).toEqual({
      account: 'x',
      service: 'registry.test',
      scope: 'repository:team/app:pull',
    });
    const again = lookupContext();
    await readEverything(client, name, again);
    expect(again.meter.requests).toBe(3);
    expect(registry.requests).toHaveLength(7);
  });

  it('counts as memory of the look-up while it comes', async () => {
    const { client, name } = await setUpToken({});
    const kept: number[] = [];
    const budget = { keep: (bytes: number) => kept.push(bytes) > 0, give: () => {}, due: () => undefined };
    await client.open(name).manifest(amd64, { ...lookupContext(), budget });
    // A token and two documents.
    expect(kept).toHaveLength(3);
    await client.open(name).manifest(amd64, { ...lookupContext(), budget });
    expect(kept).toHaveLength(5);
  });

  it('asks for another repository of the same registry without being refused first', async () => {
    const { registry, client, name } = await setUpToken({});
    await client.open(name).manifest(amd64, lookupContext());
    const context = lookupContext();
    await client.open(registry.put('team/other', built)).manifest(amd64, context);
    expect(context.meter.requests).toBe(3);
  });

  it.each([
    ['token', { field: 'token' }],
    ['access_token', { field: 'access_token' }],
    ['a login', { users: { alice: 'pa:ss wörd' } }],
  ] as const)('takes %s', async (_, options) => {
    const { client, name } = await setUpToken(options, [mallory, alice]);
    await expect(readEverything(client, name, lookupContext())).resolves.toBeUndefined();
  });

  it('an identity token is exchanged by POST and goes to the token server alone', async () => {
    const identity: Credential = { username: '', password: '', identityToken: 'refresh-me' };
    const { registry, tokens, client, name } = await setUpToken({ refreshTokens: ['refresh-me'], users: {} }, [
      identity,
    ]);
    await readEverything(client, name, lookupContext());
    expect(tokens.asked.map(({ method }) => method)).toEqual(['POST']);
    expect(Object.fromEntries(tokens.asked[0]!.parameters)).toMatchObject({
      grant_type: 'refresh_token',
      service: 'registry.test',
      scope: 'repository:team/app:pull',
    });
    expect(sent(registry).join()).not.toContain('refresh-me');
  });

  it.each([404, 405])('a token server that answers a POST with %d is asked with the password', async (status) => {
    const identity: Credential = { username: 'alice', password: 'secret', identityToken: 'refresh-me' };
    const answer = ({ method }: { method: string }) => (method === 'POST' ? { status, body: '' } : undefined);
    const { tokens, client, name } = await setUpToken({ users: { alice: 'secret' }, answer }, [identity]);
    await readEverything(client, name, lookupContext());
    expect(tokens.asked.map(({ method }) => method)).toEqual(['POST', 'GET']);
  });

  it('a lifetime below a minute counts as a minute, as other clients take it', async () => {
    const { tokens, client, clock, name } = await setUpToken({ lifetime: 10 });
    await readEverything(client, name, lookupContext());
    clock.advance(45_000);
    await readEverything(client, name, lookupContext());
    expect(tokens.asked.length).toBe(1);
  });

  it('a registry token is presented as it is', async () => {
    const registry = await startRegistry({
      auth: { kind: 'bearer', realm: 'http://127.0.0.1:1/', service: 's', verify: (token) => token === 'as-it-is' },
    });
    const credential = { username: '', password: '', registryToken: 'as-it-is' };
    const client = testClient({
      insecure: [registry.host],
      credentials: listedCredentials([{ host: registry.host, credential }]),
    });
    closing.push(registry.close, client.close);
    const context = lookupContext();
    await readEverything(client, registry.put('team/app', built), context);
    expect(context.meter.requests).toBe(3);
  });

  it('a registry token that no header can hold is refused here, and is no failure of the host', async () => {
    const { client, registry } = await setUpToken({});
    const credential = { username: '', password: '', registryToken: 'a\r\nb: s3cr3t' };
    for (let count = 0; count < 10; count += 1) {
      const context = lookupContext([{ host: registry.host, credential }]);
      await expect(readEverything(client, registry.put('team/app', built), context)).resolves.toBeUndefined();
    }
  });

  it('is renewed before it expires, without the registry having to refuse it', async () => {
    const { tokens, client, clock, name } = await setUpToken({ lifetime: 60 });
    await client.open(name).manifest(amd64, lookupContext());
    clock.advance(45_000);
    await client.open(name).manifest(amd64, lookupContext());
    expect(tokens.asked).toHaveLength(1);
    clock.advance(6000);
    const context = lookupContext();
    await client.open(name).manifest(amd64, context);
    expect(tokens.asked).toHaveLength(2);
    expect(context.meter.requests).toBe(3);
  });

  it('is renewed when the registry refuses it before its time', async () => {
    const { tokens, client, name } = await setUpToken({ lifetime: 300 });
    await client.open(name).manifest(amd64, lookupContext());
    tokens.revoke();
    const context = lookupContext();
    await client.open(name).manifest(amd64, context);
    expect(tokens.asked).toHaveLength(2);
    expect(context.meter.requests).toBe(4);
  });

  it('look-ups that need the same token at once share one request', async () => {
    const { tokens, client, name, registry } = await setUpToken({});
    await client.open(registry.put('warm/up', built)).manifest(amd64, lookupContext());
    await Promise.all(Array.from({ length: 20 }, async () => await client.open(name).manifest(amd64, lookupContext())));
    expect(tokens.asked).toHaveLength(2);
  });

  it('a look-up that gives up does not take the others with it', async () => {
    const { client, registry, name } = await setUpToken({ lifetime: 300 });
    await client.open(registry.put('warm/up', built)).manifest(amd64, lookupContext());
    const gone = new AbortController();
    const first = client.open(name).manifest(amd64, lookupContext([], gone.signal));
    const second = client.open(name).manifest(amd64, lookupContext());
    gone.abort(new Error('gone'));
    await expect(first).rejects.toThrow('gone');
    await expect(second).resolves.toMatchObject({ digest: built.digest });
  });

  it.each([
    [
      'refused for ever',
      { answer: () => ({ status: 401, body: '{}' }) },
      'unauthorized',
      'token for repository:team/app:pull',
    ],
    ['failing', { answer: () => ({ status: 500, body: '{}' }) }, 'unavailable', 'token for'],
    ['empty', { answer: () => ({ status: 200, body: '{}' }) }, 'invalid-answer', 'gave no token'],
    ['no JSON', { answer: () => ({ status: 200, body: '<html>' }) }, 'invalid-answer', 'gave no token'],
    [
      'with a line break',
      { answer: () => ({ status: 200, body: '{"token":"a\\r\\nx: y"}' }) },
      'invalid-answer',
      'gave no token',
    ],
    [
      'huge',
      { answer: () => ({ status: 200, body: JSON.stringify({ token: 'a'.repeat(20_000) }) }) },
      'invalid-answer',
      'gave no token',
    ],
    [
      'gigantic',
      { answer: () => ({ status: 200, body: JSON.stringify({ token: 'a'.repeat(2_000_000) }) }) },
      'invalid-answer',
      'longer than',
    ],
  ] as const)('a token that is %s', async (_, options, code, message) => {
    const { client, name } = await setUpToken(options);
    const context = lookupContext();
    await expect(client.open(name).manifest(amd64, context)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
    expect(context.meter.requests).toBeLessThanOrEqual(3);
    expect(context.meter.bytes).toBeLessThan(200_000);
  });

  it('401 for ever, with fresh tokens, ends after one renewal', async () => {
    const { client, name, tokens } = await setUpToken({}, [alice]);
    tokens.verify = () => false;
    const context = lookupContext();
    await expect(client.open(name).manifest(amd64, context)).rejects.toMatchObject({ code: 'unauthorized' });
    expect(context.meter.requests).toBeLessThanOrEqual(7);
  });
});

const challengedWith = async (header: string | string[]) => {
  const registry = await startRegistry({
    fault: () => ({ kind: 'answer', status: 401, headers: { 'www-authenticate': header } }),
  });
  const credentials = listedCredentials([{ host: registry.host, credential: alice }]);
  const client = testClient({ insecure: [registry.host], credentials });
  closing.push(registry.close, client.close);
  return { registry, lookup: client.open(registry.put('team/app', built)).manifest(amd64, lookupContext()) };
};

describe('a challenge', () => {
  it.each([
    ['of an unknown kind', 'Negotiate', 'unauthorized', 'negotiate'],
    ['without a realm', 'Bearer service="x"', 'invalid-answer', 'token server'],
    ['with a realm that is no URL', 'Bearer realm="nowhere"', 'invalid-answer', 'token server'],
    ['with a realm of another scheme', 'Bearer realm="file:///etc/passwd"', 'invalid-answer', 'token server'],
    ['with a realm in plain HTTP', 'Bearer realm="http://tokens.example/"', 'forbidden-host', 'without TLS'],
    ['with a realm on loopback', 'Bearer realm="https://127.0.0.1:9/"', 'forbidden-host', 'loopback'],
    [
      'with a realm at the metadata service',
      'Bearer realm="https://169.254.169.254/latest"',
      'forbidden-host',
      'metadata',
    ],
    ['with a realm that holds a login', 'Bearer realm="https://a:b@tokens.example/"', 'forbidden-host', 'login'],
  ])('%s is not answered', async (_, header, code, message) => {
    const { registry, lookup } = await challengedWith(header);
    await expect(lookup).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    expect(sent(registry).every((value) => value === '-')).toBe(true);
  });

  it('among several is the one that can be answered', async () => {
    const { registry, lookup } = await challengedWith(['Negotiate, NTLM', 'Basic realm="a, b"']);
    await expect(lookup).rejects.toMatchObject({ code: 'unauthorized' });
    expect(sent(registry)[1]).toMatch(/^Basic /);
  });
});

describe('across a redirect', () => {
  it('Authorization does not go to another host, nor is a challenge from there answered', async () => {
    const store = await startRegistry({ auth: { kind: 'basic', username: 'thief', password: 'x' } });
    const registry = await startRegistry({ auth: { kind: 'basic', ...alice }, blobsAt: store.url });
    const credentials = listedCredentials([{ host: registry.host, credential: alice }]);
    const client = testClient({ insecure: [registry.host, store.host], credentials });
    closing.push(registry.close, store.close, client.close);
    const source = client.open(registry.put('team/app', built));
    const manifest = source.manifest(amd64, lookupContext());
    await expect(manifest).rejects.toMatchObject({
      code: 'unauthorized',
      message: expect.stringContaining(store.host),
    });
    expect(store.requests.length).toBeGreaterThan(0);
    expect(sent(store).every((value) => value === '-')).toBe(true);
  });

  it('Authorization stays behind although a later redirect comes back', async () => {
    const target: { url: string } = { url: '' };
    const detour = await startRegistry({
      fault: ({ path }) => ({ kind: 'answer', status: 307, headers: { location: `${target.url}${path}?back` } }),
    });
    const registry = await startRegistry({
      auth: { kind: 'basic', ...alice },
      fault: ({ path, headers }) =>
        path.includes('/blobs/') && !path.includes('?back') && headers.authorization !== undefined
          ? { kind: 'answer', status: 307, headers: { location: `${detour.url}${path}` } }
          : undefined,
    });
    target.url = registry.url;
    const credentials = listedCredentials([{ host: registry.host, credential: alice }]);
    const client = testClient({ insecure: [registry.host, detour.host], credentials });
    closing.push(registry.close, detour.close, client.close);
    const lookup = client.open(registry.put('team/app', built)).manifest(amd64, lookupContext());
    await expect(lookup).rejects.toMatchObject({ code: 'unauthorized' });
    expect(
      registry.requests
        .filter(({ path }) => path.includes('?back'))
        .every(({ headers }) => headers.authorization === undefined),
    ).toBe(true);
  });

  it('a refresh token is not taken to where a token server redirects', async () => {
    const thief = await startRegistry();
    const redirecting = await startRegistry({
      fault: () => ({ kind: 'answer', status: 307, headers: { location: `${thief.url}/token` } }),
    });
    const registry = await startRegistry({
      auth: { kind: 'bearer', realm: `${redirecting.url}/token`, service: 's', verify: () => false },
    });
    const credential = { username: '', password: '', identityToken: 'refresh-me' };
    const client = testClient({
      insecure: [registry.host, redirecting.host, thief.host],
      credentials: listedCredentials([{ host: registry.host, credential }]),
    });
    closing.push(registry.close, redirecting.close, thief.close, client.close);
    const lookup = client.open(registry.put('team/app', built)).manifest(amd64, lookupContext());
    await expect(lookup).rejects.toMatchObject({ code: 'invalid-answer' });
    expect(thief.requests).toEqual([]);
  });
});

it('no error, metric or meter holds a credential, whatever the registry does with it', async () => {
  const secrets = [
    's3cr3t-user',
    's3cr3t-pass',
    's3cr3t-identity',
    's3cr3t-registry',
    's3cr3t-token',
    's3cr3t-signature',
  ];
  const [username = '', password = '', identityToken = '', registryToken = ''] = secrets;
  const logins: Credential[] = [
    { username, password },
    { username: '', password: '', identityToken },
    { username: '', password: '', registryToken },
  ];
  const tokens = await startTokenServer({
    answer: ({ method }) =>
      method === 'POST' ? { status: 403, body: identityToken } : { status: 200, body: '{"token":"s3cr3t-token"}' },
  });
  const events: unknown[] = [];
  const outcomes: unknown[] = [];
  const echo = (status: number) => ({
    kind: 'answer' as const,
    status,
    headers: {
      'www-authenticate': `Bearer realm="${tokens.realm}",service="s"`,
      location: 'https://u:s3cr3t-signature@x/?s3cr3t-signature',
    },
    body: JSON.stringify({ errors: [{ code: secrets.join(), message: secrets.join() }] }),
  });
  const statuses = [401, 403, 404, 429, 500, 307, 200, 418];
  for (const status of statuses) {
    const registry = await startRegistry({
      fault: ({ headers }) => (headers.authorization === undefined ? echo(401) : echo(status)),
    });
    const client = testClient({
      insecure: [registry.host, tokens.host],
      credentials: listedCredentials(logins.map((credential) => ({ host: registry.host, credential }))),
      onBreaker: (event) => events.push(event),
    });
    const context = { ...lookupContext(), onRequest: (event: unknown) => events.push(event) };
    const error: unknown = await client
      .open(`${registry.host}/a`)
      .manifest(amd64, context)
      .catch((reason: unknown) => reason);
    outcomes.push(error, (error as Error).stack, context.meter);
    await Promise.all([registry.close(), client.close()]);
  }
  await tokens.close();
  expect(outcomes.filter((outcome) => outcome instanceof Error)).toHaveLength(statuses.length);
  const everything = inspect([outcomes, events], { depth: 10, showHidden: true });
  for (const secret of [...secrets, Buffer.from(`${username}:${password}`).toString('base64')]) {
    expect(everything).not.toContain(secret);
  }
});
