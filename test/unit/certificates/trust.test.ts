import { beforeAll, describe, expect, it } from 'vitest';

import { createAuthority, type SigningCa, signLeaf } from '../../../src/certificates/authority.ts';
import { createTrust, type Registration } from '../../../src/certificates/trust-bundle.ts';

const HOUR = 3_600_000;
const now = Date.now();
const NAMES = [{ type: 'dns', value: 'webhook.system.svc' }] as const;

const carrying = (...bundles: readonly string[][]): Registration => ({ state: 'present', version: '1', bundles });

describe('what the API server trusts', () => {
  let x: SigningCa;
  let y: SigningCa;
  let expired: SigningCa;
  beforeAll(async () => {
    x = await createAuthority({ now, lifetimeMs: 24 * HOUR });
    y = await createAuthority({ now, lifetimeMs: 24 * HOUR });
    expired = await createAuthority({ now: now - 48 * HOUR, lifetimeMs: 24 * HOUR });
  });

  it('says why it would refuse a certificate', async () => {
    const trust = createTrust({ monotonic: () => 0 });
    const { cert } = await signLeaf({ ca: x, names: NAMES, now, lifetimeMs: HOUR });
    const missing = 'the caBundle of the registration does not hold the CA of the certificate';
    const whyNot = (registration: Registration, at = now): string | undefined => {
      trust.look(registration);
      return trust.whyNot(cert, at);
    };
    expect(whyNot({ state: 'unseen' })).toBe('the registration was not seen yet: no answer so far');
    expect(whyNot({ state: 'unseen', problem: 'forbidden' })).toBe('the registration was not seen yet: forbidden');
    expect(whyNot({ state: 'absent' })).toBeUndefined();
    expect(whyNot(carrying())).toBeUndefined();
    expect(whyNot(carrying([x.cert], [y.cert, x.cert]))).toBeUndefined();
    expect(whyNot(carrying([x.cert], [y.cert]))).toBe(missing);
    expect(whyNot(carrying([]))).toBe(missing);
    expect(whyNot(carrying(['nonsense', x.cert]))).toBeUndefined();
    expect(whyNot(carrying([x.cert]), now + HOUR)).toMatch(/^the certificate expired at 20/);
    expect(whyNot(carrying([x.cert]), now - HOUR)).toMatch(/^the certificate is not valid before 20/);
  });

  it('does not count a CA that is expired', async () => {
    const trust = createTrust({ monotonic: () => 0 });
    const { cert } = await signLeaf({ ca: { ...expired, notAfter: now + HOUR }, names: NAMES, now, lifetimeMs: HOUR });
    trust.look(carrying([expired.cert]));
    expect(trust.whyNot(cert, now)).toContain('does not hold the CA');
  });

  it('knows how long every entry has carried a CA without a break', () => {
    let time = 1000;
    const trust = createTrust({ monotonic: () => time });
    const carried = (): number[] => [x, y].map(({ id }) => trust.carried(id));
    const at = (later: number, registration: Registration): number[] => {
      time += later;
      trust.look(registration);
      time += 1;
      return carried();
    };
    expect(at(0, { state: 'unseen' })).toEqual([0, 0]);
    expect(at(0, carrying([x.cert]))).toEqual([1, 0]);
    expect(at(99, carrying([x.cert, y.cert], [x.cert]))).toEqual([101, 0]);
    expect(at(99, carrying([x.cert, y.cert], [x.cert, y.cert]))).toEqual([201, 1]);
    expect(at(99, carrying([y.cert], [x.cert, y.cert]))).toEqual([0, 101]);
    expect(at(99, carrying([x.cert, y.cert]))).toEqual([1, 201]);
    // Nobody is registered: nobody has to trust anything.
    expect(at(99, { state: 'absent' })).toEqual([1, 1]);
    expect(at(99, carrying())).toEqual([101, 101]);
    expect(at(99, carrying([x.cert]))).toEqual([1, 0]);
  });
});
