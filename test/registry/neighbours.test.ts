import { createServer, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

import { afterEach, describe, expect, it } from 'vitest';

import type { LookupContext } from '../../src/detection/image-source.ts';
import { listedCredentials } from '../../src/registry/auth/credentials.ts';
import type { RegistryClient, RegistryClientOptions } from '../../src/registry/client.ts';
import { amd64, collect, lookupContext, manualClock, sampleImage, testClient } from '../support/registry-harness.ts';
import { type Fault, type Recorded, type RegistryServer, startRegistry } from '../support/registry-server.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map(async (close) => await close()));
});

const built = sampleImage(50_000);
const quick = { nameMs: 500, connectMs: 500, headersMs: 300, idleMs: 300 };
const answer = (status: number, headers: Record<string, string> = {}): Fault => ({ kind: 'answer', status, headers });
const limited = answer(429, { 'retry-after': '900' });

/** Starts a registry that all share; `team/app` is well. */
async function shared(fault: (request: Recorded) => Fault | undefined): Promise<RegistryServer> {
  const registry = await startRegistry({ fault });
  closing.push(registry.close);
  registry.put('team/app', built);
  return registry;
}

function clientOf(hosts: readonly string[], options: Partial<RegistryClientOptions> = {}) {
  const events: string[] = [];
  const client = testClient({
    insecure: hosts,
    limits: quick,
    onBreaker: ({ host, repository, state }) => events.push(`${new URL(host).host} ${repository ?? '*'} ${state}`),
    ...options,
  });
  closing.push(client.close);
  return { client, events };
}

const of = (tenant: string, ms = 20_000): LookupContext => ({ ...lookupContext([], AbortSignal.timeout(ms)), tenant });
const read = async (client: RegistryClient, image: string, context = lookupContext()): Promise<string> =>
  await client
    .open(image)
    .manifest(amd64, context)
    .then(
      () => 'read',
      (error: Error & { code?: string }) => `${error.code ?? error.name}: ${error.message}`,
    );
const several = async (count: number, work: (index: number) => Promise<string>): Promise<string[]> => {
  const all: string[] = [];
  for (let index = 0; index < count; index += 1) all.push(await work(index));
  return all;
};

describe('a repository that fails', () => {
  it.each<[string, Fault]>([
    ['500s', answer(500)],
    ['resets', { kind: 'reset' }],
    ['hanging', { kind: 'hang' }],
  ])('with %s leaves the others of its registry alone', async (_, fault) => {
    const registry = await shared(({ path }) => (path.includes('/bad/') ? fault : undefined));
    const { client, events } = clientOf([registry.host]);
    await several(8, async (tag) => await read(client, `${registry.host}/bad/app:${tag}`));
    const asked = registry.requests.length;
    expect(await read(client, `${registry.host}/bad/app`)).toContain(
      `${registry.host}/bad/app failed 5 times in a row and is left alone`,
    );
    expect(registry.requests).toHaveLength(asked);
    expect(await read(client, `${registry.host}/team/app`)).toBe('read');
    expect(events).toEqual([`${registry.host} bad/app open`]);
  });

  it('with one login is read with another', async () => {
    const registry = await shared(({ path, headers }) =>
      path.includes('/bad/') && headers.authorization === undefined ? answer(500) : undefined,
    );
    registry.put('bad/app', built);
    const anonymous = clientOf([registry.host]);
    await several(5, async () => await read(anonymous.client, `${registry.host}/bad/app`));
    const both = clientOf([registry.host], {
      credentials: listedCredentials([{ host: registry.host, credential: { username: 'u', password: 'p' } }]),
    });
    await several(5, async () => await read(both.client, `${registry.host}/bad/app`));
    expect(both.events).toEqual([`${registry.host} bad/app open`]);
  });
});

describe('a registry that cannot be reached', () => {
  it('is left alone by a namespace once two of its repositories have seen it, and by all once two namespaces have', async () => {
    const registry = await shared(() => undefined);
    await registry.close();
    const { client, events } = clientOf([registry.host]);
    const look = async (tenant: string, repository: string): Promise<string> =>
      await read(client, `${registry.host}/${repository}`, of(tenant));
    expect(await several(4, async (index) => await look('a', `app-${index}`))).toEqual(
      Array.from({ length: 4 }, () => expect.stringContaining('refused the connection')),
    );
    expect(events).toEqual([]);
    expect(await look('a', 'app-5')).toContain('refused the connection');
    expect(await look('a', 'app-6')).toContain(`${registry.host} could not be reached 5 times in a row`);
    expect(await look('b', 'app-6')).toContain('refused the connection');
    expect(await look('c', 'app-6')).toContain(`${registry.host} could not be reached 5 times in a row`);
    expect(events).toEqual([`${registry.host} * open`, `${registry.host} * open`]);
  });

  it('by one repository, is asked for others', async () => {
    const registry = await shared(({ path }) => (path.includes('/proxied/') ? { kind: 'hang' } : undefined));
    const { client } = clientOf([registry.host]);
    await several(7, async (index) => await read(client, `${registry.host}/proxied/app:${index}`, of('a')));
    expect(await read(client, `${registry.host}/team/other`, of('a'))).toContain('not-found');
    expect(await read(client, `${registry.host}/team/app`, of('b'))).toBe('read');
  });
});

