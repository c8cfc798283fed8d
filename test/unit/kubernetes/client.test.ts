import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';

import { afterEach, describe, expect, it } from 'vitest';

import { ephemeralPair } from '../../../src/certificates/ephemeral.ts';
import { type KubeClient, type KubeRequest, readLines, type WatchEvent } from '../../../src/kubernetes/client.ts';
import { KubeError, statusError, transportError } from '../../../src/kubernetes/errors.ts';
import type { KubeObject } from '../../../src/kubernetes/objects.ts';
import { type Asked, clientOf, listOf, startSmallApi, status } from './small-api.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function api(answer: (asked: Asked) => void) {
  const started = await startSmallApi(answer);
  closers.push(() => started.close());
  return started;
}

const failure = async (call: Promise<unknown>): Promise<KubeError> => {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(KubeError);
  return error as KubeError;
};

describe('a call', () => {
  it('sends what it is asked to, with the transport’s headers', async () => {
    const { client, asked } = await api(({ send }) => send({ metadata: { name: 'x' } }, 201));
    const answer = await client.request({
      method: 'PATCH',
      path: '/api/v1/namespaces/x',
      query: { fieldManager: 'us & them', force: true },
      body: { metadata: {} },
      contentType: 'application/apply-patch+yaml',
      accept: 'application/json;as=PartialObjectMetadata',
    });
    expect(answer).toEqual({ metadata: { name: 'x' } });
    expect(asked[0]).toMatchObject({ method: 'PATCH', path: '/api/v1/namespaces/x', body: '{"metadata":{}}' });
    expect(Object.fromEntries(asked[0]!.query)).toEqual({ fieldManager: 'us & them', force: 'true' });
    expect(asked[0]?.headers).toMatchObject({
      authorization: 'Bearer t',
      'content-type': 'application/apply-patch+yaml',
      accept: 'application/json;as=PartialObjectMetadata',
    });
  });

  it.each([
    [400, 'invalid'],
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [404, 'not-found'],
    [409, 'conflict'],
    [410, 'gone'],
    [422, 'invalid'],
    [429, 'throttled'],
    [500, 'server'],
    [503, 'server'],
    [504, 'timeout'],
  ])('status %i is %s, with the server’s own message', async (code, expected) => {
    const { client } = await api(({ send }) => send(status(code, 'namespaces "x" is what it is'), code));
    expect(await failure(client.request({ path: '/api/v1/namespaces/x' }))).toMatchObject({
      code: expected,
      status: code,
      message: 'GET /api/v1/namespaces/x: namespaces "x" is what it is',
    });
  });

  it('a field that the CustomResourceDefinition does not have is invalid, although the status is 500', async () => {
    const message = 'failed to create typed patch object: .spec.detection.x: field not declared in schema';
    const { client } = await api(({ send }) => send(status(500, message), 500));
    expect(await failure(client.request({ path: '/x' }))).toMatchObject({ code: 'invalid', status: 500 });
  });

  it('a proxy’s HTML is not repeated', async () => {
    const { client } = await api(({ response }) => response.writeHead(502).end('<html>'));
    expect((await failure(client.request({ path: '/x' }))).message).toBe('GET /x: HTTP status 502');
  });

  it('a long message is cut', () => {
    expect(
      statusError(403, JSON.stringify({ message: 'x'.repeat(10_000) }), { method: 'GET', path: '/x' }).message.length,
    ).toBeLessThan(600);
  });

  it('an answer that is not JSON', async () => {
    const { client } = await api(({ response }) => response.end('<html>'));
    expect(await failure(client.request({ path: '/x' }))).toMatchObject({ code: 'malformed' });
  });

  it('an answer that never ends is cut at 16 MiB', async () => {
    const { client } = await api(({ response }) => {
      const chunk = Buffer.alloc(4 * 1024 * 1024, 32);
      const more = (): void => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on('drain', more);
      more();
    });
    expect(await failure(client.request({ path: '/x' }))).toMatchObject({ code: 'too-large' });
  });
});

