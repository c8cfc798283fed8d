import { setImmediate as nextTurn } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { createCertificate, type TestCertificate } from '../support/certificate.ts';
import { startProxy, type ProxyServerOptions, type TestProxy } from '../support/proxy-server.ts';
import { amd64, collect, lookupContext, sampleImage, testClient } from '../support/registry-harness.ts';
import { startRegistry, type RegistryServer, type RegistryServerOptions } from '../support/registry-server.ts';
import { startTokenServer } from '../support/token-server.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map(async (close) => await close()));
});

const built = sampleImage(50_000);
const NAMES = ['registry.example', 'tokens.example', 'blobs.example', 'direct.example', '127.0.0.1', 'localhost'];

let certificate: TestCertificate;
let registry: RegistryServer;
beforeAll(async () => {
  certificate = await createCertificate(NAMES);
  registry = await startRegistry({ tls: certificate });
  registry.put('team/app', built);
});
afterAll(async () => {
  await registry.close();
});

type ClientOptions = NonNullable<Parameters<typeof testClient>[0]>;

/** A proxy that knows registry.example, and a client whose own machine can look nothing up. */
async function setUp(options: ProxyServerOptions = {}, more: ClientOptions = {}, noProxy: readonly string[] = []) {
  const proxy = await startProxy({ ...options, hosts: { 'registry.example:443': registry.host, ...options.hosts } });
  const looked: string[] = [];
  const client = testClient({
    ca: certificate.cert,
    resolve: async (name) => {
      looked.push(name);
      throw Object.assign(new Error('no DNS here'), { code: 'ENOTFOUND' });
    },
    proxy: { url: new URL(proxy.url), noProxy },
    ...more,
  });
  closing.push(client.close, proxy.close);
  const lookUp = async (name = 'registry.example/team/app') => await client.open(name).manifest(amd64, lookupContext());
  return { proxy, client, looked, lookUp };
}

async function withRegistry(options: RegistryServerOptions): Promise<RegistryServer> {
  const started = await startRegistry({ tls: certificate, ...options });
  started.put('team/app', built);
  closing.push(started.close);
  return started;
}

/** Whom the proxy was asked for, each once. */
const targets = ({ asked }: TestProxy): string[] => [...new Set(asked.map(({ target }) => target))].toSorted();

const withLogin = ({ url }: TestProxy, login: string): URL => new URL(url.replace('//', `//${login}@`));

