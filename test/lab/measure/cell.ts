import { shows, type Exchange } from '../capture/story.ts';
import type { Expectation } from '../scenarios/scenario.ts';
import type { Sample } from './look-up.ts';

/** Look-ups of one resolver in one Pod, with their packets. */
export interface Measured {
  readonly samples: readonly Sample[];
  /** The exchanges of each look-up, in the order of `samples`. */
  readonly exchanges: readonly (readonly Exchange[])[];
}

/** Returns the median of milliseconds. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

export interface Problem {
  /**
   * `disturbed`: a busy machine may be the cause. It may slow a look-up down, or pause a resolver between its two packets until
   * the first is answered; then there is no race, and the packets do not look as expected.
   */
  readonly kind: 'disturbed' | 'wrong';
  readonly text: string;
}

const wrong = (text: string): Problem => ({ kind: 'wrong', text });

const disturbed = (text: string): Problem => ({ kind: 'disturbed', text });

function timing({ atMostMs, atLeastMs }: Expectation, samples: readonly Sample[]): Problem[] {
  const times = samples.map(({ ms }) => ms);
  const [best, worst] = [Math.min(...times), Math.max(...times)];
  const problems: Problem[] = [];
  if (atMostMs !== undefined && worst > atMostMs) {
    problems.push(disturbed(`${worst.toFixed(0)} ms at worst, more than ${atMostMs}`));
  }
  if (atLeastMs !== undefined && best < atLeastMs) {
    problems.push(disturbed(`${best.toFixed(0)} ms at best, less than ${atLeastMs}: the fault was not there`));
  }
  return problems;
}

/** Returns the differences from what was expected; empty if there are none. */
export function judge(expected: Expectation, { samples, exchanges }: Measured, local: readonly string[]): Problem[] {
  const outcome = expected.outcome ?? 'found';
  const strange = samples.filter((sample) => sample.outcome !== outcome);
  const problems = timing(expected, samples);
  if (strange.length > 0) {
    const [{ outcome: came, error } = { outcome: '', error: '' }] = strange;
    problems.push(wrong(`${strange.length} of ${samples.length}: ${came} ${error}, expected: ${outcome}`));
  }
  for (const behaviour of expected.packets ?? []) {
    const without = exchanges.filter((story) => !shows(behaviour, story, local)).length;
    if (without > 0)
      problems.push(disturbed(`the packets of ${without} of ${exchanges.length} do not show ${behaviour}`));
  }
  return problems;
}
