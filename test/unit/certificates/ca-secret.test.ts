import { afterEach, describe, expect, it } from 'vitest';

import { caSecret } from '../../../src/certificates/ca-secret.ts';
import type { CaStore } from '../../../src/certificates/shared-ca.ts';
import { type Recording, recordingReporter } from '../../support/recording-reporter.ts';
import { type Asked, listOf, type SmallApi, startSmallApi, status } from '../kubernetes/small-api.ts';

const KEY = 'LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JR0hBZ0VBTUJNR0J5cUdTTTQ5QWdFR0NDcUdTTTQ5';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

interface Answers {
  /** Items of the list. */
  readonly items?: readonly object[];
  readonly write?: (asked: Asked) => void;
  readonly list?: (asked: Asked) => void;
}

interface Started {
  readonly api: SmallApi;
  readonly store: CaStore;
  readonly report: Recording;
  readonly watch: () => Asked;
}

async function start({ items = [], write, list }: Answers): Promise<Started> {
  const api = await startSmallApi((asked) => {
    if (asked.method !== 'GET') write?.(asked);
    else if (asked.query.get('watch') === 'true') asked.open();
    else if (list === undefined) asked.send({ ...listOf([]), items });
    else list(asked);
  });
  const clock = { now: () => Date.now() };
  const report = recordingReporter();
  const { reporter } = report;
  const store = caSecret({ client: api.client, namespace: 'system', name: 'ca', clock, reporter });
  closers.push(
    () => api.close(),
    () => store.close(),
  );
  const watch = (): Asked => {
    const found = api.asked.findLast(({ query }) => query.get('watch') === 'true');
    if (found === undefined) throw new Error('no watch yet');
    return found;
  };
  return { api, store, report, watch };
}

const secret = (more: object, metadata: object = {}): object => ({
  metadata: { name: 'ca', namespace: 'system', resourceVersion: '7', ...metadata },
  ...more,
});

