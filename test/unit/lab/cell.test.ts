import { describe, expect, it } from 'vitest';
import { judge, median } from '../../lab/measure/cell.ts';
import type { Sample } from '../../lab/measure/look-up.ts';
import type { Expectation } from '../../lab/scenarios/scenario.ts';

const found = (...times: number[]): Sample[] => times.map((ms) => ({ ms, outcome: 'found', error: '' }));
const failed: Sample = { ms: 1002, outcome: 'fails', error: 'EAI_AGAIN' };

describe('what was measured is judged by what had to come out', () => {
  it.each<{ title: string; expected: Expectation; samples: Sample[]; kinds: string[] }>([
    { title: 'as fast as it should be', expected: { atMostMs: 50 }, samples: found(6, 49), kinds: [] },
    { title: 'one too slow', expected: { atMostMs: 50 }, samples: found(6, 51), kinds: ['disturbed'] },
    { title: 'one that met no fault', expected: { atLeastMs: 4900 }, samples: found(5017, 6), kinds: ['disturbed'] },
    { title: 'one that failed', expected: {}, samples: [...found(6), failed], kinds: ['wrong'] },
    { title: 'all failed, as they should', expected: { outcome: 'fails' }, samples: [failed, failed], kinds: [] },
    {
      title: 'one found what none should',
      expected: { outcome: 'fails' },
      samples: [failed, ...found(6)],
      kinds: ['wrong'],
    },
    { title: 'no packets at all', expected: { packets: ['tcp'] }, samples: found(6), kinds: ['disturbed'] },
  ])('$title', ({ expected, samples, kinds }) => {
    const problems = judge(expected, { samples, exchanges: samples.map(() => []) }, []);
    expect(problems.map(({ kind }) => kind)).toEqual(kinds);
  });

  it('says what failed, and how', () => {
    const problems = judge({}, { samples: [...found(6), failed], exchanges: [] }, []);
    expect(problems[0]?.text).toBe('1 of 2: fails EAI_AGAIN, expected: found');
  });
});

it.each([
  { values: [3, 1, 2], middle: 2 },
  { values: [4, 1, 2, 3], middle: 2.5 },
  { values: [], middle: 0 },
])('the median of $values is $middle', ({ values, middle }) => {
  expect(median(values)).toBe(middle);
});
