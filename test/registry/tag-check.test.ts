import { afterEach, describe, expect, it } from 'vitest';

import { sha256Digest } from '../support/digest.ts';
import { type BuiltImage, image, index } from '../support/image-builder.ts';
import { layer } from '../support/layer-builder.ts';
import { amd64, lookupContext, manualClock, sampleImage, testClient } from '../support/registry-harness.ts';
import {
  type Fault,
  type RegistryServer,
  type RegistryServerOptions,
  startRegistry,
} from '../support/registry-server.ts';
import { startTokenServer } from '../support/token-server.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map(async (close) => await close()));
});

const arm = image({ layers: [layer([{ path: 'a', content: 'x' }])], config: { architecture: 'arm64' } });
const single = sampleImage(1000);
const multi = index([arm, single], { attestation: 'first' });
const large = index([single, ...Array.from({ length: 100 }, () => arm)]);

async function serving(options: RegistryServerOptions = {}, built: BuiltImage = multi) {
  const registry = await startRegistry(options);
  closing.push(registry.close);
  const clock = manualClock();
  const reference = registry.put('team/app:v1', built);
  const open = (more: Parameters<typeof testClient>[0] = {}) => {
    const client = testClient({ insecure: [registry.host], clock, ...more });
    closing.push(client.close);
    return client;
  };
  return { registry, clock, reference, open };
}

const sent = ({ requests }: Pick<RegistryServer, 'requests'>): string[] =>
  requests.map(({ method, path }) => `${method} ${path.split('/').at(-1)?.split('?')[0]}`);

describe('a tag that has not moved', () => {
  it.each([
    ['an image', single],
    ['an index', multi],
    ['an index of 20 KB', large],
  ])('costs one request without a body for %s, on the connection of others', async (_, built) => {
    const { registry, reference, open } = await serving({}, built);
    const source = open().open(reference);
    const context = lookupContext();
    const { named, digest } = await source.manifest(amd64, context);
    expect([named, digest]).toEqual([built.digest, single.digest]);
    const before = { ...context.meter };
    for (let count = 0; count < 3; count += 1) expect(await source.stillNames?.(built.digest, context)).toBe(true);
    expect(context.meter).toEqual({ requests: before.requests + 3, bytes: before.bytes });
    expect(sent(registry).slice(before.requests)).toEqual(['HEAD v1', 'HEAD v1', 'HEAD v1']);
    expect(registry.requests.at(-1)?.headers.accept).toBe(registry.requests[0]?.headers.accept);
    expect(registry.connections()).toBe(1);
  });

  it('is asked for with a token', async () => {
    const tokens = await startTokenServer();
    const { registry, reference, open } = await serving({ auth: { kind: 'bearer', ...tokens } });
    closing.push(tokens.close);
    const client = open({ insecure: [registry.host, tokens.host] });
    expect(await client.open(reference).stillNames?.(multi.digest, lookupContext())).toBe(true);
    expect(sent(registry)).toEqual(['HEAD v1', 'HEAD v1']);
    expect(tokens.asked).toHaveLength(1);
  });

  it('is found at the registry if a mirror does not have it', async () => {
    const mirror = await startRegistry();
    closing.push(mirror.close);
    const { registry, reference, open } = await serving();
    const source = open({ mirrors: { [registry.host]: [mirror.url] } }).open(reference);
    expect(await source.stillNames?.(multi.digest, lookupContext())).toBe(true);
    expect([sent(mirror), sent(registry)]).toEqual([['HEAD v1'], ['HEAD v1']]);
  });
});

it('a tag that has moved is read anew, and HEADs stay useful', async () => {
  const { registry, reference, open } = await serving();
  const client = open();
  let { digest } = multi;
  for (let salt = 0; salt < 5; salt += 1) {
    const moved = index([sampleImage(500 + salt)]);
    registry.put('team/app:v1', moved);
    const source = client.open(reference);
    expect(await source.stillNames?.(digest, lookupContext())).toBe(false);
    expect((await source.manifest(amd64, lookupContext())).named).toBe(moved.digest);
    digest = moved.digest;
  }
  expect(sent(registry).filter((request) => request === 'HEAD v1')).toHaveLength(5);
});

