import { describe, expect, it } from 'vitest';

import { CASES, firstLook } from '../../../bench/trips.ts';
import { createCertificate } from '../../support/certificate.ts';

const certificate = await createCertificate();

describe('a first look', () => {
  it.each(CASES)('takes no more round trips than the protocol forces: $name', async (one) => {
    const { trips } = await firstLook(one, 0, certificate);
    expect(trips).toBe(one.forced.reduce((sum, [count]) => sum + count, 0));
  });
});
