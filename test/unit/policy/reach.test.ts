import { describe, expect, it, test } from 'vitest';

import type { PolicyConfig, Reach } from '../../../src/policy/model.ts';
import type { Resolver } from '../../../src/policy/verdict.ts';
import { decideFor, facts, policy, withNodeLocal } from '../../support/policy.ts';

const names = ({ change }: ReturnType<typeof decideFor>): string[] =>
  (change?.options ?? []).map(({ name }) => name).filter((name) => name !== 'ndots');

const BY = 'NetworkPolicy shop/allow-dns';
const by = { dnsTcp: BY, nodeLocalUdp: BY, nodeLocalTcp: BY };

interface Row {
  readonly resolvers: readonly Resolver[];
  readonly reach: Partial<Reach>;
  readonly reason: string;
  readonly remedy: readonly string[];
  readonly options: readonly string[];
  readonly config?: PolicyConfig;
}

const REOPEN = 'single-request-reopen';
const RETRY = ['timeout', 'attempts'];
const noFallback = withNodeLocal({ nodeLocal: { mode: 'on', addresses: ['169.254.20.10'], fallback: false } });

test.each<Row>([
  {
    resolvers: ['glibc'],
    reach: { dnsTcp: 'denied' },
    reason: 'TcpNotAllowed',
    remedy: ['options'],
    options: [REOPEN],
  },
  {
    resolvers: ['other'],
    reach: { dnsTcp: 'uncertain' },
    reason: 'TcpNotAllowed',
    remedy: ['options'],
    options: [REOPEN],
  },
  {
    resolvers: ['unknown'],
    reach: { dnsTcp: 'denied' },
    reason: 'TcpNotAllowed',
    remedy: ['options'],
    options: [REOPEN],
  },
  { resolvers: ['musl'], reach: { dnsTcp: 'denied' }, reason: 'MuslRetried', remedy: ['retry'], options: RETRY },
  // Where nothing is led to the cache, it does not matter.
  {
    resolvers: ['glibc'],
    reach: { nodeLocalUdp: 'denied', nodeLocalTcp: 'denied' },
    reason: 'OptionsAdded',
    remedy: ['options'],
    options: [REOPEN, 'use-vc'],
    config: withNodeLocal(),
  },
  // musl and the cache.
  {
    resolvers: ['musl'],
    reach: { nodeLocalUdp: 'denied' },
    reason: 'NodeLocalNotAllowed',
    remedy: ['retry'],
    options: [...RETRY, 'use-vc'],
    config: withNodeLocal(),
  },
  {
    resolvers: ['musl'],
    reach: { nodeLocalUdp: 'denied' },
    reason: 'NodeLocalNotAllowed',
    remedy: ['retry'],
    options: [...RETRY, 'use-vc'],
    config: noFallback,
  },
  {
    resolvers: ['musl'],
    reach: { nodeLocalUdp: 'uncertain' },
    reason: 'NodeLocalNotAllowed',
    remedy: ['retry'],
    options: [...RETRY, 'use-vc'],
    config: noFallback,
  },
  {
    resolvers: ['musl'],
    reach: { nodeLocalUdp: 'uncertain' },
    reason: 'MuslRedirected',
    remedy: ['redirect'],
    options: RETRY,
    config: withNodeLocal(),
  },
  {
    resolvers: ['musl'],
    reach: { nodeLocalTcp: 'denied' },
    reason: 'MuslRedirected',
    remedy: ['redirect'],
    options: RETRY,
    config: withNodeLocal(),
  },
  // Several kinds: what one of the servers does not answer over TCP, none is asked over TCP.
  {
    resolvers: ['glibc', 'musl'],
    reach: { nodeLocalUdp: 'denied' },
    reason: 'NodeLocalNotAllowed',
    remedy: ['options', 'retry'],
    options: [...RETRY, REOPEN, 'use-vc'],
    config: withNodeLocal(),
  },
  {
    resolvers: ['glibc', 'musl'],
    reach: { nodeLocalTcp: 'denied' },
    reason: 'TcpNotAllowed',
    remedy: ['options', 'redirect'],
    options: [...RETRY, REOPEN],
    config: withNodeLocal(),
  },
  {
    resolvers: ['glibc', 'musl'],
    reach: { dnsTcp: 'denied' },
    reason: 'TcpNotAllowed',
    remedy: ['options', 'redirect'],
    options: [...RETRY, REOPEN],
    config: withNodeLocal(),
  },
  {
    resolvers: ['glibc', 'musl'],
    reach: { dnsTcp: 'denied' },
    reason: 'MixedRedirected',
    remedy: ['options', 'redirect'],
    options: [...RETRY, REOPEN, 'use-vc'],
    config: noFallback,
  },
  {
    resolvers: ['glibc', 'musl'],
    reach: { nodeLocalTcp: 'uncertain' },
    reason: 'TcpNotAllowed',
    remedy: ['options', 'redirect'],
    options: [...RETRY, REOPEN],
    config: noFallback,
  },
  {
    resolvers: ['glibc', 'musl'],
    reach: { dnsTcp: 'denied', nodeLocalUdp: 'denied' },
    reason: 'TcpNotAllowed',
    remedy: ['options', 'retry'],
    options: [...RETRY, REOPEN],
    config: withNodeLocal(),
  },
])('$resolvers, $reach: $reason', ({ resolvers, reach, reason, remedy, options, config = policy() }) => {
  const decision = decideFor({ resolvers, config, reach: { ...reach, by } });
  expect(decision).toMatchObject({ reason, remedy });
  expect(names(decision)).toEqual(options);
  if (reason.endsWith('NotAllowed')) expect(decision.message).toContain(`See ${BY}.`);
});

