import { type AddressInfo, createServer, type Server } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { afterEach, describe, expect, it } from 'vitest';

import type { RegistryClientOptions } from '../../src/registry/client.ts';
import { amd64, collect, lookupContext, manualClock, sampleImage, testClient } from '../support/registry-harness.ts';
import { type Fault, type Recorded, type RegistryServer, startRegistry } from '../support/registry-server.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map(async (close) => await close()));
});

const built = sampleImage(200_000);
const quick = { connectMs: 500, headersMs: 300, idleMs: 300, requestMs: 1500, retryAfterMs: 1500 };

async function setUp(
  fault: (request: Recorded, count: number) => Fault | undefined,
  options: Partial<RegistryClientOptions> = {},
) {
  let count = 0;
  const registry = await startRegistry({
    fault: (request) => {
      count += 1;
      return fault(request, count);
    },
  });
  const client = testClient({ insecure: [registry.host], limits: quick, ...options });
  closing.push(registry.close, client.close);
  return { registry, client, name: registry.put('team/app:v1', built) };
}

const switching = 'HTTP/1.1 101 Switching Protocols\r\n\r\nx';

const always = (fault: Fault) => () => fault;
const once = (fault: Fault) => (_: Recorded, count: number) => (count === 1 ? fault : undefined);

describe('a registry that', () => {
  it.each<[string, Fault, string, string, number]>([
    ['hangs', { kind: 'hang' }, 'unavailable', 'did not answer in time', 1],
    ['resets the connection', { kind: 'reset' }, 'unavailable', 'reset the connection', 2],
    [
      'resets in the middle of a body',
      { kind: 'reset-mid-body', after: 10 },
      'unavailable',
      'closed the connection',
      2,
    ],
    ['stalls in the middle of a body', { kind: 'stall-mid-body', after: 10 }, 'unavailable', 'stopped sending', 1],
    ['sends headers without end', { kind: 'endless-headers' }, 'invalid-answer', 'more headers', 1],
    ['sends interim answers without end', { kind: 'endless-interim' }, 'invalid-answer', 'interim answers', 1],
    ['sends very many headers', { kind: 'many-headers', count: 500 }, 'invalid-answer', 'more than 100 headers', 1],
    ['promises more than it sends', { kind: 'content-length', claim: 5000 }, 'unavailable', 'closed the connection', 2],
    ['promises more than is read', { kind: 'content-length', claim: 1e9 }, 'invalid-answer', 'longer than', 1],
    ['sends a body in pieces of a byte', { kind: 'endless-pieces' }, 'invalid-answer', 'pieces of less than', 1],
    [
      'sends a chunk extension without end',
      { kind: 'endless-extension', body: 0 },
      'invalid-answer',
      'besides the body',
      1,
    ],
    [
      'sends a chunk extension without end, late',
      { kind: 'endless-extension', body: 1 << 20 },
      'invalid-answer',
      'more than 524288 bytes besides the body',
      1,
    ],
    ['sends a body without end', { kind: 'endless-body' }, 'invalid-answer', 'longer than', 1],
    ['does not speak HTTP', { kind: 'not-http' }, 'invalid-answer', 'does not speak HTTP', 1],
    ['switches protocols unasked', { kind: 'raw', bytes: switching }, 'invalid-answer', 'does not have for this', 1],
    ['fails', { kind: 'answer', status: 500 }, 'unavailable', '500', 1],
    ['fails behind a proxy', { kind: 'answer', status: 502 }, 'unavailable', '502', 2],
    ['answers with a page', { kind: 'answer', status: 200, body: '<html>' }, 'invalid-answer', 'not JSON', 1],
    ['answers with a string', { kind: 'answer', status: 200, body: '"x"' }, 'invalid-answer', 'JSON object', 1],
    [
      'answers with nested arrays',
      { kind: 'answer', status: 200, body: '['.repeat(1e6) },
      'invalid-answer',
      'not JSON',
      1,
    ],
    [
      'says gzip, and sends something else',
      { kind: 'answer', status: 200, headers: { 'content-encoding': 'gzip' } },
      'invalid-answer',
      'not JSON',
      1,
    ],
    ['says everything twice', twice(200), 'invalid-answer', 'not JSON', 1],
    ['fails and says everything twice', twice(503), 'unavailable', '503', 1],
    ['refuses and says everything twice', twice(401), 'unauthorized', 'offers x', 1],
    ['asks for patience twice', twice(429), 'rate-limited', 'left alone', 1],
    ['redirects to two places', twice(307), 'forbidden-host', 'without TLS', 1],
    ['does not know the protocol', { kind: 'answer', status: 418 }, 'invalid-answer', '418', 1],
    [
      'redirects in a circle',
      { kind: 'answer', status: 302, headers: { location: '' } },
      'invalid-answer',
      'more than 5 times',
      6,
    ],
    [
      'redirects nowhere',
      { kind: 'answer', status: 302, headers: { location: 'http://[' } },
      'invalid-answer',
      'invalid URL',
      1,
    ],
    ['redirects without a Location', { kind: 'answer', status: 302 }, 'invalid-answer', '302', 1],
    [
      'redirects to the metadata service',
      redirect('http://169.254.169.254/latest/meta-data'),
      'forbidden-host',
      'refused with TLS too (',
      1,
    ],
    ['redirects to it over TLS', redirect('https://169.254.169.254/'), 'forbidden-host', 'metadata', 2],
    ['redirects to loopback', redirect('https://[::ffff:127.0.0.1]:1/'), 'forbidden-host', 'loopback', 2],
    ['redirects to a file', redirect('file:///etc/passwd'), 'forbidden-host', 'without TLS', 1],
  ])('%s', async (_, fault, code, message, requests) => {
    const { client, name } = await setUp(always(fault));
    const context = lookupContext();
    const before = process.memoryUsage().rss;
    await expect(client.open(name).manifest(amd64, context)).rejects.toMatchObject({
      name: 'ImageSourceError',
      code,
      message: expect.stringContaining(message),
    });
    expect(context.meter.requests).toBe(requests);
    expect(context.meter.bytes).toBeLessThan(5_000_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(100 << 20);
  });

  it('trickles is cut off after the time for one request', async () => {
    const server = await trickle();
    const client = testClient({ insecure: [server.host], limits: quick });
    closing.push(client.close, server.close);
    await expect(client.open(`${server.host}/a`).manifest(amd64, lookupContext())).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('took longer than 1.5 s'),
    });
  });

  it('refuses the connection', async () => {
    const { client, name, registry } = await setUp(() => undefined);
    await registry.close();
    await expect(client.open(name).manifest(amd64, lookupContext())).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(`${registry.host} refused the connection`),
    });
  });

  it('has no address', async () => {
    const client = testClient();
    closing.push(client.close);
    await expect(client.open('registry.invalid/a').manifest(amd64, lookupContext())).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/registry\.invalid (?:has no address|could not be looked up)/),
    });
  });

  it.each<[string, Fault]>([
    ['resets once', { kind: 'reset' }],
    ['resets once in the middle of a body', { kind: 'reset-mid-body', after: 10 }],
    ['answers 502 once', { kind: 'answer', status: 502 }],
    ['answers 503 once', { kind: 'answer', status: 503, headers: { 'retry-after': '0' } }],
    ['asks for less than no patience', { kind: 'answer', status: 503, headers: { 'retry-after': '-1e9' } }],
    ['asks for a second of patience', { kind: 'answer', status: 429, headers: { 'retry-after': '1' } }],
  ])('%s is asked once more', async (_, fault) => {
    const { client, name } = await setUp(once(fault));
    const context = lookupContext();
    await expect(client.open(name).manifest(amd64, context)).resolves.toMatchObject({ digest: built.digest });
    expect(context.meter.requests).toBe(3);
  });
});

