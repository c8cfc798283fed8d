import { describe, expect, it } from 'vitest';

import { decideFor, facts, policy, withNodeLocal } from '../../support/policy.ts';

const options = (decision: ReturnType<typeof decideFor>): string[] =>
  (decision.change?.options ?? []).map(({ name, value }) => (value === undefined ? name : `${name}:${value}`));

describe('a Pod of several kinds whose user wrote nameservers', () => {
  it.each([
    { user: ['10.96.0.10'], becomes: ['10.96.0.10', '169.254.20.10'] },
    { user: ['9.9.9.9', '10.96.0.10'], becomes: ['10.96.0.10', '169.254.20.10', '9.9.9.9'] },
    { user: ['9.9.9.9'], becomes: ['10.96.0.10', '169.254.20.10', '9.9.9.9'] },
    { user: ['169.254.20.10', '10.96.0.10'], becomes: ['10.96.0.10', '169.254.20.10'] },
    { user: ['9.9.9.9', '169.254.20.10'], becomes: ['10.96.0.10', '9.9.9.9', '169.254.20.10'] },
    { user: ['10.96.0.10', '169.254.20.10'], becomes: undefined },
  ])('$user: the cluster DNS first, as the kubelet has it, and the cache behind it', ({ user, becomes }) => {
    const spec = { dnsConfig: { nameservers: user } };
    const decision = decideFor({ resolvers: ['musl', 'glibc'], spec, config: withNodeLocal() });
    expect(decision.reason).toBe('MixedRedirected');
    expect(decision.change?.nameservers).toEqual(becomes);
  });

  it.each([
    { user: ['9.9.9.9', '169.254.20.10'], becomes: ['169.254.20.10', '9.9.9.9'] },
    { user: ['9.9.9.9'], becomes: ['169.254.20.10', '9.9.9.9'] },
    { user: ['9.9.9.9', '10.96.0.10'], becomes: ['10.96.0.10', '169.254.20.10', '9.9.9.9'] },
  ])('$user without fallback: the cache stands in for the cluster DNS', ({ user, becomes }) => {
    const config = withNodeLocal({ nodeLocal: { mode: 'on', addresses: ['169.254.20.10'], fallback: false } });
    const spec = { dnsConfig: { nameservers: user } };
    expect(decideFor({ resolvers: ['musl', 'glibc'], spec, config }).change?.nameservers).toEqual(becomes);
  });

  it.each([
    { resolvers: ['musl', 'glibc'], reason: 'NameserversFull' },
    { resolvers: ['musl'], reason: 'MuslRedirected' },
  ] as const)('no place for the first cluster DNS server: $resolvers is $reason', ({ resolvers, reason }) => {
    const cluster = { ...facts, dns: ['10.96.0.10', 'fd00:10:96::a'] };
    const spec = { dnsConfig: { nameservers: ['fd00:10:96::a', '9.9.9.9'] } };
    expect(decideFor({ resolvers, spec, cluster, config: withNodeLocal() }).reason).toBe(reason);
  });

  it('c-ares in an image of musl asks the cluster DNS before theirs, too', () => {
    const spec = { dnsConfig: { nameservers: ['9.9.9.9', '10.96.0.10', '169.254.20.10'] } };
    const { change } = decideFor({ resolvers: ['musl'], spec, config: withNodeLocal() });
    expect(change?.nameservers).toEqual(['10.96.0.10', '9.9.9.9', '169.254.20.10']);
  });
});

