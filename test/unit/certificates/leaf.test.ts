import { X509Certificate } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { type Ca, createAuthority } from '../../../src/certificates/authority.ts';
import { issueLeaf, type Leaf, leafReason } from '../../../src/certificates/leaf.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NAMES = [{ type: 'dns', value: 'webhook.system.svc' }] as const;

const X: Ca = { id: 'x', cert: '', notBefore: 0, notAfter: 300 * DAY };
const Y: Ca = { id: 'y', cert: '', notBefore: 0, notAfter: 300 * DAY };
const leaf: Leaf = {
  pair: { cert: '', key: '' },
  issuer: X,
  notBefore: 10 * DAY,
  notAfter: 17 * DAY,
  renewAt: 14 * DAY,
};

describe('when a certificate is signed', () => {
  it.each<[string, { held?: Leaf; by?: Ca; day: number; carried?: Record<string, number> }, string | undefined]>([
    ['the first at once', { day: 10 }, 'first'],
    ['none by a CA that is expired', { day: 300 }, undefined],
    ['none by a CA that is not valid yet', { by: { ...X, notBefore: DAY }, day: 0 }, undefined],
    ['none in the first part of its life', { held: leaf, day: 13 }, undefined],
    ['a new one when it is due', { held: leaf, day: 14 }, 'due'],
    ['a new one when the clock went back before its life', { held: leaf, day: 9 }, 'invalid'],
    ['a new one when it expired while the machine was suspended', { held: leaf, day: 40 }, 'invalid'],
    ['none by a new CA that nobody trusts yet', { held: leaf, by: Y, day: 13, carried: { x: DAY } }, undefined],
    ['none by one trusted here and there', { held: leaf, by: Y, day: 13, carried: { x: DAY, y: 1 } }, undefined],
    ['one by a new CA that everybody trusts', { held: leaf, by: Y, day: 13, carried: { x: DAY, y: 1000 } }, 'ca'],
    ['one by a new CA where the old one is trusted no more', { held: leaf, by: Y, day: 13, carried: { y: 1 } }, 'ca'],
    [
      'one by whatever CA there is, when the old is over',
      { held: leaf, by: Y, day: 17, carried: { x: DAY } },
      'invalid',
    ],
  ])('%s', (_name, { held, by = X, day, carried = {} }, reason) => {
    const situation = { leaf: held, current: by, carried: ({ id }: Ca) => carried[id] ?? 0, overlap: 1000 };
    expect(leafReason(situation, day * DAY)).toBe(reason);
  });
});

describe('a certificate', () => {
  const now = Date.UTC(2026, 0, 1);

  it('is valid since an hour ago, for its lifetime, and renewed before two thirds of it are over', async () => {
    const ca = await createAuthority({ now, lifetimeMs: 300 * DAY });
    const early = await issueLeaf({ ca, names: NAMES, now: now + DAY, lifetimeMs: 7 * DAY, jitter: 1 });
    const late = await issueLeaf({ ca, names: NAMES, now: now + DAY, lifetimeMs: 7 * DAY, jitter: 0 });
    expect(early).toMatchObject({ notBefore: now + DAY - HOUR, notAfter: now + 8 * DAY });
    expect((early.renewAt - now - DAY) / (7 * DAY)).toBeCloseTo(0.6);
    expect((late.renewAt - now - DAY) / (7 * DAY)).toBeCloseTo(2 / 3);
    expect(new X509Certificate(late.pair.cert).checkHost('webhook.system.svc')).toBe('webhook.system.svc');
    expect(late.issuer).not.toHaveProperty('key');
  });

  it('neither begins before its CA nor outlives it', async () => {
    const ca = await createAuthority({ now, lifetimeMs: 2 * DAY });
    const { notBefore, notAfter } = await issueLeaf({ ca, names: NAMES, now, lifetimeMs: 7 * DAY, jitter: 0 });
    expect({ notBefore, notAfter }).toEqual({ notBefore: now - HOUR, notAfter: now + 2 * DAY });
  });
});
