import { describe, expect, it } from 'vitest';

import { configSchema } from '../../../src/config/schema.ts';
import type { QueryResult } from '../../../src/doctor/dns/ask.ts';
import { judgeTcp, judgeUdp } from '../../../src/doctor/dns/checks.ts';
import { chanceOfAllAlike, judgeRace } from '../../../src/doctor/dns/race.ts';

const NAME = 'kubernetes.default.svc.cluster.local';
const good: QueryResult = { answer: { code: 'NOERROR', answers: 1 }, ms: 1.26 };
const coded = (code: string, answers = 0): QueryResult => ({ answer: { code, answers }, ms: 2 });
const silent: QueryResult = { error: 'no answer', ms: 2000 };
const from = (...all: QueryResult[]) => all.map((result, index) => ({ address: `10.0.0.${index + 1}`, result }));

describe('answers', () => {
  it.each<[QueryResult[], string, string]>([
    [[good], 'ok', 'answers over UDP: 10.0.0.1 in 1.3 ms'],
    [[good, good], 'ok', 'answers over UDP: 10.0.0.1 in 1.3 ms, 10.0.0.2 in 1.3 ms'],
    [[good, silent], 'failure', 'no answer over UDP from 10.0.0.2: no answer'],
    [[coded('NXDOMAIN')], 'warning', `answers, but knows no ${NAME} (10.0.0.1: NXDOMAIN)`],
    [[coded('NOERROR')], 'warning', `answers, but knows no ${NAME} (10.0.0.1: NOERROR)`],
    [[good, coded('SERVFAIL')], 'failure', 'the cluster DNS answers with an error (10.0.0.2: SERVFAIL)'],
  ])('over UDP: %j', (asked, status, seen) => {
    expect(judgeUdp(NAME, from(...asked))).toMatchObject({ status, seen });
  });

  it.each<[QueryResult, object, string]>([
    [good, {}, 'ok'],
    [coded('REFUSED'), {}, 'ok'],
    [silent, {}, 'warning'],
    [silent, { glibc: { tcpPreflight: false } }, 'failure'],
    [silent, { glibc: { options: ['single-request-reopen'] } }, 'ok'],
  ])('over TCP: %j with %j', (asked, settings, status) => {
    expect(judgeTcp(from(asked), configSchema.parse(settings)).status).toBe(status);
  });
});

describe('a race, or packets that get lost', () => {
  it.each([
    // packets in pairs, lost of them, single questions, lost of them
    [200, 0, 100, 0, 1],
    [10, 5, 100, 0, (10 / 110) ** 5],
    [200, 5, 400, 0, (1 / 3) ** 5],
    [100, 1, 100, 1, 0.75],
    [100, 50, 100, 50, 0.54],
    [10, 3, 0, 0, 1],
  ])('%d packets of pairs, %d lost, %d alone, %d lost: %d', (inPairs, lost, alone, lostAlone, chance) => {
    expect(chanceOfAllAlike(inPairs, lost, alone, lostAlone)).toBeCloseTo(chance, 2);
  });

  const pairs = (good2: number, lost: number) => [
    ...Array.from({ length: good2 }, () => ({ ms: 2, lost: [] })),
    ...Array.from({ length: lost }, () => ({ lost: ['AAAA'] as const, again: true })),
  ];
  it.each([
    [
      'nothing lost',
      pairs(100, 0),
      { sent: 100, lost: 0, webhook: false },
      'ok',
      /none of 100 look-ups .* \(2\.0 ms in the middle, 2\.0 ms at most\)/,
    ],
    [
      'the race',
      pairs(20, 5),
      { sent: 100, lost: 0, webhook: false },
      'failure',
      /5 of 25 look-ups lost one of its two answers: the race/,
    ],
    ['the race, and a webhook', pairs(20, 5), { sent: 100, lost: 0, webhook: true }, 'warning', /the race/],
    ['a single loss', pairs(99, 1), { sent: 400, lost: 0, webhook: false }, 'warning', /too few to call it a race/],
    ['losses everywhere', pairs(20, 5), { sent: 30, lost: 3, webhook: false }, 'warning', /no race/],
    [
      'losses of single questions alone',
      pairs(20, 0),
      { sent: 20, lost: 3, webhook: false },
      'warning',
      /3 of 20 single questions got lost/,
    ],
    ['no time', [], { sent: 0, lost: 0, webhook: false }, 'warning', /nothing was measured/],
  ])('%s', (_, measured, { webhook, ...alone }, status, seen) => {
    const outcome = judgeRace('10.96.0.10', { pairs: measured, alone }, webhook);
    expect(outcome.status).toBe(status);
    expect(outcome.seen).toMatch(seen);
  });
});