describe('an image read through a proxy', () => {
  it('comes over TLS with the registry itself; the name is looked up by the proxy alone', async () => {
    const { proxy, looked, lookUp } = await setUp();
    await expect(lookUp()).resolves.toMatchObject({ digest: built.digest });
    expect(looked).toEqual([]);
    expect(targets(proxy)).toEqual(['registry.example:443']);
    expect(proxy.asked[0]?.headers).toMatchObject({ host: 'registry.example:443', 'user-agent': 'libc-dns-test' });
    expect(proxy.asked[0]?.headers).not.toHaveProperty('proxy-authorization');
  });

  it('is read through one tunnel, layers included, and another look-up uses it again', async () => {
    const { proxy, client, lookUp } = await setUp();
    const source = client.open('registry.example/team/app');
    const context = lookupContext();
    const manifest = await source.manifest(amd64, context);
    await source.config(manifest, context);
    const [layer] = manifest.layers;
    const bytes = await collect(source.read(layer!, 10, 20_000, context));
    expect(bytes.equals(built.blobs.get(layer!.digest)!.subarray(10, 20_010))).toBe(true);
    expect(proxy.asked).toHaveLength(1);
    // A connection serves again from the turn after its answer on.
    await nextTurn();
    await lookUp();
    expect(context.meter.requests).toBe(3);
    expect(proxy.asked).toHaveLength(1);
  });

  it('comes through a proxy that is spoken to in TLS, whose certificate is checked', async () => {
    const { proxy, lookUp } = await setUp({ tls: certificate });
    expect(proxy.url).toMatch(/^https:/);
    await expect(lookUp()).resolves.toMatchObject({ digest: built.digest });
    const stranger = await createCertificate(['127.0.0.1']);
    const other = await setUp({ tls: stranger });
    await expect(other.lookUp()).rejects.toMatchObject({
      message: expect.stringMatching(/^the proxy https:\/\/127\.0\.0\.1:\d+ has a certificate that is not trusted/),
    });
    expect(other.proxy.asked).toEqual([]);
  });

  it('has its login for the proxy given to the proxy alone, special characters included', async () => {
    const login = 'us er:p@ss:%';
    const proxy = await startProxy({ login, hosts: { 'registry.example:443': registry.host } });
    const url = withLogin(proxy, 'us%20er:p%40ss%3A%25');
    const client = testClient({ ca: certificate.cert, proxy: { url, noProxy: [] } });
    closing.push(client.close, proxy.close);
    const before = registry.requests.length;
    await client.open('registry.example/team/app').manifest(amd64, lookupContext());
    expect(proxy.asked[0]?.headers['proxy-authorization']).toBe(`Basic ${Buffer.from(login).toString('base64')}`);
    const seen = registry.requests.slice(before);
    expect(seen.length).toBeGreaterThan(0);
    expect(JSON.stringify(seen)).not.toContain('proxy-authorization');
  });

  it('has its blobs and its token through the same proxy, each host by a tunnel of its own', async () => {
    const tokens = await startTokenServer({ tls: certificate });
    const blobs = await withRegistry({});
    const hosts = { 'tokens.example:8443': tokens.host, 'blobs.example:443': blobs.host };
    const asking = await withRegistry({
      auth: {
        kind: 'bearer',
        realm: 'https://tokens.example:8443/token',
        service: 's',
        verify: (token, scope) => tokens.verify(token, scope),
      },
      blobsAt: 'https://blobs.example',
    });
    closing.push(tokens.close);
    const { proxy, lookUp } = await setUp({ hosts: { ...hosts, 'registry.example:443': asking.host } });
    await expect(lookUp()).resolves.toMatchObject({ digest: built.digest });
    expect(targets(proxy)).toEqual(['blobs.example:443', 'registry.example:443', 'tokens.example:8443']);
  });

  it('ends with its connections: nothing stays open at the proxy', async () => {
    const { proxy, client, lookUp } = await setUp();
    await lookUp();
    expect(proxy.open()).toBe(1);
    await client.close();
    await expect.poll(() => proxy.open()).toBe(0);
  });
});

describe('TLS in the tunnel', () => {
  it('is checked for the name that was asked for', async () => {
    const { lookUp } = await setUp({ hosts: { 'stranger.example:443': registry.host } });
    await expect(lookUp('stranger.example/team/app')).rejects.toMatchObject({
      message: 'stranger.example has a certificate for another name',
    });
  });

  it('is not trusted without the CA of the operator', async () => {
    const { lookUp } = await setUp({}, { ca: undefined } as unknown as ClientOptions);
    await expect(lookUp()).rejects.toMatchObject({ message: expect.stringContaining('detection.registry.caFile') });
  });

  it('is not verified for a host that `insecure` lists with https://', async () => {
    const options = { ca: undefined, insecure: ['https://registry.example'] } as unknown as ClientOptions;
    await expect((await setUp({}, options)).lookUp()).resolves.toMatchObject({ digest: built.digest });
  });

  it('is spoken with a registry that is written as an address', async () => {
    const { proxy, lookUp } = await setUp({ hosts: { '192.0.2.7:443': registry.host } });
    await expect(lookUp('192.0.2.7/team/app')).rejects.toMatchObject({
      message: expect.stringContaining('another name'),
    });
    expect(targets(proxy)).toEqual(['192.0.2.7:443']);
  });
});