describe('429', () => {
  it('of one repository, for 15 minutes, is its own affair, and for 5', async () => {
    const clock = manualClock();
    const registry = await shared(({ path }) => (path.includes('/bad/') ? limited : undefined));
    const { client } = clientOf([registry.host], { clock });
    expect(await read(client, `${registry.host}/bad/app`)).toContain('rate-limited');
    expect(await read(client, `${registry.host}/bad/app`)).toContain(
      `${registry.host}/bad/app asked to be left alone for another 300 s`,
    );
    expect(await read(client, `${registry.host}/team/app`)).toBe('read');
  });

  it("of two repositories is the registry's word for that login: 15 minutes at most", async () => {
    const clock = manualClock();
    const registry = await shared(({ headers }) =>
      headers.authorization === undefined ? answer(429, { 'retry-after': '99999' }) : undefined,
    );
    const { client } = clientOf([registry.host], { clock });
    await several(2, async (index) => await read(client, `${registry.host}/team/app-${index}`));
    const asked = registry.requests.length;
    expect(await read(client, `${registry.host}/team/app`)).toContain(
      `rate-limited: ${registry.host} asked to be left alone for another 900 s`,
    );
    expect(registry.requests).toHaveLength(asked);
    const credential = { username: 'u', password: 'p', registryToken: 'token' };
    const context = lookupContext([{ host: registry.host, credential }]);
    expect(await read(client, `${registry.host}/team/app`, context)).toBe('read');
  });
});

describe("another host's redirect", () => {
  const redirected = async (fault: Fault) => {
    const registry = await shared(({ path }) => (path.startsWith('/elsewhere') ? fault : undefined));
    const location = `${registry.url}/elsewhere`;
    const hostile = await startRegistry({ fault: () => answer(307, { location }) });
    closing.push(hostile.close);
    return { registry, hostile, ...clientOf([registry.host, hostile.host]) };
  };

  it.each<[string, Fault]>([
    ['500s', answer(500)],
    ['resets', { kind: 'reset' }],
    ['hanging', { kind: 'hang' }],
  ])('to %s counts for the one that redirects', async (_, fault) => {
    const { registry, hostile, client, events } = await redirected(fault);
    for (const tenant of ['a', 'b']) {
      await several(6, async (index) => await read(client, `${hostile.host}/app-${index}`, of(tenant)));
    }
    await several(6, async () => await read(client, `${hostile.host}/app`, of('a')));
    expect(events).not.toEqual([]);
    expect(events.filter((event) => !event.startsWith(hostile.host))).toEqual([]);
    expect(await read(client, `${registry.host}/team/app`, of('a'))).toBe('read');
  });

  it('to a host that is gone is followed no more, and by others still', async () => {
    const { registry, hostile, client } = await redirected({ kind: 'reset' });
    await several(5, async (index) => await read(client, `${hostile.host}/app-${index}`, of('a')));
    expect(await read(client, `${hostile.host}/app-6`, of('a'))).toContain(
      `${registry.host}, where ${hostile.host} leads, could not be reached 5 times in a row`,
    );
    expect(await read(client, `${registry.host}/team/app`, of('a'))).toBe('read');
  });

  it('to a 429 limits the one that redirects', async () => {
    const { registry, hostile, client } = await redirected(limited);
    await several(3, async (index) => await read(client, `${hostile.host}/app-${index}`));
    expect(await read(client, `${hostile.host}/app-0`)).toContain(`${hostile.host}/app-0 asked to be left alone`);
    expect(await read(client, `${hostile.host}/app-9`)).not.toContain(`${hostile.host} asked`);
    expect(await read(client, `${registry.host}/team/app`)).toBe('read');
  });

  it('to a host that fails is told apart from that host', async () => {
    const { registry, hostile, client } = await redirected({ kind: 'reset' });
    expect(await read(client, `${hostile.host}/app`)).toContain(
      `${registry.host} reset the connection (${hostile.host}/app led there)`,
    );
  });

  it('back to its own registry still counts as one', async () => {
    const hostile = await startRegistry({ fault: () => answer(307, { location }) });
    const registry = await shared(({ path }) => {
      if (path.startsWith('/elsewhere')) return limited;
      return path.includes('/bad') ? answer(307, { location: hostile.url }) : undefined;
    });
    const location = `${registry.url}/elsewhere`;
    closing.push(hostile.close);
    const { client } = clientOf([registry.host, hostile.host]);
    await several(3, async (index) => await read(client, `${registry.host}/bad-${index}`));
    expect(await read(client, `${registry.host}/team/app`)).toBe('read');
  });
});