describe('wrong bytes', () => {
  const lookUp = async (part: string, digest?: string) => {
    const { client, name } = await setUp(({ path }) => (path.includes(part) ? { kind: 'corrupt' } : undefined));
    const source = client.open(digest === undefined ? name : name.replace(':v1', `@${digest}`));
    return await source.manifest(amd64, lookupContext());
  };

  it.each([
    ['under a digest', '/manifests/', built.digest],
    ['under a tag, where the registry names the digest', '/manifests/', undefined],
    ['in a configuration', '/blobs/', undefined],
  ])('%s are an invalid answer', async (_, part, digest) => {
    await expect(lookUp(part, digest)).rejects.toMatchObject({
      code: 'invalid-answer',
      message: expect.stringMatching(/what came is not sha256:/),
    });
  });
});

describe('a layer whose transfer breaks off', () => {
  const readLayer = async (fault: (request: Recorded, count: number) => Fault | undefined) => {
    const { client, name, registry } = await setUp((request, count) =>
      request.headers.range === undefined ? undefined : fault(request, count),
    );
    const source = client.open(name);
    const context = lookupContext();
    const { layers } = await source.manifest(amd64, context);
    const bytes = collect(source.read(layers[0]!, 1000, 50_000, context));
    const expected = built.blobs.get(layers[0]!.digest)!.subarray(1000, 51_000);
    return { bytes, expected, registry, context };
  };

  it('goes on where it stopped', async () => {
    const ranges: string[] = [];
    const { bytes, expected } = await readLayer(({ headers }) => {
      ranges.push(headers.range!);
      return ranges.length === 1 ? { kind: 'reset-mid-body', after: 20_000 } : undefined;
    });
    expect((await bytes).equals(expected)).toBe(true);
    expect(ranges).toEqual(['bytes=1000-50999', expect.stringMatching(/^bytes=\d+-50999$/)]);
  });

  it('is given up the second time', async () => {
    const { bytes, context } = await readLayer(() => ({ kind: 'reset-mid-body', after: 100 }));
    await expect(bytes).rejects.toMatchObject({ code: 'unavailable' });
    expect(context.meter.requests).toBe(4);
  });

  it('is given up when it stalls', async () => {
    const { bytes } = await readLayer(() => ({ kind: 'stall-mid-body', after: 100 }));
    await expect(bytes).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('429', () => {
  it('with a long Retry-After leaves the host alone until then', async () => {
    const clock = manualClock();
    const limited = { on: true };
    const { client, name, registry } = await setUp(
      () => (limited.on ? { kind: 'answer', status: 429, headers: { 'retry-after': '60' } } : undefined),
      { clock },
    );
    const lookUp = async () => await client.open(name).manifest(amd64, lookupContext());
    await expect(lookUp()).rejects.toMatchObject({ code: 'rate-limited' });
    const asked = registry.requests.length;
    await expect(lookUp()).rejects.toMatchObject({
      code: 'rate-limited',
      message: expect.stringContaining('another 60 s'),
    });
    expect(registry.requests).toHaveLength(asked);
    limited.on = false;
    clock.advance(60_001);
    await expect(lookUp()).resolves.toMatchObject({ digest: built.digest });
  });

  it('is not waited for longer than the look-up lives', async () => {
    const patience = { kind: 'answer', status: 429, headers: { 'retry-after': '3600' } } as const;
    const { client, name } = await setUp(always(patience), { limits: { ...quick, retryAfterMs: 3_600_000 } });
    const reason = new Error('too late');
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 200);
    await expect(client.open(name).manifest(amd64, lookupContext([], controller.signal))).rejects.toBe(reason);
  });
});

describe('the breaker', () => {
  const failing = async (fault: Fault) => {
    const clock = manualClock();
    const events: string[] = [];
    const broken = { on: true };
    const set = await setUp(() => (broken.on ? fault : undefined), {
      clock,
      onBreaker: ({ state }) => events.push(state),
    });
    const lookUp = async () => await set.client.open(set.name).manifest(amd64, lookupContext());
    for (let count = 0; count < 5; count += 1) await expect(lookUp()).rejects.toThrow(set.registry.host);
    return { ...set, clock, events, broken, lookUp };
  };

  it.each<[string, Fault]>([
    ['500s', { kind: 'answer', status: 500 }],
    ['resets', { kind: 'reset' }],
    ['hanging', { kind: 'hang' }],
    ['bodies that break off', { kind: 'reset-mid-body', after: 10 }],
    ['headers without end', { kind: 'endless-headers' }],
  ])('opens after %s, and closes when the host has recovered', async (_, fault) => {
    const { registry, events, lookUp, clock, broken } = await failing(fault);
    const asked = registry.requests.length;
    await expect(lookUp()).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('is left alone'),
    });
    expect(registry.requests).toHaveLength(asked);
    clock.advance(30_001);
    await expect(lookUp()).rejects.toThrow(registry.host);
    expect(registry.requests.length).toBeGreaterThan(asked);
    broken.on = false;
    clock.advance(30_001);
    await expect(lookUp()).resolves.toMatchObject({ digest: built.digest });
    await expect(lookUp()).resolves.toMatchObject({ digest: built.digest });
    expect(events).toEqual(['open', 'half-open', 'open', 'half-open', 'closed']);
  });

  it('does not count what is our own doing: not found, refused logins, look-ups given up early', async () => {
    const { client, registry, name } = await setUp(() => undefined);
    for (let count = 0; count < 10; count += 1) {
      await expect(client.open(`${registry.host}/none`).manifest(amd64, lookupContext())).rejects.toMatchObject({
        code: 'not-found',
      });
      const controller = new AbortController();
      const lookUp = client.open(name).manifest(amd64, lookupContext([], controller.signal));
      controller.abort(new Error('given up'));
      await expect(lookUp).rejects.toThrow('given up');
    }
    await expect(client.open(name).manifest(amd64, lookupContext())).resolves.toBeDefined();
  });

  it('counts look-ups that were given up after a long silence', async () => {
    const { client, name } = await setUp(always({ kind: 'hang' }), { limits: { slowMs: 20 } });
    for (let count = 0; count < 5; count += 1) {
      const lookup = client.open(name).manifest(amd64, lookupContext([], AbortSignal.timeout(40)));
      await expect(lookup).rejects.toMatchObject({ name: 'TimeoutError' });
    }
    await expect(client.open(name).manifest(amd64, lookupContext())).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('of one host does not stop another', async () => {
    const { client, lookUp } = await failing({ kind: 'answer', status: 500 });
    await expect(lookUp()).rejects.toThrow('left alone');
    const other = await startRegistry();
    closing.push(other.close);
    await expect(client.open(`${other.host}/a`).manifest(amd64, lookupContext())).rejects.toMatchObject({
      code: 'forbidden-host',
    });
  });
});

it('a host that hangs holds no more than its queue', async () => {
  const { client, name } = await setUp(always({ kind: 'hang' }), {
    concurrency: 2,
    limits: { ...quick, queue: 5, breakerFailures: 100 },
  });
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, async () => await client.open(name).manifest(amd64, lookupContext())),
  );
  const messages = results.map((result) => (result.status === 'rejected' ? String(result.reason) : 'served'));
  expect(messages.filter((message) => message.includes('requests wait for it already'))).toHaveLength(13);
});

it('after any mixture of faults every look-up has ended, and the host is usable again', async () => {
  const kinds: (Fault | undefined)[] = [
    // As often as not, all is well.
    ...Array.from({ length: 24 }, () => undefined),
    ...(['hang', 'reset', 'endless-headers', 'endless-interim', 'corrupt', 'endless-body'] as const).map((kind) => ({
      kind,
    })),
    { kind: 'raw', bytes: 'HTTP/1.1 nonsense' },
    { kind: 'reset-mid-body', after: 20 },
    { kind: 'stall-mid-body', after: 20 },
    { kind: 'content-length', claim: 1e6 },
    ...[401, 403, 404, 416, 429, 500, 503, 206].map((status) => ({ kind: 'answer' as const, status })),
    redirect('/v2/'),
    redirect('http://169.254.169.254/'),
  ];
  const calm = { on: false };
  let seed = 7;
  const random = () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return kinds[seed % kinds.length];
  };
  const clock = manualClock();
  const { client, name } = await setUp(() => (calm.on ? undefined : random()), { concurrency: 4, clock });
  const lookUp = async () => {
    const source = client.open(name);
    const context = lookupContext([], AbortSignal.timeout(4000));
    const manifest = await source.manifest(amd64, context);
    await collect(source.read(manifest.layers[0]!, 0, 5000, context));
  };
  const outcomes = await Promise.allSettled(
    Array.from({ length: 200 }, async (_, index) => {
      await wait(index * 10);
      clock.advance(10_000);
      await lookUp();
    }),
  );
  const errors = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as Error] : []));
  expect(errors.filter(({ name: kind }) => !['ImageSourceError', 'TimeoutError'].includes(kind))).toEqual([]);
  expect(errors.length).toBeGreaterThan(50);
  expect(errors.length).toBeLessThan(200);
  calm.on = true;
  clock.advance(3_600_000);
  await expect(Promise.all(Array.from({ length: 8 }, lookUp))).resolves.toHaveLength(8);
});

