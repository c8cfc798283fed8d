import { describe, expect, it } from 'vitest';
import { unknownVerdict, type Libc, type Resolver } from '../../../src/policy/verdict.ts';
import { GLIBC, GO, MUSL, type Truth } from '../../corpus/corpus-image.ts';
import { grade, type Outcome } from '../../corpus/grade.ts';

function said(resolver: Resolver, libc: Libc): Outcome {
  return { verdict: { resolver, libc, evidence: { source: 'executable', detail: '', confidence: 1 } } };
}

const unknown: Outcome = { verdict: unknownVerdict('out of reach') };
const noImage: Outcome = { error: 'not-an-image', message: 'a chart' };
const staticCgo: Truth = { resolver: 'go', libc: ['none', 'musl'] };

describe('grade', () => {
  it.each([
    ['the truth is right', GLIBC, said('glibc', 'glibc'), 'right'],
    ['another resolver is wrong', MUSL, said('glibc', 'glibc'), 'WRONG'],
    ['the right resolver with another libc is wrong', GO, said('go', 'musl'), 'WRONG'],
    ['the right resolver with the libc left open is right', GO, said('go', 'unknown'), 'right'],
    ['one of several true libcs is right', staticCgo, said('go', 'musl'), 'right'],
    ['unknown is neither right nor wrong', MUSL, unknown, 'unknown'],
    ['unknown is right of what nobody can know', { resolver: 'unknown', libc: 'unknown' }, unknown, 'right'],
    ['an error where there is an image is no verdict', MUSL, noImage, 'unknown'],
    ['the expected error is right', { error: 'not-an-image' }, noImage, 'right'],
    ['another error is wrong', { error: 'no-platform' }, noImage, 'WRONG'],
    ['a verdict on what is no image is wrong', { error: 'not-an-image' }, said('go', 'none'), 'WRONG'],
    ['unknown on what is no image is unknown', { error: 'not-an-image' }, unknown, 'unknown'],
  ] as const)('%s', (_, truth, outcome, expected) => {
    expect(grade(truth, outcome)).toBe(expected);
  });
});