describe('a token server that fails', () => {
  it('is the affair of the registry that names it', async () => {
    const registry = await shared(({ path }) => (path.startsWith('/token') ? limited : undefined));
    const realm = `${registry.url}/token`;
    const challenge = answer(401, { 'www-authenticate': `Bearer realm="${realm}",service="s"` });
    const hostile = await startRegistry({ fault: () => challenge });
    closing.push(hostile.close);
    const { client } = clientOf([registry.host, hostile.host]);
    await several(3, async (index) => await read(client, `${hostile.host}/app-${index}`));
    expect(await read(client, `${hostile.host}/app-0`)).toContain(`${hostile.host}/app-0 asked to be left alone`);
    expect(await read(client, `${registry.host}/team/app`)).toBe('read');
  });
});

/** Starts a host that answers with a byte each 50 ms. */
async function dripping(): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n');
    const timer = setInterval(() => socket.write(' '), 50);
    socket.on('close', () => clearInterval(timer));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  closing.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return `127.0.0.1:${(server.address() as { port: number }).port}`;
}

describe('a transfer that drips', () => {
  it('is ended once it was slow for a while', async () => {
    const host = await dripping();
    const { client } = clientOf([host], { limits: { ...quick, slowestMs: 400 } });
    const started = performance.now();
    expect(await read(client, `${host}/app`)).toContain(`unavailable: ${host} sends less than 1024 bytes a second`);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it('is not confused with a reader that takes its time', async () => {
    const registry = await shared(() => undefined);
    registry.put('team/large', sampleImage(400_000));
    const limits = { ...quick, idleMs: 5000, slowestMs: 250, slowestBytes: 10_000_000 };
    const { client } = clientOf([registry.host], { limits });
    const source = client.open(`${registry.host}/team/large`);
    const context = lookupContext();
    const { layers } = await source.manifest(amd64, context);
    let bytes = 0;
    for await (const chunk of source.read(layers[0]!, 0, 400_000, context)) {
      bytes += chunk.length;
      await wait(100);
    }
    expect(bytes).toBe(400_000);
  });

  it('of one namespace leaves places at its host to another', async () => {
    const hung: string[] = [];
    const registry = await shared(({ path }) => {
      if (!path.includes('/slow/')) return undefined;
      hung.push(path);
      return { kind: 'hang' };
    });
    const { client } = clientOf([registry.host], { concurrency: 4, limits: { ...quick, headersMs: 10_000 } });
    const greedy = Array.from(
      { length: 12 },
      async (_, index) => await read(client, `${registry.host}/slow/app-${index}`, of('greedy', 2000)),
    );
    await expect.poll(() => hung.length).toBe(3);
    const other = await Promise.all(
      [1, 2].map(async () => await read(client, `${registry.host}/team/app`, of('other', 1000))),
    );
    expect(other).toEqual(['read', 'read']);
    expect(hung).toHaveLength(3);
    await Promise.all(greedy);
  });
});

describe('names whose DNS never answers', () => {
  it('take no time from a registry of another namespace, and count for nothing', async () => {
    const registry = await shared(() => undefined);
    const port = registry.host.split(':')[1];
    const asked: string[] = [];
    const { client, events } = clientOf([`healthy.example:${port}`], {
      threads: 4,
      resolve: async (hostname) => {
        asked.push(hostname);
        if (hostname !== 'healthy.example') await new Promise(() => {});
        return [{ address: '127.0.0.1', family: 4 }];
      },
    });
    for (let second = 0; second < 3; second += 1) {
      const dead = Array.from(
        { length: 32 },
        async (_, index) => await read(client, `dead-${index}.example/app`, of('greedy', 1500)),
      );
      const started = performance.now();
      const found = await Promise.all(
        Array.from(
          { length: 8 },
          async () => await read(client, `healthy.example:${port}/team/app`, of('other', 1500)),
        ),
      );
      expect(new Set(found)).toEqual(new Set(['read']));
      expect(performance.now() - started).toBeLessThan(1000);
      const failures = await Promise.all(dead);
      expect(failures.filter((failure) => failure.startsWith('shed: dead-'))).toHaveLength(31);
      expect(failures.filter((failure) => failure.startsWith('unavailable: dead-'))).toHaveLength(1);
    }
    expect(asked).toEqual(['dead-0.example', 'healthy.example']);
    expect(events).toEqual([]);
  });

  it('are told from a registry that does not answer', async () => {
    const { client } = clientOf([], { resolve: () => new Promise(() => {}) });
    expect(await read(client, 'dead.example/app')).toBe(
      'unavailable: dead.example could not be looked up: its DNS was silent for 0.5 s',
    );
  });

  it('do not stop what is known already', async () => {
    const registry = await shared(() => undefined);
    const port = registry.host.split(':')[1];
    const clock = manualClock();
    let isDead = false;
    const { client } = clientOf([`healthy.example:${port}`], {
      clock,
      resolve: async () => {
        if (isDead) await new Promise(() => {});
        return [{ address: '127.0.0.1', family: 4 }];
      },
    });
    const image = `healthy.example:${port}/team/app`;
    expect(await read(client, image)).toBe('read');
    isDead = true;
    clock.advance(60_000);
    expect(await read(client, image)).toBe('read');
    const bytes = collect(
      client.open(image).read({ mediaType: '', digest: [...built.blobs.keys()][0]!, size: 9 }, 0, 9, lookupContext()),
    );
    expect(await bytes).toHaveLength(9);
  });
});
