import { describe, expect, it } from 'vitest';

import { decideFor, policy, withNodeLocal } from '../../support/policy.ts';

/** DNS settings with one option that makes the options line of the unpatched Pod so many bytes long. */
const filling = (bytes: number) => ({
  dnsConfig: { options: [{ name: 'x'.repeat(bytes - 'options ndots:5 '.length) }] },
});

describe('an options line that musl skips', () => {
  it.each([
    { resolvers: ['musl'], bytes: 254, config: policy(), reason: 'OptionsTooLong' },
    { resolvers: ['musl'], bytes: 254, config: withNodeLocal(), reason: 'OptionsTooLong' },
    { resolvers: ['unknown'], bytes: 254, config: policy(), reason: 'OptionsTooLong' },
    { resolvers: ['glibc', 'musl'], bytes: 204, config: policy(), reason: 'OptionsTooLong' },
    { resolvers: ['glibc', 'musl'], bytes: 203, config: policy(), reason: 'MixedRetried' },
    { resolvers: ['glibc'], bytes: 254, config: policy(), reason: 'OptionsAdded' },
  ] as const)('is not made, for ndots would be lost: $resolvers, $bytes bytes before', (row) => {
    const { resolvers, bytes, config, reason } = row;
    const decision = decideFor({ resolvers, spec: filling(bytes), config });
    expect(decision).toMatchObject({ reason, warnings: [] });
    expect(decision.change === undefined).toBe(reason === 'OptionsTooLong');
  });

  it('and is there already is told, and loses nothing more', () => {
    const { reason, warnings } = decideFor({ resolvers: ['musl'], spec: filling(255) });
    expect(reason).toBe('MuslRetried');
    expect(warnings).toEqual([
      'the options line has 255 bytes, and musl (c0) skips one of more than 254: ndots, timeout and attempts have no effect',
    ]);
    expect(decideFor({ resolvers: ['glibc'], spec: filling(255) }).warnings).toEqual([]);
  });
});
