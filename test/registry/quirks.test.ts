import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { describe, expect, it, onTestFinished } from 'vitest';

import {
  alice,
  type Answer,
  type Asked,
  basicOfAlice,
  type Handler,
  isLayer,
  layer,
  look,
  open,
  partOf,
  refused,
  serve,
  withLogin,
} from '../support/answering-registry.ts';

// One habit of a registry or of what stands before it, each. All serve the image.

const isManifest = ({ path }: Asked): boolean => path.includes('/manifests/');

/** Reads the image, checks what came, and returns the number of requests. */
const requestsOf = async (...given: Parameters<typeof look>): Promise<number> =>
  (await look(...given)).context.meter.requests;

/** Answers as an open registry, with other headers where `where` holds. */
const headed =
  (headers: Answer['headers'] = {}, where: (one: Asked) => boolean = isManifest): Handler =>
  (one) => {
    const answer = open(one);
    return where(one) && answer.body !== undefined ? { ...answer, headers: { ...answer.headers, ...headers } } : answer;
  };

/** Asks for a token with this challenge and takes `tok`. */
const behindToken =
  (challenge: (base: string) => string | string[], token: Answer = { body: '{"token":"tok"}' }): Handler =>
  (one) => {
    if (one.path.startsWith('/token')) return token;
    return one.authorization === 'Bearer tok' ? undefined : refused(challenge(one.base));
  };

describe('a registry', () => {
  it.each<[string, Handler]>([
    [
      'labels its manifest with a charset',
      headed({ 'content-type': 'application/vnd.oci.image.manifest.v1+json; charset=utf-8' }),
    ],
    ['labels its manifest in capitals', headed({ 'content-type': 'APPLICATION/VND.OCI.IMAGE.MANIFEST.V1+JSON' })],
    ['labels its manifest as plain text', headed({ 'content-type': 'text/plain' })],
    ['labels its manifest as bytes', headed({ 'content-type': 'application/octet-stream' })],
    ['labels its manifest as an index', headed({ 'content-type': 'application/vnd.oci.image.index.v1+json' })],
    [
      'labels its manifest as schema 1',
      headed({ 'content-type': 'application/vnd.docker.distribution.manifest.v1+prettyjws' }),
    ],
    ['labels its manifest twice', headed({ 'content-type': ['text/html', 'application/json'] })],
    ['has an empty label', headed({ 'content-type': '' })],
    ['gives a digest of another kind', headed({ 'docker-content-digest': 'md5:00' })],
    ['gives no digest', headed({ 'docker-content-digest': '' })],
    ['says that ranges are not for it', headed({ 'accept-ranges': 'none' }, isLayer)],
    [
      'does not know how much there is',
      (one) => {
        if (!isLayer(one) || one.range === undefined) return undefined;
        const [first, last] = one.range;
        const body = layer.subarray(first, last + 1);
        return { status: 206, body, headers: { 'content-range': `bytes ${first}-${first + body.length - 1}/*` } };
      },
    ],
    [
      'writes Content-Range in capitals',
      (one) => {
        if (!isLayer(one) || one.range === undefined) return undefined;
        const [first, last] = one.range;
        const body = layer.subarray(first, last + 1);
        return {
          status: 206,
          body,
          headers: { 'content-range': partOf(first, body.length)['content-range'].replace('bytes', 'Bytes') },
        };
      },
    ],
    ['sends everything without a length', (one) => ({ ...open(one), chunked: true })],
    ['ends each connection', (one) => ({ ...open(one), headers: { ...open(one).headers, connection: 'close' } })],
    [
      'sends cookies and policies',
      headed({ 'set-cookie': ['a=b', 'c=d'], vary: '*', 'cache-control': 'no-store' }, () => true),
    ],
  ])('%s', async (_, handler) => {
    const { host } = await serve(handler);
    expect(await requestsOf(host)).toBeGreaterThan(1);
  });

  it.each([301, 302, 303, 307, 308])('leads to its layers by %d', async (status) => {
    const { host } = await serve((one) => {
      if (one.path.startsWith('/storage/')) return open({ ...one, path: one.path.slice('/storage'.length) });
      return isLayer(one) ? { status, headers: { location: `/storage${one.path}?X-Sig=a%2Bb&d=x y` } } : undefined;
    });
    expect(await requestsOf(host)).toBeGreaterThan(1);
  });

  it.each([
    ['a path', (one: Asked) => `/storage${one.path}`],
    ['a host without a scheme', (one: Asked) => `//${new URL(one.base).host}/storage${one.path}`],
    ['a path from here', (one: Asked) => `../../../../storage${one.path}`],
    ['letters that are not escaped', (one: Asked) => `${one.base}/storage${one.path}?name=größe "x"#part`],
  ])('leads to its manifest by %s', async (_, location) => {
    const { host } = await serve((one) => {
      if (one.path.startsWith('/storage/')) return open({ ...one, path: one.path.slice('/storage'.length) });
      return isManifest(one)
        ? { status: 307, headers: { location: Buffer.from(location(one)).toString('latin1') } }
        : undefined;
    });
    expect(await requestsOf(host)).toBeGreaterThan(1);
  });

  it('signs the address of a layer for one call alone', async () => {
    let signed = 0;
    let used = 0;
    const { host } = await serve((one) => {
      if (one.path.startsWith('/storage/')) {
        const mine = Number(one.query.get('n'));
        if (mine <= used) return refused(undefined, 403);
        used = mine;
        return open({ ...one, path: one.path.slice('/storage'.length) });
      }
      return isLayer(one)
        ? { status: 307, headers: { location: `/storage${one.path}?n=${(signed += 1)}` } }
        : undefined;
    });
    expect(await requestsOf(host)).toBeGreaterThan(1);
    expect(await requestsOf(host, {}, 150_000)).toBeGreaterThan(1);
  });

  it('keeps layers in a store that refuses logins and has no time for others', async () => {
    const store = await serve((one) => (one.authorization === '' ? open(one) : { status: 400 }));
    const { host } = await serve((one) => {
      if (one.authorization !== basicOfAlice) return refused('Basic realm="Artifactory Realm"');
      return isLayer(one) ? { status: 302, headers: { location: `http://${store.host}${one.path}` } } : undefined;
    });
    expect(await requestsOf(host, withLogin(host))).toBeGreaterThan(1);
  });

  it('asks for a login of another scope for its layers', async () => {
    const { host, asked } = await serve((one) => {
      if (one.path === '/token')
        return {
          body: JSON.stringify({ token: one.query.getAll('scope').join('|').includes('base') ? 'both' : 'one' }),
        };
      if (isLayer(one)) {
        return one.authorization === 'Bearer both'
          ? undefined
          : refused(`Bearer realm="${one.base}/token",scope="repository:team/app:pull repository:team/base:pull"`);
      }
      return one.authorization === '' ? refused(`Bearer realm="${one.base}/token"`) : undefined;
    });
    expect(await requestsOf(host)).toBeGreaterThan(1);
    expect(asked.filter(({ path }) => path === '/token')).toHaveLength(2);
  });
});

