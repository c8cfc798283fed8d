import { describe, expect, it } from 'vitest';

import { resolverName } from '../../../src/policy/verdict.ts';
import { decideFor, policy, verdict } from '../../support/policy.ts';

const withOptions = (...options: object[]) => ({ dnsConfig: { options } });

/** Options as in resolv.conf. */
const added = ({ change }: ReturnType<typeof decideFor>): string[] =>
  (change?.options ?? []).map(({ name, value }) => (value === undefined ? name : `${name}:${value}`));

describe('a Go program that is linked to a libc resolves through it', () => {
  it.each([
    { option: { name: 'no-aaaa' }, libc: 'glibc', resolver: 'glibc', remedy: ['options'] },
    { option: { name: 'no-aaaa' }, libc: 'musl', resolver: 'musl', remedy: ['retry'] },
    { option: { name: 'timeout' }, libc: 'glibc', resolver: 'glibc', remedy: ['options'] },
    { option: { name: 'no-aaaa' }, libc: 'none', resolver: 'go', remedy: [] },
    { option: { name: 'no-aaaa' }, libc: 'unknown', resolver: 'go', remedy: [] },
    { option: { name: 'timeout', value: '2' }, libc: 'glibc', resolver: 'go', remedy: [] },
    { option: { name: 'attempts:2' }, libc: 'musl', resolver: 'go', remedy: [] },
    { option: { name: 'edns0' }, libc: 'glibc', resolver: 'go', remedy: [] },
  ] as const)('where the Pod has an option that Go does not know: $option, $libc', (row) => {
    const decision = decideFor({ verdicts: [verdict('go', row.libc)], spec: withOptions(row.option) });
    expect(decision.containers.map(resolverName)).toEqual([row.resolver]);
    expect(decision.remedy).toEqual(row.remedy);
  });

  it('and the evidence names the option', () => {
    const { containers } = decideFor({ verdicts: [verdict('go', 'glibc')], spec: withOptions({ name: 'inet6' }) });
    expect(containers[0]?.evidence.detail).toBe(
      'test, resolves through its libc because of the option inet6, which Go does not know',
    );
  });

  it('also if it is one of several programs', () => {
    const both = { ...verdict('unknown'), resolvers: [verdict('go', 'musl'), verdict('go', 'none')] };
    const { containers } = decideFor({ verdicts: [both], spec: withOptions({ name: 'no-aaaa' }) });
    expect(containers.map(resolverName)).toEqual(['musl+go']);
  });

  it('where the option is one that we add for others in the Pod', () => {
    const config = policy({ extraOptions: { glibc: [{ name: 'no-aaaa' }] } });
    const verdicts = [verdict('go', 'musl'), verdict('glibc')];
    const decision = decideFor({ verdicts, config });
    expect(decision.containers.map(resolverName)).toEqual(['musl', 'glibc']);
    expect(added(decision)).toEqual(expect.arrayContaining(['timeout:5', 'attempts:10', 'no-aaaa']));
    const again = decideFor({ verdicts, config, spec: withOptions(...(decision.change?.options ?? [])) });
    expect(again.reason).toBe('AlreadyConfigured');
  });
});