describe('hosts that are asked directly', () => {
  const resolve = async () => [{ address: '127.0.0.1', family: 4 }];

  it('are those of noProxy, and theirs addresses are checked', async () => {
    const allowed = await setUp({}, { resolve, allow: ['direct.example'] }, ['.example']);
    const port = registry.host.split(':')[1];
    await expect(allowed.lookUp(`direct.example:${port}/team/app`)).resolves.toMatchObject({ digest: built.digest });
    const { proxy, lookUp } = await setUp({}, { resolve }, ['.example']);
    await expect(lookUp(`direct.example:${port}/team/app`)).rejects.toMatchObject({
      code: 'forbidden-host',
      message: expect.stringContaining('direct.example resolves to 127.0.0.1, which is refused (loopback)'),
    });
    expect([...allowed.proxy.asked, ...proxy.asked]).toEqual([]);
  });

  it('are those spoken to over plain HTTP', async () => {
    const plain = await startRegistry();
    plain.put('team/app', built);
    closing.push(plain.close);
    const { proxy, lookUp } = await setUp({}, { insecure: [plain.host] });
    await expect(lookUp(`${plain.host}/team/app`)).resolves.toMatchObject({ digest: built.digest });
    expect([...proxy.asked, ...proxy.others]).toEqual([]);
  });

  it.each(['localhost', 'a.localhost', '127.0.0.1', '[::1]'])(
    'are on this machine (%s), as without a proxy',
    async (host) => {
      const { proxy, lookUp } = await setUp({}, { resolve });
      await expect(lookUp(`${host}:1/team/app`)).rejects.toMatchObject({ code: 'forbidden-host' });
      expect(proxy.asked).toEqual([]);
    },
  );
});

describe('never handed to a proxy is', () => {
  it.each([
    ['a metadata address', '169.254.169.254', 'cloud metadata'],
    ['a metadata address in IPv6', '[fd00:ec2::254]', 'cloud metadata'],
    ['a link-local address', '169.254.1.1', 'link-local'],
    ['loopback in IPv6 spelling', '[::ffff:127.0.0.1]', 'loopback'],
    ['loopback as a number', '2130706433', 'loopback'],
    ['no address', '0.0.0.0', 'unspecified'],
    ['a metadata name', 'metadata.google.internal', 'cloud metadata'],
  ])('%s (%s)', async (_, host, why) => {
    const { proxy, lookUp } = await setUp();
    await expect(lookUp(`${host}:443/a`)).rejects.toMatchObject({
      code: 'forbidden-host',
      message: expect.stringContaining(`(${why})`),
    });
    expect(proxy.asked).toEqual([]);
  });

  it('a private address, where the operator says so', async () => {
    const { proxy, lookUp } = await setUp({}, { allowPrivateAddresses: false });
    await expect(lookUp('10.1.2.3/a')).rejects.toMatchObject({ message: expect.stringContaining('(private)') });
    expect(proxy.asked).toEqual([]);
  });

  it('a host that is denied, or not allowed', async () => {
    const { proxy, lookUp } = await setUp({}, { allow: ['quay.io'], deny: ['registry.example'] });
    await expect(lookUp()).rejects.toMatchObject({ code: 'forbidden-host' });
    await expect(lookUp('ghcr.io/a')).rejects.toMatchObject({ code: 'forbidden-host' });
    expect(proxy.asked).toEqual([]);
  });

  it('a name that only networks of the allow list admit: nobody here knows its address', async () => {
    const { proxy, lookUp } = await setUp({}, { allow: ['10.0.0.0/8'] });
    await expect(lookUp()).rejects.toMatchObject({
      code: 'forbidden-host',
      message: expect.stringContaining('cannot admit what a proxy looks up'),
    });
    expect(proxy.asked).toEqual([]);
  });

  it.each([
    ['a redirect', { blobsAt: 'https://169.254.169.254' }],
    ['a redirect to a metadata name', { blobsAt: 'https://metadata.google.internal.' }],
    ['a redirect without TLS', { blobsAt: 'http://blobs.example' }],
    [
      'a token realm',
      { auth: { kind: 'bearer', realm: 'https://169.254.169.254/token', service: 's', verify: () => false } } as const,
    ],
  ])('where %s leads, if it is forbidden', async (_, options) => {
    const asking = await withRegistry(options);
    const { proxy, lookUp } = await setUp({ hosts: { 'registry.example:443': asking.host } });
    await expect(lookUp()).rejects.toMatchObject({ code: 'forbidden-host' });
    expect(targets(proxy)).toEqual(['registry.example:443']);
  });
});

it('a login that no URL has is said at once, and not shown', () => {
  const proxy = { url: new URL('http://u:secret%zz@proxy.example:3128'), noProxy: [] };
  expect(() => testClient({ proxy })).toThrow(/^the login of the proxy is not percent-encoded as a URL has it$/);
});
