import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { listedCredentials } from '../../src/registry/auth/credentials.ts';
import { createCertificate, type TestCertificate } from '../support/certificate.ts';
import { amd64, collect, lookupContext, sampleImage, testClient } from '../support/registry-harness.ts';
import { type RegistryServer, startRegistry } from '../support/registry-server.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map(async (close) => await close()));
});
const built = sampleImage(50_000);

describe('connections', () => {
  /** A registry under any number of addresses of loopback. Returns its hosts, and its open connections. */
  const openStreet = async (hosts: number) => {
    const sockets = new Set<Socket>();
    const answer = JSON.stringify({ schemaVersion: 2 });
    const server = createServer((_, response) => {
      response.setHeader('content-type', 'application/vnd.oci.image.manifest.v1+json').end(answer);
    });
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    });
    server.keepAliveTimeout = 60_000;
    await new Promise<void>((resolve) => {
      server.listen(0, '0.0.0.0', resolve);
    });
    closing.push(async () => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    return { sockets, hosts: Array.from({ length: hosts }, (_, at) => `127.2.${at >> 8}.${at & 255}:${port}`) };
  };
  const open = async (client: ReturnType<typeof testClient>, host: string): Promise<unknown> =>
    await client
      .open(`${host}/team/app`)
      .manifest(amd64, lookupContext())
      .catch((error: unknown) => error);

  it('to ever new hosts stay few: the idle ones used least recently are closed, and opened again when needed', async () => {
    const { sockets, hosts } = await openStreet(300);
    const registry = await startRegistry();
    closing.push(registry.close);
    registry.put('team/app', built);
    const client = testClient({ insecure: [registry.host, ...hosts] });
    closing.push(client.close);
    const used = async (): Promise<unknown> =>
      await client.open(`${registry.host}/team/app`).manifest(amd64, lookupContext());
    for (const [at, host] of hosts.entries()) {
      await open(client, host);
      if (at % 50 === 0) await expect(used()).resolves.toMatchObject({ digest: built.digest });
    }
    await expect.poll(() => sockets.size).toBeLessThanOrEqual(127);
    expect(sockets.size).toBeGreaterThan(100);
    expect(registry.connections()).toBe(1);
    await open(client, hosts[0] ?? '');
    await expect.poll(() => sockets.size).toBeLessThanOrEqual(127);
  });

  it('are not closed while they are used', async () => {
    const { sockets, hosts } = await openStreet(21);
    const client = testClient({ insecure: hosts, limits: { connections: 4 } });
    closing.push(client.close);
    const results = await Promise.all(hosts.slice(1).map((host) => open(client, host)));
    expect(new Set(results.map((error) => (error as { code: string }).code))).toEqual(new Set(['invalid-answer']));
    await open(client, hosts[0] ?? '');
    await expect.poll(() => sockets.size).toBeLessThanOrEqual(4);
  });
});

describe('TLS', () => {
  let certificate: TestCertificate;
  let registry: RegistryServer;
  beforeAll(async () => {
    certificate = await createCertificate(['localhost', '127.0.0.1']);
    registry = await startRegistry({ tls: certificate });
    registry.put('team/app', built);
  });
  afterAll(async () => {
    await registry.close();
  });
  const lookUp = async (options: Parameters<typeof testClient>[0], host = registry.host) => {
    const client = testClient(options);
    closing.push(client.close);
    return await client.open(`${host}/team/app`).manifest(amd64, lookupContext());
  };

  it('with a CA of the operator is trusted, by name and by address', async () => {
    const port = registry.host.split(':')[1];
    const options = { allow: ['localhost', '127.0.0.1'], ca: certificate.cert };
    await expect(lookUp(options)).resolves.toMatchObject({ digest: built.digest });
    await expect(lookUp(options, `localhost:${port}`)).resolves.toMatchObject({ digest: built.digest });
  });

  it('with a CA that nobody trusts is refused, and the message says what to do', async () => {
    await expect(lookUp({ allow: ['127.0.0.1'] })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('detection.registry.caFile'),
    });
  });

  it('for another name is refused', async () => {
    const port = registry.host.split(':')[1];
    const resolve = async () => [{ address: '127.0.0.1', family: 4 }];
    const options = { allow: ['other.example'], ca: certificate.cert, resolve };
    await expect(lookUp(options, `other.example:${port}`)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('certificate for another name'),
    });
  });

  it.each(['', 'rubbish', '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----'])(
    'with a CA file of %j is refused at once',
    (ca) => {
      expect(() => testClient({ ca })).toThrow(RangeError);
    },
  );

  it('is not verified for a host that `insecure` lists with https://', async () => {
    const insecure = [`https://${registry.host}`];
    await expect(lookUp({ insecure })).resolves.toMatchObject({ digest: built.digest });
  });

  it('spoken to a host that speaks plain HTTP is an error that says so', async () => {
    const plain = await startRegistry();
    closing.push(plain.close);
    await expect(lookUp({ allow: [plain.host] }, plain.host)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('does not speak TLS'),
    });
  });

  it('is never given up for plain HTTP', async () => {
    const plain = await startRegistry();
    closing.push(plain.close);
    await expect(lookUp({ insecure: [`https://${plain.host}`] }, plain.host)).rejects.toMatchObject({
      code: 'unavailable',
    });
    expect(plain.requests).toEqual([]);
  });
});

