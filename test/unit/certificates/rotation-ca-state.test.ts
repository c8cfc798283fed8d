import 'reflect-metadata';
import { KeyObject, webcrypto } from 'node:crypto';
import { inspect } from 'node:util';

import { BasicConstraintsExtension, X509CertificateGenerator } from '@peculiar/x509';
import { beforeAll, describe, expect, it } from 'vitest';

import { createAuthority, privatePem, type SigningCa } from '../../../src/certificates/authority.ts';
import { issueLeaf } from '../../../src/certificates/leaf.ts';
import { readCaState, trustedCas, writeCaState } from '../../../src/certificates/rotation.ts';
import { createTrust } from '../../../src/certificates/trust-bundle.ts';

const now = Date.now();
const lifetimeMs = 24 * 3_600_000;

type Data = Record<string, string>;

const stored = (state: Parameters<typeof writeCaState>[0]): Data =>
  Object.fromEntries(Object.entries(writeCaState(state)).filter(([, value]) => value !== undefined)) as Data;

/** A CA of somebody else's making. */
async function otherCa(
  algorithm: webcrypto.RsaHashedKeyGenParams | webcrypto.EcKeyGenParams,
  isCa = true,
): Promise<Data> {
  const signingAlgorithm = { name: algorithm.name, hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const notBefore = new Date(now - 1000);
  const extensions = [new BasicConstraintsExtension(isCa, undefined, true)];
  const made = await X509CertificateGenerator.createSelfSigned(
    { name: 'CN=Other', notBefore, notAfter: new Date(now + lifetimeMs), keys, signingAlgorithm, extensions },
    webcrypto,
  );
  return { 'current.crt': made.toString('pem'), 'current.key': privatePem(KeyObject.from(keys.privateKey)) };
}

const RSA = {
  name: 'RSASSA-PKCS1-v1_5',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: 'SHA-256',
};

describe('the data of the Secret', () => {
  let x: SigningCa;
  let y: SigningCa;
  let z: SigningCa;
  beforeAll(async () => {
    [x, y, z] = (await Promise.all([1, 2, 3].map(() => createAuthority({ now, lifetimeMs })))) as [
      SigningCa,
      SigningCa,
      SigningCa,
    ];
  });

  it('holds the CAs whole, and nothing of what is not there', () => {
    const { key: _none, ...previous } = z;
    const data = stored({ current: x, next: y, previous, promotedAt: now });
    expect(Object.keys(data)).toEqual([
      'current.crt',
      'current.key',
      'next.crt',
      'next.key',
      'previous.crt',
      'promoted',
    ]);
    const { state, problems } = readCaState(data);
    expect(problems).toEqual([]);
    expect(state && trustedCas(state).map(({ id }) => id)).toEqual([x.id, y.id, z.id]);
    expect(state?.promotedAt).toBe(now);
    expect(state && stored(state)).toEqual(data);
    expect(writeCaState({ current: x })).toMatchObject({
      'next.crt': undefined,
      'next.key': undefined,
      promoted: undefined,
    });
  });

  it('shows no key when it is printed by mistake', () => {
    const { state } = readCaState(stored({ current: x, next: y }));
    const body = privatePem(x.key).split('\n')[1] ?? '';
    expect(body.length).toBeGreaterThan(40);
    expect(inspect(state, { depth: 9 }) + JSON.stringify(state)).not.toContain(body);
  });

  it.each<[string, (data: Data) => Data, readonly string[]]>([
    ['nothing', () => ({}), ['current.crt: missing']],
    ['no key', ({ 'current.crt': cert = '' }) => ({ 'current.crt': cert }), ['current.key: missing']],
    ['no certificate', ({ 'current.key': key = '' }) => ({ 'current.key': key }), ['current.crt: missing']],
    [
      'a certificate cut short',
      (data) => ({ ...data, 'current.crt': data['current.crt']?.slice(0, 300) ?? '' }),
      ['current: no PEM certificate in it'],
    ],
    [
      'a key cut short',
      (data) => ({ ...data, 'current.key': data['current.key']?.slice(0, 90) ?? '' }),
      ['current: no usable PEM private key in it'],
    ],
    [
      "another CA's key",
      (data) => ({ ...data, 'current.key': privatePem(y.key) }),
      ['current: the key does not belong to the certificate'],
    ],
    ['far too much', (data) => ({ ...data, 'current.crt': 'x'.repeat(70_000) }), ['current.crt: longer than 65536']],
  ])('is refused with a reason: %s', (_name, edit, problems) => {
    expect(readCaState(edit(stored({ current: x })))).toEqual({ state: undefined, problems });
  });

  it("is refused with a reason: a server's certificate", async () => {
    const data = await otherCa({ name: 'ECDSA', namedCurve: 'P-256' }, false);
    expect(readCaState(data).problems).toEqual(["current: the certificate is not a CA's"]);
  });

  it('is refused with a reason: a kind of key that is not signed with', async () => {
    const data = await otherCa({ name: 'ECDSA', namedCurve: 'P-521' });
    expect(readCaState(data).problems).toEqual(['current: expected an ECDSA key on P-256 or P-384, or an RSA key']);
  });

  it.each([
    ['RSA', RSA],
    ['ECDSA on P-384', { name: 'ECDSA', namedCurve: 'P-384' }],
  ])("may be a person's own CA: %s", async (_name, algorithm) => {
    const { state } = readCaState(await otherCa(algorithm));
    const ca = state?.current;
    if (ca === undefined) throw new Error('expected a CA');
    const names = [{ type: 'dns', value: 'webhook.system.svc' }] as const;
    const { pair } = await issueLeaf({ ca, names, now, lifetimeMs, jitter: 0 });
    const trust = createTrust({ monotonic: () => 0 });
    trust.update({ state: 'present', version: '1', bundles: [[ca.cert]] });
    expect(trust.whyNot(pair.cert, now)).toBeUndefined();
  });

  it('is used as far as it goes, where what is wrong is not the current CA', () => {
    const data = {
      ...stored({ current: x, next: y }),
      'next.key': 'nonsense',
      'previous.crt': 'nonsense',
      promoted: 'today',
    };
    const { state, problems } = readCaState(data);
    expect(state).toMatchObject({ current: { id: x.id } });
    expect(Object.keys(state ?? {})).toEqual(['current']);
    expect(problems).toEqual(['next: no usable PEM private key in it', 'previous: no PEM certificate in it']);
  });

  it('does not count a CA twice', () => {
    const { state } = readCaState({ ...stored({ current: x, next: x }), 'previous.crt': x.cert });
    expect(Object.keys(state ?? {})).toEqual(['current']);
  });
});
