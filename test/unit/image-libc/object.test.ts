import { describe, expect, it } from 'vitest';

import { createSharedValues } from '../../../src/image-libc/object.ts';
import type { Verdict } from '../../../src/policy/verdict.ts';

const verdict = (detail: string, confidence = 0.9): Verdict => ({
  resolver: 'musl',
  libc: 'musl',
  evidence: { source: 'executable', detail, confidence },
});

describe('what thousands of ImageLibcs say alike', () => {
  it('is kept once', () => {
    const shared = createSharedValues();
    const first = shared.verdict(verdict('/app: interpreter'));
    expect(shared.verdict(verdict('/app: interpreter'))).toBe(first);
  });

  it.each([
    verdict('/other: interpreter'),
    verdict('/app: interpreter', 0.5),
    { ...verdict('/app: interpreter'), libc: 'unknown' as const },
  ])('stays apart where it differs: %o', (other) => {
    const shared = createSharedValues();
    shared.verdict(verdict('/app: interpreter'));
    expect(shared.verdict(other)).toBe(other);
  });

  it('is not remembered without limit', () => {
    const shared = createSharedValues(2);
    const first = shared.verdict(verdict('1'));
    shared.verdict(verdict('2'));
    shared.verdict(verdict('3'));
    expect(shared.verdict(verdict('1'))).not.toBe(first);
    expect(shared.text('still itself')).toBe('still itself');
  });
});