describe('an API server that cannot be reached', () => {
  it('nobody there', async () => {
    const { client, close } = await startSmallApi(() => {});
    await close();
    const again = clientOf(client.server);
    closers.push(() => again.close());
    expect(await failure(again.request({ path: '/x' }))).toMatchObject({ code: 'unreachable' });
  });

  it('the connection is cut', async () => {
    const { client } = await api(({ response }) => response.destroy());
    expect(await failure(client.request({ path: '/x' }))).toMatchObject({ code: 'unreachable' });
  });

  it('a certificate that nobody we know has signed: the message says so', async () => {
    const { ca: _, ...pair } = await ephemeralPair({
      names: [{ type: 'ip', value: '127.0.0.1' }],
      now: Date.now(),
      days: 1,
    });
    const server = createTlsServer(pair, (_request, response) => response.end('{}'));
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    closers.push(() => server.close());
    const client = clientOf(`https://127.0.0.1:${(server.address() as AddressInfo).port}`);
    closers.push(() => client.close());
    const error = await failure(client.request({ path: '/x' }));
    expect(error.code).toBe('unreachable');
    expect(error.message).toContain('certificate');
  });

  it.each([
    { title: 'it says nothing', answer: () => {} },
    {
      title: 'it says a byte now and then',
      answer: ({ response }: Asked) => {
        const timer = setInterval(() => response.write(' '), 20);
        response.on('close', () => clearInterval(timer));
      },
    },
  ])('$title: timeout', async ({ answer }) => {
    const { client } = await api(answer);
    expect(await failure(client.request({ path: '/x', timeoutMs: 200 }))).toMatchObject({ code: 'timeout' });
  });

  it('a login that hangs: timeout', async () => {
    const client = clientOf('http://127.0.0.1:1', { prepare: () => new Promise(() => {}) });
    closers.push(() => client.close());
    expect(await failure(client.request({ path: '/x', timeoutMs: 50 }))).toMatchObject({ code: 'timeout' });
    const watching = client.watch({ path: '/x', timeoutMs: 50, idleMs: 60_000 }).next();
    expect(await failure(watching)).toMatchObject({ code: 'timeout' });
  });

  it('a login that fails', async () => {
    const client = clientOf('http://127.0.0.1:1', { prepare: () => Promise.reject(new Error('no token')) });
    closers.push(() => client.close());
    expect(await failure(client.request({ path: '/x' }))).toMatchObject({ message: 'GET /x: no token' });
  });

  it('what the caller gives up rejects with the caller’s reason', async () => {
    const { client } = await api(() => {});
    const reason = new Error('closing');
    await expect(client.request({ path: '/x', signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it('an error without a message is told by its code', () => {
    const error = Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' });
    expect(transportError(error, 'GET /x').message).toBe('GET /x: ECONNREFUSED');
  });
});

async function listed(client: KubeClient, change: Partial<KubeRequest> = {}) {
  const names: string[] = [];
  const each = ({ metadata }: KubeObject): void => void names.push(metadata.name);
  const list = client.list({ path: '/api/v1/namespaces', ...change }, each);
  const { version, error } = await list.then(
    (found) => ({ version: found, error: undefined }),
    (reason: unknown) => ({ version: undefined, error: reason as KubeError }),
  );
  return { names, version, error };
}

describe('a list', () => {
  const list = listOf(['a', 'grüße', 'c'], { resourceVersion: '7' });

  it('gives its objects in order, wherever the chunks are cut, and its version', async () => {
    const { client, asked } = await api(({ open, response }) => {
      open();
      const bytes = Buffer.from(JSON.stringify(list));
      for (let at = 0; at < bytes.length; at += 3) response.write(bytes.subarray(at, at + 3));
      response.end();
    });
    const { names, version, error } = await listed(client, { query: { resourceVersion: '0' } });
    expect(error).toBeUndefined();
    expect(names).toEqual(['a', 'grüße', 'c']);
    expect(version).toBe('7');
    expect(Object.fromEntries(asked[0]!.query)).toEqual({ resourceVersion: '0' });
  });

  it('gives its objects before it has ended', async () => {
    const text = JSON.stringify(list);
    const { client } = await api(({ open, response }) => {
      open();
      response.write(text.slice(0, -60));
    });
    const first = Promise.withResolvers<string>();
    const closing = new AbortController();
    const reason = new Error('closing');
    const running = client.list({ path: '/x', signal: closing.signal }, ({ metadata }) => first.resolve(metadata.name));
    expect(await first.promise).toBe('a');
    closing.abort(reason);
    await expect(running).rejects.toBe(reason);
  });

  it('may be longer than any answer that is read whole', async () => {
    const item = `${JSON.stringify({ metadata: { name: 'x' }, spec: 'y'.repeat(1 << 20) })},`;
    const { client } = await api(({ response }) => {
      response.end(`{"items":[${item.repeat(18)}{"metadata":{"name":"z"}}],"metadata":{"resourceVersion":"7"}}`);
    });
    const { names, version } = await listed(client);
    expect(names).toHaveLength(19);
    expect(version).toBe('7');
  });

  it.each<{ title: string; answer: (asked: Asked) => void; code: string }>([
    { title: 'status 410', answer: ({ send }) => send(status(410, 'too old'), 410), code: 'gone' },
    { title: 'status 429', answer: ({ send }) => send(status(429, 'storage is initializing'), 429), code: 'throttled' },
    { title: 'a Status in place of a list', answer: ({ send }) => send(status(500, 'etcd')), code: 'malformed' },
    ...[
      ['items of another type', '"items":{"a":1}'],
      ['items twice', '"items":[],"items":[{"metadata":{"name":"a"}}]'],
      ['a spelling of items that is not recognized', '"\\u0069tems":[{"metadata":{"name":"a"}}]'],
    ].map(([title = '', items]) => ({
      title,
      answer: ({ response }: Asked): void => void response.end(`{"metadata":{"resourceVersion":"7"},${items}}`),
      code: 'malformed',
    })),
    { title: 'a list without a version', answer: ({ send }) => send({ metadata: {}, items: [] }), code: 'malformed' },
    {
      title: 'a list with an empty version',
      answer: ({ send }) => send(listOf([], { resourceVersion: '' })),
      code: 'malformed',
    },
    { title: 'null', answer: ({ send }) => send(null), code: 'malformed' },
    { title: 'HTML', answer: ({ response }) => response.end('<html>'), code: 'malformed' },
    { title: 'an item that is not JSON', answer: ({ response }) => response.end('{"items":[x]}'), code: 'malformed' },
    {
      title: 'a list that ends too soon',
      answer: ({ response }) => response.end(JSON.stringify(list).slice(0, -30)),
      code: 'malformed',
    },
    {
      title: 'a connection that is cut',
      answer: ({ open, response }) => {
        open();
        response.write(JSON.stringify(list).slice(0, -30));
        setTimeout(() => response.destroy(), 20);
      },
      code: 'unreachable',
    },
    {
      title: 'an object that is too large',
      answer: ({ response }) => response.end(`{"items":["${'x'.repeat(17 << 20)}"]}`),
      code: 'too-large',
    },
  ])('$title: $code', async ({ answer, code }) => {
    const { client } = await api(answer);
    const { version, error } = await listed(client);
    expect(version).toBeUndefined();
    expect(error).toMatchObject({ name: 'KubeError', code });
  });

  it('a byte now and then: timeout', async () => {
    const { client } = await api(({ response }) => {
      const timer = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(timer));
    });
    expect((await listed(client, { timeoutMs: 200 })).error).toMatchObject({ code: 'timeout' });
  });
});

async function watched(client: KubeClient, idleMs = 10_000) {
  const events: WatchEvent[] = [];
  let opened = 0;
  const running = (async () => {
    const onOpen = (): void => void (opened += 1);
    for await (const event of client.watch({ path: '/api/v1/namespaces', idleMs, onOpen })) events.push(event);
  })();
  const error = await running.then(
    () => undefined,
    (reason: unknown) => reason as KubeError,
  );
  return { events, opened, error };
}

describe('a watch', () => {
  const object = { metadata: { name: 'grüße', resourceVersion: '7' } };

  it('gives its events in order, wherever the chunks are cut', async () => {
    const { client, asked } = await api(({ open, response }) => {
      open();
      const lines = ['ADDED', 'MODIFIED', 'BOOKMARK', 'DELETED'].map((type) => JSON.stringify({ type, object }));
      const bytes = Buffer.from(lines.join('\n'));
      for (let at = 0; at < bytes.length; at += 3) response.write(bytes.subarray(at, at + 3));
      response.end();
    });
    const { events, opened, error } = await watched(client);
    expect(error).toBeUndefined();
    expect(opened).toBe(1);
    expect(events.map(({ type }) => type)).toEqual(['ADDED', 'MODIFIED', 'BOOKMARK', 'DELETED']);
    expect(events.map((event) => event.object)).toEqual([object, object, object, object]);
    expect(asked[0]?.query.get('watch')).toBe('true');
  });

  it.each([
    { line: JSON.stringify({ type: 'ERROR', object: status(410, 'too old') }), code: 'gone' },
    { line: JSON.stringify({ type: 'ERROR', object: status(500, 'etcd') }), code: 'server' },
    { line: JSON.stringify({ type: 'ERROR' }), code: 'server' },
    { line: JSON.stringify({ type: 'ADDED' }), code: 'malformed' },
    { line: JSON.stringify({ type: 'ADDED', object: {} }), code: 'malformed' },
    { line: JSON.stringify({ object }), code: 'malformed' },
    { line: 'null', code: 'malformed' },
    { line: '<html>', code: 'malformed' },
  ])('$line: $code, after what came before', async ({ line, code }) => {
    const { client } = await api(({ open, event, response }) => {
      open();
      event('ADDED', object);
      response.end(`${line}\n`);
    });
    const { events, error } = await watched(client);
    expect(events).toHaveLength(1);
    expect(error).toMatchObject({ code });
  });

  it.each([
    [403, 'forbidden'],
    [410, 'gone'],
  ])('status %i: %s, and it never opened', async (code, expected) => {
    const { client } = await api(({ send }) => send(status(code, 'no'), code));
    const { opened, error } = await watched(client);
    expect(opened).toBe(0);
    expect(error).toMatchObject({ code: expected, message: 'watch /api/v1/namespaces: no' });
  });

  it('nothing at all for long: timeout', async () => {
    const { client } = await api(({ open }) => open());
    expect((await watched(client, 100)).error).toMatchObject({ code: 'timeout' });
  });

  it('a connection that is cut: unreachable', async () => {
    const { client } = await api(({ open, event, response }) => {
      open();
      event('ADDED', object);
      setTimeout(() => response.destroy(), 20);
    });
    expect((await watched(client)).error).toMatchObject({ code: 'unreachable' });
  });

  it('leaving the loop ends it on the server, too', async () => {
    const gone = Promise.withResolvers<void>();
    const { client } = await api(({ open, event, response }) => {
      open();
      event('ADDED', object);
      response.on('close', gone.resolve);
    });
    for await (const event of client.watch({ path: '/x', idleMs: 10_000 })) {
      expect(event.type).toBe('ADDED');
      break;
    }
    await gone.promise;
  });

  it('a server that takes the connection and says nothing: timeout', async () => {
    const server = createTcpServer(() => {});
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    closers.push(() => server.close());
    const client = clientOf(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    closers.push(() => client.close());
    const watching = client.watch({ path: '/x', timeoutMs: 100, idleMs: 60_000 }).next();
    expect(await failure(watching)).toMatchObject({ code: 'timeout' });
  });
});

describe('lines', () => {
  const lines = async (chunks: readonly (string | Buffer)[], most?: number): Promise<string[]> => {
    async function* stream() {
      for (const chunk of chunks) yield Buffer.from(chunk);
    }
    const found: string[] = [];
    for await (const together of readLines(stream(), most)) found.push(...together);
    return found;
  };

  it.each([
    { chunks: ['a\nb\n'], expected: ['a', 'b'] },
    { chunks: ['a', 'b\nc', '\n'], expected: ['ab', 'c'] },
    { chunks: ['\n\na\n\n'], expected: ['a'] },
    { chunks: ['a\nb'], expected: ['a', 'b'] },
    { chunks: [], expected: [] },
    { chunks: ['aaa', 'bbb', 'ccc', 'd\n', 'e'], expected: ['aaabbbcccd', 'e'] },
  ])('$chunks: $expected', async ({ chunks, expected }) => {
    expect(await lines(chunks)).toEqual(expected);
  });

  it('a character may come in pieces', async () => {
    const bytes = Buffer.from('é😀\n漢\n字');
    for (let at = 0; at <= bytes.length; at += 1) {
      expect(await lines([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(['é😀', '漢', '字']);
    }
    expect(await lines([...bytes].map((byte) => Buffer.from([byte])))).toEqual(['é😀', '漢', '字']);
    expect(await lines([bytes.subarray(0, -1)])).toEqual(['é😀', '漢', '\ufffd']);
  });

  it('a line longer than the limit is refused before it is whole', async () => {
    await expect(lines(['aaaa', 'aaaa', 'aaaa'], 10)).rejects.toMatchObject({ code: 'malformed' });
    expect(await lines(['aaaa\n', 'aaaa\n', 'aaaa\n'], 10)).toHaveLength(3);
  });
});
