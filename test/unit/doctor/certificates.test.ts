import { beforeAll, describe, expect, it } from 'vitest';

import { ephemeralPair } from '../../../src/certificates/ephemeral.ts';
import {
  type CertificateEvidence,
  judgeLife,
  judgeTrust,
  readCertificates,
} from '../../../src/doctor/webhook/certificates.ts';
import { createCertificate } from '../../support/certificate.ts';

const HOUR = 3_600_000;
const NAMES = [{ type: 'dns', value: 'webhook.libc-dns.svc' }] as const;
const service = { namespace: 'libc-dns', name: 'webhook', port: 443 };
const now = Date.now();

let ours: { ca: string; cert: string };
let elsewhere: string;
let wrongName: { ca: string; cert: string };
beforeAll(async () => {
  ours = await ephemeralPair({ names: NAMES, now, days: 10 });
  wrongName = await ephemeralPair({ names: [{ type: 'dns', value: 'other' }], now, days: 10 });
  elsewhere = (await createCertificate(['elsewhere'])).cert;
});

const evidence = (change: Partial<CertificateEvidence> & { readonly caBundle?: string } = {}): CertificateEvidence => ({
  entries: [{ name: 'pods.libc-dns.dev', caBundle: change.caBundle ?? ours.ca, service }],
  served: [{ from: '10.0.0.7:10250', certificate: ours.cert }],
  now,
  ...change,
});

describe('trust', () => {
  it.each<[string, () => CertificateEvidence, string, RegExp]>([
    ['all is well', () => evidence(), 'ok', /holds the CA of what 1 replica serves/],
    ['an old CA beside it', () => evidence({ caBundle: elsewhere + ours.ca }), 'ok', /1 replica/],
    ['the certificate itself in the bundle', () => evidence({ caBundle: ours.cert }), 'ok', /1 replica/],
    ['no bundle', () => evidence({ caBundle: '' }), 'failure', /carries no caBundle/],
    ['a bundle without a certificate', () => evidence({ caBundle: 'nonsense' }), 'failure', /no readable certificate/],
    [
      'another CA',
      () => evidence({ caBundle: elsewhere }),
      'failure',
      /what 10\.0\.0\.7:10250 serves was not signed by a CA in the caBundle/,
    ],
    ['a year later', () => evidence({ now: now + 9000 * HOUR }), 'failure', /expired certificates only/],
    [
      'another name',
      () => evidence({ caBundle: wrongName.ca, served: [{ from: 'x', certificate: wrongName.cert }] }),
      'failure',
      /not for webhook\.libc-dns\.svc/,
    ],
    [
      'nobody answers',
      () => evidence({ served: [{ from: 'x', error: 'ECONNREFUSED' }] }),
      'failure',
      /x shows no certificate: ECONNREFUSED/,
    ],
    ['nobody was asked', () => evidence({ served: [], notAsked: 'WHY' }), 'skipped', /not seen: WHY/],
    [
      'the Secret has our CA',
      () => evidence({ served: [], stored: { secret: 'a/b', certificates: { 'current.crt': ours.ca } } }),
      'ok',
      /CA of Secret a\/b/,
    ],
    [
      'the Secret has a serving pair',
      () => evidence({ served: [], stored: { secret: 'a/b', certificates: { 'tls.crt': ours.cert } } }),
      'ok',
      /CA of Secret a\/b/,
    ],
    [
      'the Secret has another CA',
      () => evidence({ served: [], stored: { secret: 'a/b', certificates: { 'current.crt': elsewhere } } }),
      'failure',
      /does not hold the CA of Secret a\/b \(current\.crt\)/,
    ],
    [
      'the Secret is empty',
      () => evidence({ stored: { secret: 'a/b', certificates: {} } }),
      'failure',
      /holds no certificate/,
    ],
  ])('%s', (_, make, status, seen) => {
    const outcome = judgeTrust(make());
    expect(outcome.status).toBe(status);
    expect(outcome.seen).toMatch(seen);
  });
});

describe('life', () => {
  it.each<[string, () => CertificateEvidence, string, RegExp]>([
    ['young', () => evidence(), 'ok', /valid for 9 days more/],
    ['at three quarters', () => evidence({ now: now + 180 * HOUR }), 'ok', /valid for 2 days more/],
    [
      'not renewed',
      () => evidence({ now: now + 200 * HOUR }),
      'warning',
      /valid for 39 hours more .* and was not renewed in time/,
    ],
    [
      'expired',
      () => evidence({ now: now + 11 * 24 * HOUR }),
      'failure',
      /expired 24 hours ago|expired 1 days ago|expired 2\d hours ago/,
    ],
    ['not yet valid', () => evidence({ now: now - 100 * 24 * HOUR }), 'failure', /is not valid before/],
    ['nothing seen', () => ({ entries: [], served: [], now }), 'skipped', /no certificate was seen/],
  ])('%s', (_, make, status, seen) => {
    const outcome = judgeLife(make());
    expect(outcome.status).toBe(status);
    expect([outcome.seen, ...outcome.details].join('\n')).toMatch(seen);
  });
});

it('reads what can be read of a bundle, and not without end', () => {
  expect(readCertificates(`junk ${ours.ca} -----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----`)).toHaveLength(
    1,
  );
  expect(readCertificates(ours.ca.repeat(200))).toHaveLength(50);
  expect(readCertificates('-----BEGIN CERTIFICATE-----'.repeat(50_000))).toEqual([]);
});