describe('the Secret of the shared CAs', () => {
  it('is asked for by its name alone', async () => {
    const { api, store, watch } = await start({});
    await expect.poll(() => store.seen).toEqual({ state: 'absent' });
    await expect.poll(watch).toBeDefined();
    expect(
      new Set(api.asked.map(({ method, path, query }) => `${method} ${path} ${query.get('fieldSelector')}`)),
    ).toEqual(new Set(['GET /api/v1/namespaces/system/secrets metadata.name=ca']));
    expect(store.inContact).toBe(true);
  });

  it.each<[string, object, object]>([
    ['without data', secret({}), { data: {}, ours: false, asked: false }],
    ['with null for data', secret({ data: null }), { data: {} }],
    ['with data of a wrong type', secret({ data: { a: { b: 1 } } }), { data: {} }],
    ['decoded', secret({ data: { a: 'YQ==', b: '' } }), { data: { a: 'a', b: '' } }],
    ['with bytes that are no text', secret({ data: { a: '/////w==' } }), { data: { a: '\uFFFD\uFFFD\uFFFD\uFFFD' } }],
    ['ours', secret({}, { labels: { 'app.kubernetes.io/managed-by': 'libc-dns-webhook' } }), { ours: true }],
    ["somebody else's", secret({}, { labels: { 'app.kubernetes.io/managed-by': 'Helm' } }), { ours: false }],
    ['with a request', secret({}, { annotations: { 'libc-dns.dev/rotate': 'now' } }), { asked: true }],
    ['with an empty one', secret({}, { annotations: { 'libc-dns.dev/rotate': '' } }), { asked: false }],
  ])('is read %s', async (_name, object, expected) => {
    const { store } = await start({ items: [object] });
    await expect.poll(() => store.seen).toMatchObject({ state: 'present', version: '7', ...expected });
  });

  it('is followed: changed, deleted, made again', async () => {
    const { store, watch } = await start({ items: [secret({ data: { a: 'YQ==' } })] });
    let calls = 0;
    store.onChange(() => void (calls += 1));
    await expect.poll(() => store.seen).toMatchObject({ data: { a: 'a' } });
    await expect.poll(watch).toBeDefined();
    watch().event('MODIFIED', secret({ data: { a: 'Yg==' } }, { resourceVersion: '8' }));
    await expect.poll(() => store.seen).toMatchObject({ version: '8', data: { a: 'b' } });
    watch().event('DELETED', secret({}, { resourceVersion: '9' }));
    await expect.poll(() => store.seen).toEqual({ state: 'absent' });
    watch().event('ADDED', secret({ data: { a: 'Yw==' } }, { resourceVersion: '10' }));
    await expect.poll(() => store.seen).toMatchObject({ version: '10', data: { a: 'c' } });
    expect(calls).toBe(4);
  });

  it('says why it cannot be read, and is read when it can', async () => {
    let allowed = false;
    const { store, report } = await start({
      list: ({ send }) =>
        allowed ? send({ ...listOf([]), items: [secret({})] }) : send(status(403, 'you may not'), 403),
    });
    await expect
      .poll(() => store.seen)
      .toEqual({ state: 'unseen', problem: 'GET /api/v1/namespaces/system/secrets: you may not' });
    expect(store.inContact).toBe(false);
    allowed = true;
    await expect.poll(() => store.seen, { timeout: 5000 }).toMatchObject({ state: 'present' });
    expect(report.of('cluster.apiFailed')).toContainEqual(['ca', 'forbidden']);
    expect(report.messages('warn')).toEqual(['the Secret ca cannot be watched']);
    await expect.poll(() => report.messages('info')).toEqual(['over: the Secret ca cannot be watched']);
  });

  it('is made with what is there, and changed only as the version that was read', async () => {
    const { api, store } = await start({ write: ({ send }) => send({ metadata: { name: 'ca' } }) });
    const data = { 'current.crt': 'c', 'next.crt': undefined };
    expect(await store.create(data)).toBe('written');
    expect(await store.replace('7', data, false)).toBe('written');
    expect(await store.replace('8', data, true)).toBe('written');
    const writes = api.asked.filter(({ method }) => method !== 'GET');
    const labels = { 'app.kubernetes.io/managed-by': 'libc-dns-webhook' };
    expect(writes.map(({ method, path, body }) => [`${method} ${path}`, JSON.parse(body)])).toEqual([
      [
        'POST /api/v1/namespaces/system/secrets',
        { metadata: { name: 'ca', namespace: 'system', labels }, type: 'Opaque', data: { 'current.crt': 'Yw==' } },
      ],
      [
        'PATCH /api/v1/namespaces/system/secrets/ca',
        {
          metadata: { resourceVersion: '7', labels, annotations: {} },
          data: { 'current.crt': 'Yw==', 'next.crt': null },
        },
      ],
      [
        'PATCH /api/v1/namespaces/system/secrets/ca',
        {
          metadata: { resourceVersion: '8', labels, annotations: { 'libc-dns.dev/rotate': null } },
          data: { 'current.crt': 'Yw==', 'next.crt': null },
        },
      ],
    ]);
  });

  it.each<[string, number, 'create' | 'replace', string]>([
    ['another replica made it first', 409, 'create', 'conflict'],
    ['another replica changed it first', 409, 'replace', 'conflict'],
    ['it was deleted meanwhile', 404, 'replace', 'conflict'],
    ['its namespace is gone', 404, 'create', 'not-found'],
    ['it is forbidden', 403, 'create', 'forbidden'],
    ['it is immutable', 422, 'replace', 'invalid'],
  ])('%s', async (_name, code, call, expected) => {
    const { store } = await start({ write: ({ send }) => send(status(code, 'no'), code) });
    const written = call === 'create' ? store.create({}) : store.replace('1', {}, false);
    const result = await written.catch((error: { code: string }) => error.code);
    expect(result).toBe(expected);
  });

  it.each([
    ['whole', `denied: {"data":{"current.key":"${KEY}"}}`],
    ['cut short', 'x'.repeat(430) + KEY],
  ])('no answer gets a key into an error: %s', async (_name, message) => {
    const { store } = await start({ write: ({ send }) => send(status(400, message), 400) });
    const error = await store.create({}).catch((thrown: unknown) => thrown as Error);
    expect(error).toMatchObject({ code: 'invalid', message: expect.stringContaining('[…]') as string });
    expect(`${(error as Error).message} ${String((error as Error).cause)}`).not.toMatch(/LS0tLS1CRUdJTiBQUklW/);
  });
});
