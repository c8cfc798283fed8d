import { afterEach, describe, expect, it } from 'vitest';

import { splitCertificates, webhookRegistration } from '../../../src/certificates/registration.ts';
import type { TrustBundle } from '../../../src/certificates/trust-bundle.ts';
import { type Recording, recordingReporter } from '../../support/recording-reporter.ts';
import { type Asked, listOf, type SmallApi, startSmallApi, status } from '../kubernetes/small-api.ts';

const pem = (body: string): string => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----`;
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const PATH = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

interface Answers {
  readonly items?: readonly object[];
  readonly write?: (asked: Asked) => void;
}

interface Started {
  readonly api: SmallApi;
  readonly bundle: TrustBundle;
  readonly report: Recording;
}

async function start({ items = [], write }: Answers): Promise<Started> {
  const api = await startSmallApi((asked) => {
    if (asked.method !== 'GET') write?.(asked);
    else if (asked.query.get('watch') === 'true') asked.open();
    else asked.send({ ...listOf([]), items });
  });
  const report = recordingReporter();
  const bundle = webhookRegistration({
    client: api.client,
    name: 'hook',
    service: { namespace: 'system', name: 'webhook' },
    clock: { now: () => Date.now() },
    reporter: report.reporter,
  });
  closers.push(
    () => api.close(),
    () => bundle.close(),
  );
  return { api, bundle, report };
}

const configuration = (...webhooks: readonly unknown[]): object => ({
  metadata: { name: 'hook', resourceVersion: '7' },
  webhooks,
});

const entry = (name: string, service: string | undefined, caBundle?: unknown): object => ({
  name,
  clientConfig: {
    ...(service === undefined ? { url: 'https://127.0.0.1:1/' } : { service: { namespace: 'system', name: service } }),
    ...(caBundle !== undefined && { caBundle }),
  },
});

describe('the registration', () => {
  it.each<[string, object, readonly string[][]]>([
    ['no entries', configuration(), []],
    ['null for entries', { ...configuration(), webhooks: null }, []],
    ['entries of a wrong type', configuration('x'), []],
    ['no caBundle', configuration(entry('a', 'webhook')), [[]]],
    ['null for the caBundle', configuration(entry('a', 'webhook', null)), [[]]],
    ['nonsense in the caBundle', configuration(entry('a', 'webhook', '%%%')), [[]]],
    [
      'text around certificates',
      configuration(entry('a', 'webhook', base64(`#1\n${pem('QQ==')}\n#2\n${pem('Qg==')}x`))),
      [[pem('QQ=='), pem('Qg==')]],
    ],
    [
      'a certificate without an end',
      configuration(entry('a', 'webhook', base64(`-----BEGIN CERTIFICATE-----\nQQ==\n`))),
      [[]],
    ],
    [
      "others' entries",
      configuration(entry('a', 'other', base64(pem('QQ=='))), entry('b', 'webhook', base64(pem('Qg==')))),
      [[pem('Qg==')]],
    ],
    ['an entry with a URL', configuration(entry('a', undefined, base64(pem('QQ==')))), [[pem('QQ==')]]],
  ])('is read with %s', async (_name, object, bundles) => {
    const { bundle } = await start({ items: [object] });
    await expect.poll(() => bundle.seen).toEqual({ state: 'present', version: '7', bundles });
  });

  it('is waited for, by its name alone, and never made', async () => {
    const { api, bundle, report } = await start({});
    await expect.poll(() => bundle.seen).toEqual({ state: 'absent' });
    await expect.poll(() => api.asked.length).toBe(2);
    api.asked[1]?.event('ADDED', configuration(entry('a', 'webhook'), entry('b', 'other')));
    await expect.poll(() => bundle.seen).toMatchObject({ state: 'present' });
    api.asked[1]?.event('MODIFIED', configuration(entry('a', 'webhook', base64(pem('QQ=='))), entry('b', 'other')));
    await expect.poll(() => bundle.seen).toMatchObject({ bundles: [[pem('QQ==')]] });
    api.asked[1]?.event('DELETED', configuration());
    await expect.poll(() => bundle.seen).toEqual({ state: 'absent' });
    const fields = { registration: 'hook', service: 'system/webhook' };
    const missing = { level: 'info', message: 'nobody is registered to call us yet', fields };
    const ours = { level: 'info', message: 'our registration', fields: { ...fields, entries: 1 } };
    expect(report.lines).toEqual([missing, ours, missing]);
    expect(api.asked.map(({ method, path, query }) => `${method} ${path} ${query.get('fieldSelector')}`)).toEqual(
      [1, 2].map(() => `GET ${PATH} metadata.name=hook`),
    );
  });

  it('that calls another Service is warned of', async () => {
    const { report } = await start({ items: [configuration(entry('a', 'other'))] });
    await expect
      .poll(() => report.messages())
      .toEqual(['no entry of the registration calls our Service: check tls.service']);
    expect(report.lines[0]).toMatchObject({ level: 'warn', fields: { registration: 'hook' } });
  });

  it('is patched entry by entry, as the version that was read and nothing but the caBundle', async () => {
    const items = [
      configuration(entry('a', 'webhook'), entry('b', 'other'), entry('c', 'webhook'), entry('d', 'webhook')),
    ];
    const { api, bundle } = await start({ items, write: ({ send }) => send({ metadata: { name: 'hook' } }) });
    await expect.poll(() => bundle.seen).toMatchObject({ bundles: [[], [], []] });
    expect(await bundle.replace('7', [[pem('QQ==')], undefined, [pem('QQ=='), pem('Qg==')]])).toBe('written');
    const patch = api.asked.find(({ method }) => method === 'PATCH');
    expect(patch).toMatchObject({ path: `${PATH}/hook`, headers: { 'content-type': 'application/json-patch+json' } });
    expect(patch?.query.get('fieldManager')).toBe('libc-dns-webhook');
    expect(JSON.parse(patch?.body ?? '')).toEqual([
      { op: 'replace', path: '/metadata/resourceVersion', value: '7' },
      { op: 'test', path: '/webhooks/0/name', value: 'a' },
      { op: 'add', path: '/webhooks/0/clientConfig/caBundle', value: base64(`${pem('QQ==')}\n`) },
      { op: 'test', path: '/webhooks/3/name', value: 'd' },
      { op: 'add', path: '/webhooks/3/clientConfig/caBundle', value: base64(`${pem('QQ==')}\n${pem('Qg==')}\n`) },
    ]);
  });

  it.each([
    ['changed meanwhile', 409, 'conflict'],
    ['deleted meanwhile', 404, 'conflict'],
    ['forbidden', 403, 'forbidden'],
    ['refused', 422, 'invalid'],
  ])('%s', async (_name, code, expected) => {
    const { bundle } = await start({ write: ({ send }) => send(status(code, 'no'), code) });
    expect(await bundle.replace('7', []).catch((error: { code: string }) => error.code)).toBe(expected);
  });
});

describe('the certificates of a PEM text', () => {
  it('are found in linear time, whatever is there', () => {
    const begin = '-----BEGIN CERTIFICATE-----';
    expect(splitCertificates(begin.repeat(50_000))).toEqual([]);
    expect(splitCertificates(begin + 'A'.repeat(1_000_000))).toEqual([]);
    expect(splitCertificates('-'.repeat(1_000_000))).toEqual([]);
  });
});