test.each<[string, readonly Resolver[], Partial<Reach>, PolicyConfig]>([
  ['NodeLocalNotAllowed: See udp-to-cache', ['musl'], { dnsTcp: 'denied', nodeLocalUdp: 'denied' }, withNodeLocal()],
  ['TcpNotAllowed: See tcp-to-dns', ['glibc'], { dnsTcp: 'denied', nodeLocalUdp: 'denied' }, withNodeLocal()],
  ['TcpNotAllowed: See tcp-to-cache', ['glibc', 'musl'], { nodeLocalTcp: 'denied' }, noFallback],
])('%s', (expected, resolvers, reach, config) => {
  const each = { dnsTcp: 'tcp-to-dns', nodeLocalUdp: 'udp-to-cache', nodeLocalTcp: 'tcp-to-cache' };
  const { reason, message } = decideFor({ resolvers, config, reach: { ...reach, by: each } });
  expect(`${reason}: ${/See [a-z-]+/.exec(message)?.[0]}`).toBe(expected);
});

describe('policies that keep a Pod from TCP', () => {
  it('keep use-vc from c-ares in an image of musl, too, and Go is left alone', () => {
    expect(names(decideFor({ resolvers: ['musl'] }))).toContain('use-vc');
    expect(names(decideFor({ resolvers: ['musl'], reach: { dnsTcp: 'denied' } }))).toEqual(RETRY);
    expect(decideFor({ resolvers: ['go'], reach: { dnsTcp: 'denied' } }).reason).toBe('ResolverUnaffected');
  });

  it('are said to be unknown where no one is named', () => {
    expect(decideFor({ resolvers: ['glibc'], reach: { dnsTcp: 'uncertain' } }).message).toContain('cannot be');
  });

  const useVc = { dnsConfig: { options: [{ name: 'use-vc' }] } };
  const both = { dnsConfig: { options: [{ name: REOPEN }, { name: 'use-vc' }] } };

  it('take nothing from a Pod that has use-vc from its user, and change nothing about what is said', () => {
    const decision = decideFor({ resolvers: ['glibc'], spec: useVc, reach: { dnsTcp: 'denied' } });
    expect(decision).toMatchObject({ reason: 'OptionsAdded', change: { options: [{ name: REOPEN }] } });
  });

  it.each<{ spec: object; resolvers: readonly Resolver[]; dnsTcp: Reach['dnsTcp']; warned: string | undefined }>([
    { spec: useVc, resolvers: ['glibc'], dnsTcp: 'denied', warned: 'c0' },
    { spec: both, resolvers: ['musl', 'glibc', 'go'], dnsTcp: 'denied', warned: 'c1, c2' },
    { spec: both, resolvers: ['unknown'], dnsTcp: 'uncertain', warned: 'c0' },
    { spec: both, resolvers: ['glibc'], dnsTcp: 'allowed', warned: undefined },
    { spec: both, resolvers: ['musl'], dnsTcp: 'denied', warned: undefined },
    { spec: {}, resolvers: ['glibc'], dnsTcp: 'denied', warned: undefined },
  ])('are named in a warning where use-vc stays: $resolvers, $dnsTcp, $spec', ({ spec, resolvers, dnsTcp, warned }) => {
    const decision = decideFor({ resolvers, spec: { ...spec }, reach: { dnsTcp, by: { dnsTcp: BY } } });
    expect(decision.warnings).toEqual(
      warned === undefined
        ? []
        : [`use-vc sends the look-ups of ${warned} over TCP, and ${BY} may block them: allow TCP 53, or remove use-vc`],
    );
  });

  it('are in no warning where none can be named', () => {
    expect(decideFor({ resolvers: ['glibc'], spec: both, reach: { dnsTcp: 'uncertain' } }).warnings).toEqual([]);
  });

  it('leave nothing where use-vc is all that is configured', () => {
    const config = policy({ glibc: { options: [{ name: 'use-vc' }], tcpPreflight: true } });
    const decision = decideFor({ resolvers: ['glibc'], config, reach: { dnsTcp: 'denied', by } });
    expect(decision).toMatchObject({ reason: 'TcpNotAllowed', remedy: [] });
    expect(decision.change).toBeUndefined();
    const none = policy({ glibc: { options: [], tcpPreflight: true } });
    expect(decideFor({ resolvers: ['glibc'], config: none, reach: { dnsTcp: 'denied' } }).reason).toBe(
      'NothingConfigured',
    );
  });

  it('are the reason also where the cluster DNS has not answered over TCP: manifests are decided about without it', () => {
    const cluster = { ...facts, dnsOverTcp: false };
    expect(decideFor({ resolvers: ['glibc'], cluster, reach: { dnsTcp: 'denied' } }).reason).toBe('TcpNotAllowed');
    const decision = decideFor({ resolvers: ['glibc'], cluster });
    expect(decision.reason).toBe('OptionsAdded');
    expect(names(decision)).toEqual([REOPEN]);
  });

  it('count without the preflight too', () => {
    const config = policy({ glibc: { ...policy().glibc, tcpPreflight: false } });
    expect(decideFor({ resolvers: ['glibc'], config, reach: { dnsTcp: 'denied' } }).reason).toBe('TcpNotAllowed');
  });
});