const json = { 'content-type': 'application/json' };
const answer = (status: number, headers: Record<string, string> = json): Fault => ({ kind: 'answer', status, headers });

describe('a registry that answers HEAD wrongly', () => {
  it.each<[name: string, fault: Fault]>([
    ['without a digest', answer(200)],
    ['with no digest that we know', answer(200, { 'docker-content-digest': 'md5:0123' })],
    ['with another digest than GET', answer(200, { 'docker-content-digest': sha256Digest(Buffer.from('x')) })],
    ['with 400', answer(400)],
    ['with 401 and no challenge', answer(401)],
    ['with 403', answer(403)],
    ['with 404', answer(404)],
    ['with 405', answer(405)],
    ['with 501', answer(501)],
    ['with a redirect in a circle', answer(307, { location: '/v2/team/app/manifests/v1' })],
    ['with a reset', { kind: 'reset' }],
    ['in another protocol', { kind: 'not-http' }],
    ['with a body', { kind: 'raw', bytes: 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello' }],
    ['with headers without end', { kind: 'endless-headers' }],
  ])('%s is asked by GET, and after three times by GET alone for an hour', async (_, fault) => {
    const { registry, clock, reference, open } = await serving({
      fault: ({ method }) => (method === 'HEAD' ? fault : undefined),
    });
    const client = open();
    const check = async (): Promise<boolean> => {
      const before = registry.requests.length;
      const source = client.open(reference);
      expect(await source.stillNames?.(multi.digest, lookupContext())).toBe(false);
      expect((await source.manifest(amd64, lookupContext())).named).toBe(multi.digest);
      return registry.requests.slice(before).some(({ method }) => method === 'HEAD');
    };
    for (const hasHead of [true, true, true, false, false]) expect(await check()).toBe(hasHead);
    clock.advance(3_600_000);
    expect([await check(), await check()]).toEqual([true, false]);
  });

  it('twice, and then rightly, is asked on', async () => {
    let wrong = 2;
    const { registry, reference, open } = await serving({
      fault: ({ method }) => (method === 'HEAD' && wrong-- > 0 ? answer(405) : undefined),
    });
    const client = open();
    for (const expected of [false, false, true]) {
      const source = client.open(reference);
      expect(await source.stillNames?.(multi.digest, lookupContext())).toBe(expected);
      if (!expected) await source.manifest(amd64, lookupContext());
    }
    wrong = 2;
    for (const expected of [false, false, true]) {
      const source = client.open(reference);
      expect(await source.stillNames?.(multi.digest, lookupContext())).toBe(expected);
      if (!expected) await source.manifest(amd64, lookupContext());
    }
    expect(sent(registry).filter((request) => request.startsWith('HEAD'))).toHaveLength(6);
  });
});

it('a registry that limits requests is asked no more', async () => {
  const { registry, reference, open } = await serving({ fault: () => answer(429, { 'retry-after': '600' }) });
  await expect(open().open(reference).stillNames?.(multi.digest, lookupContext())).rejects.toMatchObject({
    code: 'rate-limited',
  });
  expect(sent(registry).every((request) => request === 'HEAD v1')).toBe(true);
});

it('a check that is given up rejects with the reason', async () => {
  const { registry, reference, open } = await serving({ fault: () => ({ kind: 'hang' }) });
  const end = new AbortController();
  const checking = open().open(reference).stillNames?.(multi.digest, lookupContext([], end.signal));
  await expect.poll(() => registry.requests.length).toBe(1);
  end.abort(new Error('over'));
  await expect(checking).rejects.toThrow('over');
});