describe('a Pod that we redirected, and that another webhook has since changed', () => {
  const annotation = '{"reason":"MuslRedirected","remedy":["redirect"],"resolvers":{"c0":"musl"}}';
  const metadata = { annotations: { 'libc-dns.dev/decision': annotation } };
  const muslOptions = [
    { name: 'timeout', value: '5' },
    { name: 'attempts', value: '10' },
  ];
  const spec = { dnsPolicy: 'None', dnsConfig: { nameservers: ['169.254.20.10'], options: muslOptions } };

  it('gets the options for a glibc sidecar added behind us', () => {
    const decision = decideFor({ resolvers: ['musl', 'glibc'], spec, metadata, config: withNodeLocal() });
    expect(decision).toMatchObject({ reason: 'MixedRedirected', remedy: ['options', 'redirect'] });
    expect(options(decision)).toEqual(['single-request-reopen', 'use-vc']);
    expect(decision.change).not.toHaveProperty('nameservers');
  });

  it.each([
    { written: ['169.254.20.10', '10.96.0.10'], becomes: ['10.96.0.10', '169.254.20.10'] },
    { written: ['169.254.20.10', '10.96.0.10', '9.9.9.9'], becomes: ['10.96.0.10', '169.254.20.10', '9.9.9.9'] },
    { written: ['169.254.20.10', '9.9.9.9', '10.96.0.10'], becomes: ['10.96.0.10', '169.254.20.10', '9.9.9.9'] },
    { written: ['9.9.9.9', '169.254.20.10'], becomes: ['169.254.20.10', '9.9.9.9'] },
    { written: ['10.96.0.10', '169.254.20.10'], becomes: undefined },
    { written: ['169.254.20.10', '9.9.9.9'], becomes: undefined },
  ])('asks the cluster DNS before the cache from then on: $written', ({ written, becomes }) => {
    const redirected = { ...spec, dnsConfig: { ...spec.dnsConfig, nameservers: written } };
    const decision = decideFor({ resolvers: ['musl', 'glibc'], spec: redirected, metadata, config: withNodeLocal() });
    expect(decision.change?.nameservers).toEqual(becomes);
    const alone = decideFor({ resolvers: ['musl'], spec: redirected, metadata, config: withNodeLocal() });
    expect(alone.reason).toBe('AlreadyConfigured');
  });

  it('keeps an order that was chosen for several kinds', () => {
    const mixed = annotation.replace('MuslRedirected', 'MixedRedirected');
    const asWritten = { ...spec, dnsConfig: { nameservers: ['169.254.20.10', '10.96.0.10'], options: muslOptions } };
    const input = { resolvers: ['musl', 'glibc'], spec: asWritten, config: withNodeLocal() } as const;
    const decision = decideFor({ ...input, metadata: { annotations: { 'libc-dns.dev/decision': mixed } } });
    expect(decision.change).not.toHaveProperty('nameservers');
  });

  it('gets nothing where nothing is missing', () => {
    expect(decideFor({ resolvers: ['musl'], spec, metadata, config: withNodeLocal() }).reason).toBe(
      'AlreadyConfigured',
    );
  });

  it.each(['', '{', 'null', '"redirect"', '{"remedy":"redirect"}', '{"remedy":["options"]}'])(
    'an annotation that says no redirect of ours (%j) leaves dnsPolicy None alone',
    (text) => {
      const annotations = { 'libc-dns.dev/decision': text };
      expect(decideFor({ resolvers: ['musl'], spec, metadata: { annotations } }).reason).toBe('PolicyNone');
    },
  );
});

describe('a retry says why it is no redirect', () => {
  const useVc = { dnsConfig: { options: [{ name: 'use-vc' }] } };
  const nodeLocal = { mode: 'on', addresses: ['169.254.20.10'], fallback: true } as const;
  const musl = { ...policy().musl, remedy: 'retry' } as const;

  it.each([
    { config: policy(), says: 'No node-local cache is known: where one runs, nodeLocal.mode or' },
    { config: withNodeLocal({ mixedPods: 'retry' }), says: 'mixedPods is retry.' },
    { config: withNodeLocal({ musl }), says: 'musl.remedy is retry.' },
    { config: withNodeLocal({ nodeLocal: { ...nodeLocal, mode: 'off' } }), says: 'nodeLocal.mode is off.' },
    {
      config: withNodeLocal({ nodeLocal: { ...nodeLocal, fallback: false } }),
      spec: useVc,
      says: 'The Pod has use-vc, and the node-local DNS cache is not known to answer over TCP: no redirect.',
    },
  ])('$says', ({ config, spec = {}, says }) => {
    const cluster = { ...facts, dnsOverTcp: false };
    const { reason, message } = decideFor({ resolvers: ['musl', 'glibc'], config, spec, cluster });
    expect(reason).toBe('MixedRetried');
    expect(message).toContain(says);
    expect(message.includes('turns the redirect on')).toBe(says.startsWith('No node-local'));
  });
});