it('thousands of hosts leave nothing behind', async () => {
  const client = testClient({ limits: { hosts: 100 }, resolve: async () => [{ address: '127.0.0.1', family: 4 }] });
  closing.push(client.close);
  const heap: number[] = [];
  for (let round = 0; round < 3; round += 1) {
    for (let count = 0; count < 1000; count += 1) {
      const context = lookupContext([], new AbortController().signal);
      const lookup = client.open(`h${count}.round${round}.example/a`).manifest(amd64, context);
      await expect(lookup).rejects.toMatchObject({ code: 'forbidden-host' });
    }
    // Sockets that were refused are gone a little later.
    await wait(1000);
    collectGarbage();
    heap.push(process.memoryUsage().heapUsed);
  }
  expect(heap.at(-1)! - heap[0]!).toBeLessThan(12 << 20);
});

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/** An answer whose every header comes twice, with nonsense the second time. */
function twice(status: number): Fault {
  const names = [
    'content-type',
    'retry-after',
    'location',
    'docker-content-digest',
    'content-range',
    'www-authenticate',
  ];
  const headers = Object.fromEntries(names.map((name) => [name, ['x:y', '"']]));
  return { kind: 'answer', status, headers, body: '{' };
}

function redirect(location: string): Fault {
  return { kind: 'answer', status: 307, headers: { location } };
}

async function trickle(): Promise<Pick<RegistryServer, 'host' | 'close'>> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n');
    const timer = setInterval(() => socket.write(' '), 50);
    socket.on('close', () => {
      clearInterval(timer);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const close = async (): Promise<void> => {
    await new Promise<void>((resolve) => {
      server.close(() => {
        resolve();
      });
    });
  };
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}
