import { inspect } from 'node:util';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { createCertificate, type TestCertificate } from '../support/certificate.ts';
import { startProxy, type ProxyFault, type ProxyServerOptions } from '../support/proxy-server.ts';
import { amd64, collect, lookupContext, manualClock, sampleImage, testClient } from '../support/registry-harness.ts';
import { startRegistry, type RegistryServer } from '../support/registry-server.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map(async (close) => await close()));
});

/** Its configuration is long enough to break off in. */
const built = sampleImage(200_000, { env: [`LONG=${'x'.repeat(60_000)}`] });
const quick = { connectMs: 500, headersMs: 300, idleMs: 300, requestMs: 1500 };
const raw = (bytes: string, stay = false): ProxyFault => ({ kind: 'raw', bytes, stay });

let certificate: TestCertificate;
let registry: RegistryServer;
beforeAll(async () => {
  certificate = await createCertificate(['registry.example', '127.0.0.1', 'a.example', 'b.example']);
  registry = await startRegistry({ tls: certificate });
  registry.put('team/app', built);
});
afterAll(async () => {
  await registry.close();
});

type ClientOptions = NonNullable<Parameters<typeof testClient>[0]>;

async function setUp(options: ProxyServerOptions, more: ClientOptions = {}, login = '') {
  const proxy = await startProxy({ hosts: { 'registry.example:443': registry.host }, ...options });
  const url = new URL(proxy.url.replace('//', `//${login}`));
  const client = testClient({ ca: certificate.cert, limits: quick, ...more, proxy: { url, noProxy: [] } });
  closing.push(client.close, proxy.close);
  const lookUp = async (name = 'registry.example/team/app', context = lookupContext()) =>
    await client.open(name).manifest(amd64, context);
  return { proxy, client, lookUp };
}

describe('a proxy that', () => {
  it.each<[string, ProxyFault, string, number]>([
    ['hangs', { kind: 'hang' }, 'no connection to registry.example:443 through the proxy PROXY in time', 1],
    ['resets the connection', { kind: 'reset' }, 'the proxy PROXY reset the connection', 2],
    [
      'refuses the host',
      raw('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n'),
      'the proxy PROXY does not let us connect to registry.example:443 (403)',
      1,
    ],
    [
      'wants a login',
      raw('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n'),
      "the proxy PROXY wants a login, or another one (407): HTTPS_PROXY or the chart's proxy.secret can hold it",
      1,
    ],
    [
      'does not find the host',
      raw('HTTP/1.1 503 Service Unavailable\r\n\r\n<html>'),
      'the proxy PROXY could not connect to registry.example:443 (503)',
      1,
    ],
    [
      'redirects',
      raw('HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/\r\n\r\n'),
      'the proxy PROXY could not connect to registry.example:443 (302)',
      1,
    ],
    ['answers garbage', raw('SSH-2.0-OpenSSH_9.9\r\n'), 'the proxy PROXY does not speak HTTP/1.1', 1],
    ['answers in TLS', raw('\u0015\u0003\u0001\u0000\u0002\u0002\u0046'), 'the proxy PROXY does not speak HTTP/1.1', 1],
    [
      'sends headers without end',
      raw(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}`, true),
      'the proxy PROXY sent more headers than are read',
      1,
    ],
    [
      'answers with an interim status',
      raw('HTTP/1.1 102 Processing\r\n\r\n'.repeat(50), true),
      'the proxy PROXY could not connect to registry.example:443 (102)',
      1,
    ],
    [
      'answers with more than an answer',
      raw('HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n'),
      'the proxy PROXY sent more than an answer when asked for registry.example:443',
      1,
    ],
    ['ends the tunnel at once', raw('HTTP/1.1 200 OK\r\n\r\n'), 'registry.example reset the connection', 2],
    [
      'makes a tunnel to nowhere',
      { kind: 'silent-tunnel' },
      'no connection to registry.example:443 through the proxy PROXY in time',
      1,
    ],
    ['dies in the TLS handshake', { kind: 'die-after', bytes: 100 }, 'registry.example reset the connection', 2],
    [
      'dies in the middle of an answer',
      { kind: 'die-after', bytes: 20_000 },
      'registry.example closed the connection in the middle of its answer',
      3,
    ],
    [
      'stalls in the middle of an answer',
      { kind: 'stall-after', bytes: 20_000 },
      'registry.example stopped sending in the middle of its answer',
      2,
    ],
  ])('%s', async (_, fault, message, requests) => {
    const { proxy, client, lookUp } = await setUp({ fault: () => fault });
    const context = lookupContext();
    await expect(lookUp(undefined, context)).rejects.toMatchObject({
      name: 'ImageSourceError',
      code: 'unavailable',
      message: message.replace('PROXY', proxy.url),
    });
    expect(context.meter.requests).toBe(requests);
    await client.close();
    await expect.poll(() => proxy.open()).toBe(0);
  });

  it('is not there', async () => {
    const { proxy, lookUp } = await setUp({});
    await proxy.close();
    await expect(lookUp()).rejects.toMatchObject({
      code: 'unavailable',
      message: `the proxy ${proxy.url} refused the connection`,
    });
  });

  it('has no address', async () => {
    const proxy = { url: new URL('http://proxy.invalid:3128'), noProxy: [] };
    const client = testClient({ proxy });
    closing.push(client.close);
    await expect(client.open('registry.example/a').manifest(amd64, lookupContext())).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/^the proxy http:\/\/proxy\.invalid:3128 (has no address|could not be looked up)/),
    });
  });

  it('is spoken to in TLS and does not speak it', async () => {
    const proxy = await startProxy();
    const url = new URL(proxy.url.replace('http:', 'https:'));
    const client = testClient({ ca: certificate.cert, limits: quick, proxy: { url, noProxy: [] } });
    closing.push(client.close, proxy.close);
    await expect(client.open('registry.example/a').manifest(amd64, lookupContext())).rejects.toMatchObject({
      message: `the proxy ${url.origin} does not speak TLS: is it http://?`,
    });
  });

  it('refuses a login: no message holds it', async () => {
    const { lookUp } = await setUp({ login: 'user:right' }, {}, 'user:wrongsecret@');
    const error = await lookUp().then(
      () => undefined,
      (caught: Error) => caught,
    );
    expect(error).toMatchObject({ message: expect.stringContaining('(407)') });
    expect(inspect(error, { depth: 9 })).not.toMatch(/wrongsecret|dXNlcj/);
  });

  it('resets once is asked once more', async () => {
    const { lookUp, proxy } = await setUp({ fault: (_, count) => (count === 1 ? { kind: 'reset' } : undefined) });
    await expect(lookUp()).resolves.toMatchObject({ digest: built.digest });
    expect(proxy.asked.length).toBeGreaterThan(1);
  });

  it('dies while a layer is read costs one more request: the rest comes through another tunnel', async () => {
    const { client, proxy } = await setUp({});
    const source = client.open('registry.example/team/app');
    const context = lookupContext();
    const { layers } = await source.manifest(amd64, context);
    let read = 0;
    const chunks: Uint8Array[] = [];
    for await (const chunk of source.read(layers[0]!, 0, 200_000, context)) {
      if (read === 0) proxy.cut();
      read += chunk.length;
      chunks.push(chunk);
    }
    expect(Buffer.concat(chunks).equals(built.blobs.get(layers[0]!.digest)!.subarray(0, 200_000))).toBe(true);
  });

  it('hangs holds a look-up no longer than its caller waits', async () => {
    const { lookUp } = await setUp({ fault: () => ({ kind: 'hang' }) }, { limits: { ...quick, connectMs: 20_000 } });
    await expect(lookUp(undefined, lookupContext([], AbortSignal.timeout(200)))).rejects.toMatchObject({
      name: 'TimeoutError',
    });
  });
});

