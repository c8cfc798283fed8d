import { type AddressInfo, createServer } from 'node:net';

import { afterEach, describe, expect, it } from 'vitest';

import type { ResolvedAddress } from '../../src/registry/http/names.ts';
import { amd64, lookupContext, sampleImage, testClient } from '../support/registry-harness.ts';
import { startRegistry } from '../support/registry-server.ts';
import { startTokenServer } from '../support/token-server.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map(async (close) => await close()));
});

const built = sampleImage(1000);

/** Counts connections to a port of loopback: what must not happen. */
async function tripwire() {
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  closing.push(async () => {
    await new Promise<void>((resolve) => {
      server.close(() => {
        resolve();
      });
    });
  });
  return { port: (server.address() as AddressInfo).port, connections: () => connections };
}

const resolveTo =
  (...addresses: string[]) =>
  async (): Promise<ResolvedAddress[]> =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));

describe('no connection is made to', () => {
  it.each([
    ['127.0.0.1'],
    ['localhost'],
    ['127.1'],
    ['0x7f.1'],
    ['0x7f000001'],
    ['2130706433'],
    ['0177.0.0.1'],
    ['[::1]'],
    ['[::ffff:127.0.0.1]'],
    ['[0:0:0:0:0:ffff:7f00:1]'],
    ['0.0.0.0'],
  ])('loopback as %s', async (host) => {
    const wire = await tripwire();
    const client = testClient();
    closing.push(client.close);
    const name = `${host}:${wire.port}/team/app`;
    await expect(client.open(name).manifest(amd64, lookupContext())).rejects.toMatchObject({
      code: 'forbidden-host',
      message: expect.stringMatching(
        /is refused \((?:loopback|unspecified)\): if it is meant, list .* in detection\.registry\.allow/,
      ),
    });
    expect(wire.connections()).toBe(0);
  });

  it.each([
    ['loopback', ['127.0.0.1']],
    ['loopback', ['::1', '127.0.0.1']],
    ['cloud metadata', ['169.254.169.254']],
    ['cloud metadata', ['fd00:ec2::254']],
    ['link-local', ['fe80::1']],
    ['loopback', ['64:ff9b::7f00:1']],
  ])('a name that resolves to %s (%j)', async (why, addresses) => {
    const wire = await tripwire();
    const client = testClient({ resolve: resolveTo(...addresses) });
    closing.push(client.close);
    await expect(client.open(`innocent.example:${wire.port}/a`).manifest(amd64, lookupContext())).rejects.toMatchObject(
      {
        code: 'forbidden-host',
        message: expect.stringContaining(`innocent.example resolves to ${addresses[0]}, which is refused (${why})`),
      },
    );
    expect(wire.connections()).toBe(0);
  });

  it('private addresses where the operator says so', async () => {
    const client = testClient({ allowPrivateAddresses: false, resolve: resolveTo('10.1.2.3', 'fd12::1') });
    closing.push(client.close);
    await expect(client.open('innocent.example/a').manifest(amd64, lookupContext())).rejects.toMatchObject({
      code: 'forbidden-host',
      message: expect.stringContaining('(private)'),
    });
  });

  it('a name with no address at all', async () => {
    const client = testClient({ resolve: resolveTo() });
    closing.push(client.close);
    await expect(client.open('empty.example/a').manifest(amd64, lookupContext())).rejects.toMatchObject({
      code: 'unavailable',
    });
  });

  it('a host whose name changes its address after the look-up: the address checked is the one connected to', async () => {
    const registry = await startRegistry();
    const wire = await tripwire();
    let asked = 0;
    const client = testClient({
      insecure: [`rebind.example:${wire.port}`],
      resolve: async () => {
        asked += 1;
        return [{ address: '127.0.0.1', family: 4 }];
      },
    });
    closing.push(registry.close, client.close);
    await expect(client.open(`rebind.example:${wire.port}/a`).manifest(amd64, lookupContext())).rejects.toMatchObject({
      code: 'unavailable',
    });
    // A retry connects again, and to the address that was checked: nothing resolves the name a second time behind the check.
    expect([asked, wire.connections()]).toEqual([1, 2]);
  });
});

