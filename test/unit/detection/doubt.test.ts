import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { createDoubt } from '../../../src/detection/doubt.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const party = (host: string, tenant: string | undefined = 'a') => ({ host, tenant });

/** A look-up of `ms` that ends now. */
function ends(
  doubt: ReturnType<typeof createDoubt>,
  of: ReturnType<typeof party>,
  end: 'none' | 'deadline',
  ms: number,
) {
  vi.advanceTimersByTime(ms);
  doubt.ended(of, end, ms);
}

describe('a look-up', () => {
  it.each([
    ['none', false],
    ['not-found', false],
    ['unauthorized', false],
    ['no-platform', false],
    ['not-an-image', false],
    ['rate-limited', false],
    ['invalid-answer', false],
    ['unavailable', true],
    ['deadline', true],
    ['forbidden-host', true],
    ['shed', true],
    ['internal', true],
    ['disabled', true],
  ] as const)('at a host is doubtful until one has ended with an answer: %s, then %s', (end, expected) => {
    const doubt = createDoubt();
    expect(doubt.of(party('new.example'))).toBe(true);
    doubt.ended(party('new.example'), end, 10);
    expect(doubt.of(party('new.example', 'b'))).toBe(expected);
    expect(doubt.of(party('other.example'))).toBe(true);
  });

  it('for a person is not doubtful', () => {
    expect(createDoubt().of({ host: 'new.example', tenant: undefined })).toBe(false);
  });

  it('at a host that hung is doubtful for all until it answers', () => {
    const doubt = createDoubt();
    ends(doubt, party('a.example', 'x'), 'none', 10);
    ends(doubt, party('a.example', 'x'), 'deadline', 1500);
    expect(doubt.of(party('a.example', 'y'))).toBe(true);
    doubt.vouch('a.example');
    expect(doubt.of(party('a.example', 'y'))).toBe(true);
    ends(doubt, party('a.example', 'y'), 'none', 10);
    expect(doubt.of(party('a.example', 'y'))).toBe(false);
  });

  it('that hung at a host which answered others meanwhile says nothing about the host', () => {
    const doubt = createDoubt();
    ends(doubt, party('a.example', 'y'), 'none', 10);
    vi.advanceTimersByTime(1000);
    ends(doubt, party('a.example', 'y'), 'none', 10);
    doubt.ended(party('a.example', 'x'), 'deadline', 1005);
    expect(doubt.of(party('a.example', 'y'))).toBe(false);
  });

  it('of a namespace whose look-ups hung at hosts that had answered is doubtful everywhere, for a while', () => {
    const doubt = createDoubt();
    for (const host of ['known.example', 'trap.example']) ends(doubt, party(host, 'x'), 'none', 10);
    ends(doubt, party('trap.example', 'x'), 'deadline', 1500);
    expect([doubt.of(party('known.example', 'x')), doubt.of(party('known.example', 'y'))]).toEqual([true, false]);
    vi.advanceTimersByTime(60_000);
    expect(doubt.of(party('known.example', 'x'))).toBe(false);
  });

  it('that hung at a host which never answered does not make others of its namespace doubtful', () => {
    const doubt = createDoubt();
    ends(doubt, party('known.example', 'x'), 'none', 10);
    ends(doubt, party('dead.example', 'x'), 'deadline', 5000);
    expect([doubt.of(party('known.example', 'x')), doubt.of(party('dead.example', 'x'))]).toEqual([false, true]);
  });

  it('that failed at once is no reason for doubt', () => {
    const doubt = createDoubt();
    ends(doubt, party('a.example', 'x'), 'none', 10);
    ends(doubt, party('a.example', 'x'), 'deadline', 900);
    expect(doubt.of(party('a.example', 'x'))).toBe(false);
  });

  it('at a host that another replica has read is not doubtful', () => {
    const doubt = createDoubt();
    doubt.vouch('stored.example');
    expect(doubt.of(party('stored.example'))).toBe(false);
  });
});
