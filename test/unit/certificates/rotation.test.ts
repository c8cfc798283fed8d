import { createPrivateKey, generateKeyPairSync } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import type { Ca, SigningCa } from '../../../src/certificates/authority.ts';
import { applyStep, type CaState, nextStep, type Step } from '../../../src/certificates/rotation.ts';

const DAY = 24 * 3_600_000;
const MINUTE = 60_000;
const TIMES = { overlap: 2 * MINUTE, retire: 7 * DAY };
const key = createPrivateKey(
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
);

/** A CA that is valid for 300 days from the given day on. */
const ca = (id: string, day: number): SigningCa => ({
  id,
  cert: `cert of ${id}`,
  key,
  notBefore: day * DAY,
  notAfter: (day + 300) * DAY,
});

const X = ca('x', 0);
const Y = ca('y', 200);
const old = ({ key: _none, ...rest }: SigningCa): Ca => rest;

interface Row {
  readonly state: CaState;
  /** Days. */
  readonly at: number;
  readonly asked?: boolean;
  /** Milliseconds, of every CA. */
  readonly carried?: number;
  readonly seen?: number;
  readonly step: Step;
}

describe('the next step of a change-over', () => {
  it.each<[string, Row]>([
    ['nothing, while the CA is young', { state: { current: X }, at: 199, step: { do: 'wait' } }],
    ['a next CA at two thirds of its life', { state: { current: X }, at: 200, step: { do: 'prepare', why: 'due' } }],
    ['a next CA when asked', { state: { current: X }, at: 1, asked: true, step: { do: 'prepare', why: 'asked' } }],
    ['a next CA when it is expired', { state: { current: X }, at: 300, step: { do: 'prepare', why: 'invalid' } }],
    ['a next CA when it is not valid yet', { state: { current: X }, at: -1, step: { do: 'prepare', why: 'invalid' } }],
    [
      'the next CA waits until the registration has carried it',
      { state: { current: X, next: Y }, at: 201, carried: 0, seen: DAY, step: { do: 'wait' } },
    ],
    [
      'and for as long as the overlap',
      { state: { current: X, next: Y }, at: 201, carried: 2 * MINUTE - 1, seen: DAY, step: { do: 'wait' } },
    ],
    [
      'then it signs',
      { state: { current: X, next: Y }, at: 201, carried: 2 * MINUTE, seen: DAY, step: { do: 'promote', next: Y } },
    ],
    [
      'a second request during a change-over waits for its end',
      { state: { current: X, next: Y }, at: 201, asked: true, carried: 0, step: { do: 'wait' } },
    ],
    [
      'a next CA that is not valid is of no use',
      { state: { current: X, next: Y }, at: 199, carried: DAY, seen: DAY, step: { do: 'drop-next' } },
    ],
    [
      'in place of an expired CA it waits ten seconds, carried or not',
      { state: { current: X, next: Y }, at: 301, carried: 0, seen: 9999, step: { do: 'wait' } },
    ],
    [
      'and no more',
      { state: { current: X, next: Y }, at: 301, carried: 0, seen: 10_000, step: { do: 'promote', next: Y } },
    ],
    [
      'the previous CA stays for the life of the certificates it signed',
      { state: { current: Y, previous: old(X), promotedAt: 201 * DAY }, at: 207, seen: DAY, step: { do: 'wait' } },
    ],
    [
      'and then leaves',
      { state: { current: Y, previous: old(X), promotedAt: 201 * DAY }, at: 208, seen: DAY, step: { do: 'retire' } },
    ],
    [
      'not on the word of a clock that has just jumped',
      { state: { current: Y, previous: old(X), promotedAt: 201 * DAY }, at: 208, seen: MINUTE, step: { do: 'wait' } },
    ],
    [
      'without a date it leaves when it expires',
      { state: { current: Y, previous: old(X) }, at: 299, seen: DAY, step: { do: 'wait' } },
    ],
    ['which is soon enough', { state: { current: Y, previous: old(X) }, at: 300, seen: DAY, step: { do: 'retire' } }],
  ])('%s', (_name, { state, at, asked = false, carried = 0, seen = 0, step }) => {
    expect(nextStep({ state, asked, carried: () => carried, seen }, TIMES, at * DAY)).toEqual(step);
  });
});

describe('what a step makes of the state', () => {
  const create = (): Promise<SigningCa> => Promise.resolve(Y);

  it.each<[string, CaState, Exclude<Step, { do: 'wait' }>, CaState]>([
    ['prepare', { current: X }, { do: 'prepare', why: 'due' }, { current: X, next: Y }],
    ['drop-next', { current: X, next: Y }, { do: 'drop-next' }, { current: X }],
    [
      'promote: the key of the previous CA is forgotten',
      { current: X, next: Y },
      { do: 'promote', next: Y },
      { current: Y, previous: old(X), promotedAt: 42 },
    ],
    ['retire', { current: Y, previous: old(X), promotedAt: 1 }, { do: 'retire' }, { current: Y }],
  ])('%s', async (_name, before, step, after) => {
    expect(await applyStep(before, step, 42, create)).toEqual(after);
  });
});