describe('a challenge', () => {
  it.each<[string, (base: string) => string | string[]]>([
    ['in small letters', (base) => `bearer realm="${base}/token",service="x"`],
    ['in capitals', (base) => `BEARER REALM="${base}/token", SERVICE="x"`],
    ['with spaces around the equals sign', (base) => `Bearer realm = "${base}/token" , service = "x"`],
    ['with a comma at the end', (base) => `Bearer realm="${base}/token",service="x",`],
    ['without quotes', (base) => `Bearer realm=${base}/token,service=x`],
    [
      'with an error',
      (base) => `Bearer realm="${base}/token",service="x",error="invalid_token",error_description="a, \\"b\\""`,
    ],
    ['behind others in one line', (base) => `Negotiate, NTLM, Bearer realm="${base}/token"`],
    [
      'behind others in their own lines',
      (base) => ['Negotiate', 'Digest realm="a", nonce="b"', `Bearer realm="${base}/token"`],
    ],
    ['twice', (base) => [`Bearer realm="${base}/token"`, `Bearer realm="${base}/token"`]],
    ['with a question in its realm', (base) => `Bearer realm="${base}/token?account=a&x=1"`],
    ['with an empty service and scope', (base) => `Bearer realm="${base}/token",service="",scope=""`],
  ])('%s', async (_, challenge) => {
    const { host, asked } = await serve(behindToken(challenge));
    expect(await requestsOf(host)).toBeGreaterThan(1);
    expect(asked.filter(({ path }) => path.startsWith('/token'))).toHaveLength(1);
  });

  it('of 403 is answered as of 401', async () => {
    const { host } = await serve((one) =>
      one.path === '/token' || one.authorization === 'Bearer tok'
        ? undefined
        : refused(`Bearer realm="${one.base}/token"`, 403),
    );
    expect(await requestsOf(host, withLogin(host))).toBeGreaterThan(1);
  });

  it.each([200, 401, 403])('of %d on /v2/ is answered where the rest is refused without one', async (status) => {
    const { host } = await serve(({ path, authorization }) => {
      if (authorization === basicOfAlice) return undefined;
      return path === '/v2/' ? refused('basic realm=', status) : refused('', 403);
    });
    expect(await requestsOf(host, withLogin(host))).toBe(5);
    await expect(look(host)).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('keeps the question of its realm', async () => {
    const { host, asked } = await serve(behindToken((base) => `Bearer realm="${base}/token?account=a",service="s"`));
    expect(await requestsOf(host)).toBeGreaterThan(1);
    const { query } = asked.find(({ path }) => path === '/token')!;
    expect([query.get('account'), query.get('service')]).toEqual(['a', 's']);
  });
});

describe('a token', () => {
  it.each<[string, Answer]>([
    ['whose lifetime is a text', { body: '{"token":"tok","expires_in":"300"}' }],
    ['whose lifetime is a fraction', { body: '{"token":"tok","expires_in":299.5}' }],
    ['whose lifetime is null', { body: '{"token":"tok","expires_in":null,"issued_at":null}' }],
    ['whose lifetime is negative', { body: '{"token":"tok","expires_in":-1}' }],
    ['that lives for ever', { body: '{"token":"tok","expires_in":1e30}' }],
    ['with a date that cannot be read', { body: '{"token":"tok","issued_at":"now"}' }],
    ['beside an empty one', { body: '{"token":"","access_token":"tok"}' }],
    ['beside null', { body: '{"token":null,"access_token":"tok","refresh_token":null,"scope":null}' }],
    ['of both names', { body: '{"access_token":"tok","token":"tok"}' }],
    ['labelled as a page', { body: '{"token":"tok"}', headers: { 'content-type': 'text/html' } }],
    ['created', { status: 201, body: '{"token":"tok"}' }],
    ['behind a byte order mark', { body: '\uFEFF{"token":"tok"}' }],
    ['without a length', { body: '{"token":"tok"}', chunked: true }],
  ])('%s', async (_, token) => {
    const { host } = await serve(behindToken((base) => `Bearer realm="${base}/token"`, token));
    expect(await requestsOf(host)).toBeGreaterThan(1);
  });

  it('of 12,000 letters is sent', async () => {
    const long = 'a'.repeat(12_000);
    const { host } = await serve((one) => {
      if (one.path === '/token') return { body: JSON.stringify({ token: long }) };
      return one.authorization === `Bearer ${long}` ? undefined : refused(`Bearer realm="${one.base}/token"`);
    });
    expect(await requestsOf(host)).toBeGreaterThan(1);
  });
});

it.each([
  ['a robot of Harbor', 'robot$team+ci', 'a:b$c'],
  ['ECR', 'AWS', 'e'.repeat(3000)],
  ['a token without a name', '', 'glpat-secret'],
  ['a name in UTF-8', 'jürgen', 'pässword'],
])('a login of %s is sent as it is', async (_, username, password) => {
  const expected = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const { host } = await serve((one) => (one.authorization === expected ? undefined : refused('Basic realm="x"')));
  expect(await requestsOf(host, withLogin(host, { ...alice, username, password }))).toBeGreaterThan(1);
});

it.each([
  [
    'a page of a proxy',
    { body: '<!DOCTYPE html><title>Sign in</title>', headers: { 'content-type': 'text/html' } },
    'invalid-answer',
  ],
  ['an empty answer', { body: '' }, 'invalid-answer'],
  ['an error with status 200', { body: '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}' }, 'invalid-answer'],
  [
    'a quota',
    { status: 429, body: '{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit"}]}' },
    'rate-limited',
  ],
  ['maintenance', { status: 503, headers: { 'retry-after': 'Wed, 21 Oct 2065 07:28:00 GMT' } }, 'unavailable'],
  ['nothing but a redirect to itself', { status: 302, headers: { location: '' } }, 'invalid-answer'],
] as const)('%s for a manifest is an error, not an image', async (_, answer, code) => {
  const { host } = await serve((one) => (isManifest(one) ? answer : undefined));
  await expect(look(host)).rejects.toMatchObject({ code });
});

it('a server of HTTP/1.0 that ends its answers by closing is read', async () => {
  const { host: inner } = await serve(() => undefined);
  const answer = async ({ url, headers: { range } }: IncomingMessage, { socket }: ServerResponse): Promise<void> => {
    const { status, part, bytes } = await request(`http://${inner}${url}`, range);
    socket?.write(`HTTP/1.0 ${status} X\r\n${part === null ? '' : `Content-Range: ${part}\r\n`}\r\n`);
    socket?.end(bytes);
  };
  const server = createServer((asked, response) => void answer(asked, response));
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  expect(await requestsOf(`127.0.0.1:${(server.address() as AddressInfo).port}`)).toBeGreaterThan(1);
});

async function request(url: string, range?: string) {
  const answer = await fetch(url, range === undefined ? {} : { headers: { range } });
  return {
    status: answer.status,
    part: answer.headers.get('content-range'),
    bytes: Buffer.from(await answer.arrayBuffer()),
  };
}