describe('where some addresses of a name are refused', () => {
  it('the others are connected to', async () => {
    const registry = await startRegistry();
    const client = testClient({
      insecure: [`http://*.mixed.example:${registry.host.split(':')[1]}`],
      allow: ['127.0.0.1/32', '*.mixed.example'],
      resolve: resolveTo('169.254.169.254', '::1', '127.0.0.1'),
    });
    closing.push(registry.close, client.close);
    registry.put('team/app', built);
    const name = `a.mixed.example:${registry.host.split(':')[1]}/team/app`;
    await expect(client.open(name).manifest(amd64, lookupContext())).resolves.toMatchObject({ digest: built.digest });
  });
});

describe('the allow and deny lists', () => {
  it.each([
    ['not in allow', { allow: ['ghcr.io'] }, 'quay.io/a', 'not in the list'],
    ['denied', { deny: ['quay.io'] }, 'quay.io/a', 'denied'],
    ['denied by repository', { deny: ['docker.io/evil/*'] }, 'evil/a', 'denied'],
    ['not in an allowed repository', { allow: ['ghcr.io/team/*'] }, 'ghcr.io/teams/a', 'not in the list'],
    ['outside an allowed network', { allow: ['10.0.0.0/8'] }, '11.0.0.1/a', 'not in the list'],
  ])('an image that is %s is not opened', (_, lists, name, message) => {
    const client = testClient(lists);
    closing.push(client.close);
    expect(() => client.open(name)).toThrow(
      expect.objectContaining({ code: 'forbidden-host', message: expect.stringContaining(message) }),
    );
    expect(client.canonical(name)).toContain('/');
  });

  it('a name that an allowed network alone admits has to resolve into it', async () => {
    const registry = await startRegistry();
    const port = registry.host.split(':')[1];
    const lists = { allow: ['127.0.0.0/8'], insecure: [`inside.example:${port}`, `outside.example:${port}`] };
    const resolve = async (name: string) => await resolveTo(name.startsWith('inside') ? '127.0.0.1' : '8.8.8.8')();
    const client = testClient({ ...lists, resolve });
    closing.push(registry.close, client.close);
    registry.put('a', built);
    await expect(client.open(`inside.example:${port}/a`).manifest(amd64, lookupContext())).resolves.toBeDefined();
    await expect(client.open(`outside.example:${port}/a`).manifest(amd64, lookupContext())).rejects.toMatchObject({
      code: 'forbidden-host',
      message: expect.stringContaining('not in the list of allowed registries'),
    });
  });

  it('deny holds for token servers and for where redirects lead', async () => {
    const denied = await startRegistry();
    const tokens = await startTokenServer();
    const redirecting = await startRegistry({ blobsAt: `http://localhost:${denied.host.split(':')[1]}` });
    const asking = await startRegistry({
      auth: {
        kind: 'bearer',
        realm: tokens.realm.replace('127.0.0.1', 'localhost'),
        service: 's',
        verify: () => false,
      },
    });
    const client = testClient({
      insecure: ['127.0.0.1', 'localhost'],
      deny: ['localhost'],
    });
    closing.push(denied.close, tokens.close, redirecting.close, asking.close, client.close);
    for (const registry of [redirecting, asking]) {
      const lookup = client.open(registry.put('a', built)).manifest(amd64, lookupContext());
      await expect(lookup).rejects.toMatchObject({
        code: 'forbidden-host',
        message: expect.stringContaining('denied'),
      });
    }
    expect([...denied.requests, ...tokens.asked]).toEqual([]);
  });

  it.each([
    { allow: ['a b'] },
    { deny: ['x//y'] },
    { insecure: ['gh*.io'] },
    { mirrors: { 'docker.io': ['http://u:p@m'] } },
  ])('an entry that cannot be read is said at once: %j', (lists) => {
    expect(() => testClient(lists)).toThrow(RangeError);
  });
});

it('the client itself reads no proxy variable of the environment: it is handed its proxy', async () => {
  const wire = await tripwire();
  const registry = await startRegistry();
  const client = testClient({ insecure: [registry.host] });
  closing.push(registry.close, client.close);
  process.env['HTTP_PROXY'] = `http://127.0.0.1:${wire.port}`;
  process.env['HTTPS_PROXY'] = process.env['HTTP_PROXY'];
  try {
    await client.open(registry.put('a', built)).manifest(amd64, lookupContext());
  } finally {
    delete process.env['HTTP_PROXY'];
    delete process.env['HTTPS_PROXY'];
  }
  expect(wire.connections()).toBe(0);
});