describe('the bounds of registries hold through a proxy', () => {
  it('of requests at once, host by host', async () => {
    const slow = await startRegistry({ tls: certificate, delayMs: 30 });
    slow.put('team/app', built);
    closing.push(slow.close);
    const hosts = { 'a.example:443': slow.host };
    const { proxy, client } = await setUp({ hosts }, { concurrency: 3 });
    const one = async (): Promise<unknown> => await client.open('a.example/team/app').manifest(amd64, lookupContext());
    await Promise.all(Array.from({ length: 12 }, one));
    expect(slow.mostAtOnce()).toBeLessThanOrEqual(3);
    expect(proxy.mostAtOnce()).toBeLessThanOrEqual(6);
  });

  it('of failures: a host behind a proxy that fails is left alone, and asked again later', async () => {
    const clock = manualClock();
    let broken = true;
    const states: string[] = [];
    const { proxy, lookUp } = await setUp(
      { fault: () => (broken ? raw('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n') : undefined) },
      { clock, onBreaker: ({ host, state }) => states.push(`${host} ${state}`) },
    );
    for (let attempt = 0; attempt < 5; attempt += 1) await expect(lookUp()).rejects.toThrow('(407)');
    await expect(lookUp()).rejects.toThrow('failed 5 times in a row and is left alone');
    expect(proxy.asked).toHaveLength(5);
    broken = false;
    clock.advance(31_000);
    await expect(lookUp()).resolves.toMatchObject({ digest: built.digest });
    expect(states).toEqual(['open', 'half-open', 'closed'].map((state) => `https://registry.example ${state}`));
  });

  it('of bytes: a range is asked for, not the whole layer', async () => {
    const { client } = await setUp({});
    const source = client.open('registry.example/team/app');
    const context = lookupContext();
    const { layers } = await source.manifest(amd64, context);
    const before = context.meter.bytes;
    await collect(source.read(layers[0]!, 1000, 5000, context));
    expect(context.meter.bytes - before).toBe(5000);
  });
});