describe('a mirror', () => {
  const setUp = async (mirrorHas: boolean, prefix = '/cache/hub/') => {
    const origin = await startRegistry();
    const mirror = await startRegistry();
    const name = origin.put('team/app:v1', built);
    if (mirrorHas) mirror.put('cache/hub/team/app:v1', built);
    const credential = { username: 'u', password: 'p' };
    const client = testClient({
      insecure: [origin.host],
      mirrors: { [origin.host]: [mirror.url + prefix] },
      credentials: listedCredentials([{ host: mirror.host, credential }]),
    });
    closing.push(origin.close, mirror.close, client.close);
    return { origin, mirror, name, client };
  };
  const readAll = async ({ client, name }: Awaited<ReturnType<typeof setUp>>) => {
    const source = client.open(name);
    const context = lookupContext();
    const manifest = await source.manifest(amd64, context);
    await source.config(manifest, context);
    const bytes = await collect(source.read(manifest.layers[0]!, 10, 100, context));
    expect(bytes.equals(built.blobs.get(manifest.layers[0]!.digest)!.subarray(10, 110))).toBe(true);
    return context.meter;
  };

  it.each([
    ['', '/cache/hub/'],
    [', with its prefix as in hosts.toml', '/v2/cache/hub'],
  ])('that has the image is asked for all of it, and told for whom it stands in%s', async (_, prefix) => {
    const set = await setUp(true, prefix);
    await readAll(set);
    expect(set.origin.requests).toEqual([]);
    expect(set.mirror.requests.map(({ path }) => path)[0]).toBe(
      `/v2/cache/hub/team/app/manifests/v1?ns=${encodeURIComponent(set.origin.host)}`,
    );
  });

  it('that does not have it is asked once, and once whether it wants the login there is for it, then the registry', async () => {
    const set = await setUp(false);
    expect((await readAll(set)).requests).toBe(5);
    expect((await readAll(set)).requests).toBe(4);
    expect(set.mirror.requests.map(({ path }) => path.replace(/\?.*/, ''))).toEqual([
      '/v2/cache/hub/team/app/manifests/v1',
      '/v2/',
      '/v2/cache/hub/team/app/manifests/v1',
    ]);
    expect(set.origin.requests).toHaveLength(6);
  });

  it('that is down costs no answer', async () => {
    const set = await setUp(true);
    await set.mirror.close();
    await readAll(set);
    expect(set.origin.requests).toHaveLength(3);
  });

  it('that gives wrong bytes is passed over', async () => {
    const origin = await startRegistry();
    const mirror = await startRegistry({ fault: () => ({ kind: 'corrupt' }) });
    const name = origin.put('team/app:v1', built);
    mirror.put('team/app:v1', built);
    const client = testClient({ insecure: [origin.host], mirrors: { [origin.host]: [mirror.url] } });
    closing.push(origin.close, mirror.close, client.close);
    await readAll({ origin, mirror, name, client });
    expect(origin.requests).toHaveLength(3);
  });

  it('whose copy fails in the middle of a layer ends that read: bytes of two hosts are not mixed', async () => {
    const origin = await startRegistry();
    const mirror = await startRegistry({
      fault: ({ headers }) => (headers.range === undefined ? undefined : { kind: 'reset-mid-body', after: 10 }),
    });
    const name = origin.put('team/app:v1', built);
    mirror.put('team/app:v1', built);
    const client = testClient({ insecure: [origin.host], mirrors: { [origin.host]: [mirror.url] } });
    closing.push(origin.close, mirror.close, client.close);
    await expect(readAll({ origin, mirror, name, client })).rejects.toMatchObject({ code: 'unavailable' });
  });

  it("gets its own host's login, and the registry's error counts in the end", async () => {
    const origin = await startRegistry();
    const mirror = await startRegistry({ auth: { kind: 'basic', username: 'u', password: 'p' } });
    mirror.put('team/app', built);
    const credential = { username: 'u', password: 'p' };
    const client = testClient({
      insecure: [origin.host],
      mirrors: { [origin.host]: [mirror.url] },
      credentials: listedCredentials([{ host: mirror.host, credential }]),
    });
    closing.push(origin.close, mirror.close, client.close);
    await expect(client.open(`${origin.host}/team/app`).manifest(amd64, lookupContext())).resolves.toBeDefined();
    await expect(client.open(`${origin.host}/team/none`).manifest(amd64, lookupContext())).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining(`${origin.host}/team/none`),
    });
    expect(origin.requests.every(({ headers }) => headers.authorization === undefined)).toBe(true);
  });
});

it('Docker Hub is asked at registry-1.docker.io', async () => {
  const asked: string[] = [];
  const client = testClient({
    resolve: async (hostname) => {
      asked.push(hostname);
      return [{ address: '127.0.0.1', family: 4 }];
    },
  });
  closing.push(client.close);
  await expect(client.open('nginx').manifest(amd64, lookupContext())).rejects.toMatchObject({ code: 'forbidden-host' });
  expect(asked).toEqual(['registry-1.docker.io']);
});

it('each request is told when it has ended, for traces', async () => {
  const events: unknown[] = [];
  const context = { ...lookupContext(), onRequest: (event: unknown) => events.push(event) };
  const registry = await startRegistry();
  const client = testClient({ insecure: [registry.host, '127.0.0.1:1'] });
  closing.push(registry.close, client.close);
  await client.open(registry.put('a', built)).manifest(amd64, context);
  await expect(client.open('127.0.0.1:1/b').manifest(amd64, context)).rejects.toThrow('refused');
  const [at, ms] = [expect.any(Number), expect.any(Number)];
  const bytes = expect.toSatisfy((number: number) => number > 100);
  const answered = { origin: registry.url, repository: 'a', status: 200, at, ms, bytes };
  const digest = expect.stringMatching(/^sha256:/);
  expect(events).toEqual([
    { ...answered, kind: 'manifest', reference: 'latest' },
    { ...answered, kind: 'config', reference: digest },
    {
      origin: 'http://127.0.0.1:1',
      repository: 'b',
      kind: 'manifest',
      reference: 'latest',
      at,
      ms,
      bytes: 0,
      error: 'unavailable',
    },
  ]);
});
