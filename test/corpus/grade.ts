import type { ImageSourceCode } from '../../src/detection/image-source.ts';
import type { Verdict } from '../../src/policy/verdict.ts';
import type { Budget, Truth } from './corpus-image.ts';

/** The result of a look-up: a verdict, or the error of the image's source. */
export type Outcome =
  | { readonly verdict: Verdict; readonly executable?: string }
  | { readonly error: ImageSourceCode; readonly message: string };

export type Grade = 'right' | 'unknown' | 'WRONG';

/**
 * Grades an outcome. `unknown` has its own grade; any other difference from the truth is wrong. The resolver decides: an unknown
 * libc with the right resolver is right.
 */
export function grade(truth: Truth, outcome: Outcome): Grade {
  if ('error' in truth) {
    if ('error' in outcome) return outcome.error === truth.error ? 'right' : 'WRONG';
    return outcome.verdict.resolver === 'unknown' ? 'unknown' : 'WRONG';
  }
  if ('error' in outcome || (outcome.verdict.resolver === 'unknown' && truth.resolver !== 'unknown')) return 'unknown';
  const { resolver, libc } = outcome.verdict;
  const trueLibcs: readonly string[] = typeof truth.libc === 'string' ? [truth.libc] : truth.libc;
  return resolver === truth.resolver && ['unknown', ...trueLibcs].includes(libc) ? 'right' : 'WRONG';
}

export const MAX_REQUESTS = 6;
export const MAX_BYTES: Readonly<Record<Budget, number>> = { program: 64 << 10, base: 512 << 10 };
export const LEAST_RIGHT = 0.95;