describe('nameservers of the Pod’s own', () => {
  const withServers = (...nameservers: string[]) => ({ dnsConfig: { nameservers } });

  it('that nobody has asked over TCP: no use-vc, and the message says which', () => {
    const decision = decideFor({ resolvers: ['glibc'], spec: withServers('192.0.2.1') });
    expect(decision.reason).toBe('OptionsAdded');
    expect(names(decision)).toEqual([REOPEN]);
    expect(decision.message).toContain('nobody has asked 192.0.2.1 over TCP');
  });

  it.each([
    ['the cluster DNS itself', facts, withServers('10.96.0.10')],
    ['one that the kubelet drops', { ...facts, dns: ['10.96.0.10', 'fd00::a', 'fd00::b'] }, withServers('192.0.2.1')],
  ])('%s: use-vc', (_what, cluster, spec) => {
    expect(names(decideFor({ resolvers: ['glibc'], cluster, spec }))).toContain('use-vc');
  });

  it('the node-local cache counts as asked where Pods are led to it', () => {
    const spec = withServers('169.254.20.10');
    expect(names(decideFor({ resolvers: ['glibc'], config: withNodeLocal(), spec }))).toContain('use-vc');
    expect(names(decideFor({ resolvers: ['glibc'], spec }))).not.toContain('use-vc');
    const reach = { nodeLocalTcp: 'denied' } as const;
    expect(names(decideFor({ resolvers: ['glibc'], config: withNodeLocal(), spec, reach }))).not.toContain('use-vc');
  });

  it('configured ones that a redirect adds count as well', () => {
    const config = withNodeLocal({ musl: { ...policy().musl, extraNameservers: ['192.0.2.9'] } });
    const decision = decideFor({ resolvers: ['glibc', 'musl'], config });
    expect(decision.reason).toBe('MixedRedirected');
    expect(names(decision)).not.toContain('use-vc');
  });
});
