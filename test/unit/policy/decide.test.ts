import { describe, expect, it } from 'vitest';

import { precheck } from '../../../src/policy/decide.ts';
import type { PolicyConfig } from '../../../src/policy/model.ts';
import { readPod } from '../../../src/policy/read-pod.ts';
import { type Reason, REASONS } from '../../../src/policy/reasons.ts';
import { unknownVerdict, type Verdict } from '../../../src/policy/verdict.ts';
import { decideFor, enforced, facts, podWith, policy, verdict, withNodeLocal } from '../../support/policy.ts';

const options = (decision: ReturnType<typeof decideFor>): string[] =>
  (decision.change?.options ?? []).map(({ name, value }) => (value === undefined ? name : `${name}:${value}`));

const LONG = Array.from({ length: 9 }, (_, index) => `a-rather-long-search-domain-${index}.example`);

describe('the remedies', () => {
  it.each([
    { resolvers: ['glibc'], reason: 'OptionsAdded' },
    { resolvers: ['other'], reason: 'OptionsAdded' },
    { resolvers: ['glibc', 'go'], reason: 'OptionsAdded' },
    { resolvers: ['unknown'], reason: 'UnknownOptions' },
    { resolvers: ['glibc', 'unknown'], reason: 'UnknownOptions' },
  ] as const)('$resolvers: the options', ({ resolvers, reason }) => {
    const decision = decideFor({ resolvers, config: withNodeLocal() });
    expect(decision).toMatchObject({ reason, remedy: ['options'], change: {} });
    expect(decision.change).not.toHaveProperty('dnsPolicy');
    expect(options(decision)).toEqual(['single-request-reopen', 'use-vc']);
  });

  it('Go alone: nothing, for it is not raced', () => {
    const decision = decideFor({ resolvers: ['go', 'go'], config: withNodeLocal() });
    expect(decision).toMatchObject({ reason: 'ResolverUnaffected', remedy: [] });
    expect(decision).not.toHaveProperty('change');
    expect(decision.message).toBe('Go asks from two sockets: there is nothing to repair.');
  });

  it.each([
    { resolvers: ['go', 'musl'], others: ['go', 'musl'] },
    { resolvers: ['musl', 'glibc'], others: ['musl', 'glibc'] },
    { resolvers: ['musl', 'unknown'], others: ['musl', 'unknown'] },
    { resolvers: ['go', 'unknown'], others: ['unknown', 'go'] },
    { resolvers: ['go', 'go'], others: ['go'] },
  ] as const)('a container that may run $resolvers: what a Pod of $others gets', ({ resolvers, others }) => {
    const candidates = resolvers.map((resolver) => ({ ...verdict(resolver), executable: `/${resolver}` }));
    const several: Verdict = { ...verdict(resolvers[0]), resolvers: candidates };
    const one = decideFor({ verdicts: [several], config: withNodeLocal() });
    const many = decideFor({ resolvers: others, config: withNodeLocal() });
    expect({ change: one.change, reason: one.reason, remedy: one.remedy }).toEqual({
      change: many.change,
      reason: many.reason,
      remedy: many.remedy,
    });
  });

  it('a container whose programs are known, but not which of them stays: no more than these need', () => {
    const unsure: Verdict = {
      ...unknownVerdict('either'),
      resolvers: [verdict('go'), { ...verdict('go'), executable: '/b' }],
    };
    expect(decideFor({ verdicts: [unsure] })).toMatchObject({ reason: 'ResolverUnaffected' });
  });

  it('says which program is not known', () => {
    const candidates = [verdict('go'), unknownVerdict('/x: out of reach')];
    const { message, reason } = decideFor({ verdicts: [{ ...verdict('go'), resolvers: candidates }] });
    expect({ reason, message }).toEqual({
      reason: 'UnknownOptions',
      message: `${REASONS.UnknownOptions} c0: /x: out of reach.`,
    });
  });

  it('Go alone gets what go.options says', () => {
    const config = policy({ go: { options: [{ name: 'single-request-reopen' }, { name: 'use-vc' }] } });
    const decision = decideFor({ resolvers: ['go'], config });
    expect(decision).toMatchObject({ reason: 'OptionsAdded', remedy: ['options'] });
    expect(options(decision)).toEqual(['single-request-reopen', 'use-vc']);
    expect(decision.message).toMatch(/^The configuration gives Go these options .*Go alone needs none\.$/);
  });

  it.each([
    { resolvers: ['glibc', 'go'], config: policy(), cost: true },
    { resolvers: ['go', 'other', 'go'], config: policy(), cost: true },
    { resolvers: ['glibc', 'other'], config: policy(), cost: false },
    { resolvers: ['glibc', 'go'], config: policy({ go: policy().glibc }), cost: false },
  ] as const)('$resolvers: says what the options of the others cost Go: $cost', ({ resolvers, config, cost }) => {
    const names = resolvers.flatMap((resolver, index) => (resolver === 'go' ? [`c${index}`] : [])).join(', ');
    const sentence = ` Go (${names}) does not need the options: they cost it a round trip with each look-up.`;
    const { reason, message } = decideFor({ resolvers, config });
    expect(reason).toBe('OptionsAdded');
    expect(message.endsWith(sentence)).toBe(cost);
  });

  it('musl and Go: what musl needs, and no options for Go', () => {
    expect(options(decideFor({ resolvers: ['musl', 'go'], config: withNodeLocal() }))).toEqual([
      'ndots:5',
      'timeout:5',
      'attempts:10',
    ]);
  });

  it('musl with a node-local cache: redirect, with the searches and ndots of the kubelet', () => {
    const decision = decideFor({
      resolvers: ['musl'],
      config: withNodeLocal(),
      cluster: { ...facts, nodeSearches: ['corp.example'] },
    });
    expect(decision).toMatchObject({ reason: 'MuslRedirected', remedy: ['redirect'] });
    expect(decision.change).toMatchObject({
      dnsPolicy: 'None',
      nameservers: ['169.254.20.10', '10.96.0.10'],
      searches: ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'corp.example'],
    });
    expect(options(decision)).toEqual(['ndots:5', 'timeout:5', 'attempts:10']);
  });

  it('musl without a node-local cache: retry, and the message says how to turn the redirect on', () => {
    const decision = decideFor({ resolvers: ['musl'] });
    expect(decision).toMatchObject({ reason: 'MuslRetried', remedy: ['retry'] });
    expect(decision.message).toContain('--node-local');
    expect(options(decision)).toEqual(['timeout:5', 'attempts:10', 'use-vc']);
  });

  it.each([
    { title: 'the cluster DNS has not answered over TCP', cluster: { ...facts, dnsOverTcp: false } },
    { title: 'the user wrote nameservers', spec: { dnsConfig: { nameservers: ['192.0.2.1'] } } },
    {
      title: 'glibc.options has no use-vc',
      config: policy({ glibc: { options: [{ name: 'single-request-reopen' }], tcpPreflight: true } }),
    },
  ])('retry without use-vc where $title', ({ title: _title, ...given }) => {
    expect(options(decideFor({ resolvers: ['musl'], ...given }))).toEqual(['timeout:5', 'attempts:10']);
  });

  it('musl and Go without a node-local cache: says what use-vc costs Go', () => {
    const decision = decideFor({ resolvers: ['musl', 'go'] });
    expect(decision).toMatchObject({ reason: 'MixedRetried', remedy: ['retry'] });
    expect(decision.message).toContain('Go (c1) does not need the options');
  });

  it.each([
    { config: withNodeLocal(), reason: 'MixedRedirected', remedy: ['options', 'redirect'], none: 'None' },
    {
      config: withNodeLocal({ mixedPods: 'retry' }),
      reason: 'MixedRetried',
      remedy: ['options', 'retry'],
      none: undefined,
    },
    { config: policy(), reason: 'MixedRetried', remedy: ['options', 'retry'], none: undefined },
  ])('several kinds: the union, $reason', ({ config, reason, remedy, none }) => {
    const decision = decideFor({ resolvers: ['glibc', 'musl'], config });
    expect(decision).toMatchObject({ reason, remedy });
    expect(decision.change?.dnsPolicy).toBe(none);
    expect(options(decision)).toEqual(
      expect.arrayContaining(['timeout:5', 'attempts:10', 'single-request-reopen', 'use-vc']),
    );
  });

  it('in a Pod of several kinds the cluster DNS comes first: others than musl would wait for a cache that is gone', () => {
    const decision = decideFor({ resolvers: ['glibc', 'musl'], config: withNodeLocal() });
    expect(decision.change?.nameservers).toEqual(['10.96.0.10', '169.254.20.10']);
  });

  it('the cluster DNS is no second server where fallback is off', () => {
    const config = withNodeLocal({ nodeLocal: { mode: 'on', addresses: ['169.254.20.10'], fallback: false } });
    expect(decideFor({ resolvers: ['musl'], config }).change?.nameservers).toEqual(['169.254.20.10']);
  });

  it('node-local and dual-stack cluster DNS fill the three places', () => {
    const config = withNodeLocal({
      nodeLocal: { mode: 'on', addresses: ['169.254.20.10', 'fd00::10'], fallback: true },
    });
    const cluster = { ...facts, dns: ['10.96.0.10', 'fd00:10:96::a'] };
    expect(decideFor({ resolvers: ['musl'], config, cluster }).change?.nameservers).toEqual([
      '169.254.20.10',
      'fd00::10',
      '10.96.0.10',
    ]);
  });

  it('configured extra nameservers come last, as far as they fit', () => {
    const musl = { ...policy().musl, extraNameservers: ['192.0.2.1', '192.0.2.2'] };
    expect(decideFor({ resolvers: ['musl'], config: withNodeLocal({ musl }) }).change?.nameservers).toEqual([
      '169.254.20.10',
      '10.96.0.10',
      '192.0.2.1',
    ]);
  });

  it.each([
    { user: [], dns: ['10.96.0.10'], becomes: ['192.0.2.1', '192.0.2.2'] },
    { user: [], dns: ['10.96.0.10', 'fd00:10:96::a'], becomes: ['192.0.2.1'] },
    { user: [], dns: ['10.96.0.10', '10.96.0.11', '10.96.0.12'], becomes: undefined },
    { user: ['9.9.9.9'], dns: ['10.96.0.10'], becomes: ['9.9.9.9', '192.0.2.1'] },
    { user: ['192.0.2.2'], dns: ['10.96.0.10'], becomes: ['192.0.2.2', '192.0.2.1'] },
    { user: ['10.96.0.10'], dns: ['10.96.0.10'], becomes: ['10.96.0.10', '192.0.2.1', '192.0.2.2'] },
    { user: ['10.96.0.10', '10.96.0.10'], dns: ['10.96.0.10'], becomes: ['10.96.0.10', '10.96.0.10', '192.0.2.1'] },
    { user: ['192.0.2.1', '192.0.2.2'], dns: ['10.96.0.10'], becomes: undefined },
    { user: ['9.9.9.9', '8.8.8.8'], dns: ['10.96.0.10'], becomes: undefined },
  ])('they are appended without a redirect too: $user with $dns', ({ user, dns, becomes }) => {
    const config = policy({ musl: { ...policy().musl, extraNameservers: ['192.0.2.1', '192.0.2.2'] } });
    const spec = { dnsConfig: { nameservers: user } };
    const { change, remedy } = decideFor({ resolvers: ['musl'], spec, config, cluster: { ...facts, dns } });
    expect(remedy).toEqual(['retry']);
    expect(change).not.toHaveProperty('dnsPolicy');
    expect(change?.nameservers).toEqual(becomes);
  });

  it.each([
    { title: 'musl beside others', resolvers: ['glibc', 'musl'], musl: {}, becomes: ['192.0.2.1'] },
    { title: 'no musl', resolvers: ['glibc'], musl: {}, becomes: undefined },
    { title: 'musl.remedy none', resolvers: ['glibc', 'musl'], musl: { remedy: 'none' }, becomes: undefined },
  ] as const)('they are for musl: $title', ({ resolvers, musl, becomes }) => {
    const config = policy({ musl: { ...policy().musl, extraNameservers: ['192.0.2.1'], ...musl } });
    expect(decideFor({ resolvers, config }).change?.nameservers).toEqual(becomes);
  });

  it('use-vc is not for them: whether they answer over TCP is not known', () => {
    const config = policy({ musl: { ...policy().musl, extraNameservers: ['192.0.2.1'] } });
    expect(options(decideFor({ resolvers: ['musl'], config }))).toEqual(['timeout:5', 'attempts:10']);
  });
});

describe('nodeLocal.mode and musl.remedy', () => {
  const auto = { mode: 'auto', addresses: ['169.254.20.10'], fallback: true } as const;
  const remedy = (name: 'auto' | 'redirect' | 'retry' | 'none') => ({ ...policy().musl, remedy: name });

  it.each([
    { state: 'ready', musl: remedy('auto'), reason: 'MuslRedirected' },
    { state: 'unready', musl: remedy('auto'), reason: 'NodeLocalUnready' },
    { state: 'absent', musl: remedy('auto'), reason: 'MuslRetried' },
    { state: 'unknown', musl: remedy('auto'), reason: 'MuslRetried' },
    { state: 'intercepting', musl: remedy('auto'), reason: 'NodeLocalIntercepts' },
    { state: 'absent', musl: remedy('redirect'), reason: 'MuslRedirected' },
    { state: 'unready', musl: remedy('redirect'), reason: 'MuslRedirected' },
    { state: 'unready', musl: remedy('retry'), reason: 'MuslRetried' },
    { state: 'ready', musl: remedy('retry'), reason: 'MuslRetried' },
    { state: 'ready', musl: remedy('none'), reason: 'NothingConfigured' },
  ] as const)('auto, discovery says $state, remedy $musl.remedy: $reason', ({ state, musl, reason }) => {
    const config = policy({ nodeLocal: auto, musl });
    expect(decideFor({ resolvers: ['musl'], config, cluster: { ...facts, nodeLocal: state } }).reason).toBe(reason);
  });

  it('off is off, whatever is there', () => {
    const config = policy({ nodeLocal: { ...auto, mode: 'off' } });
    expect(decideFor({ resolvers: ['musl'], config, cluster: { ...facts, nodeLocal: 'ready' } }).reason).toBe(
      'MuslRetried',
    );
  });
});

describe('what discovery finds', () => {
  const auto = { mode: 'auto', addresses: ['169.254.20.10'], fallback: true } as const;
  const found = { ...facts, nodeLocal: 'ready', nodeLocalAddresses: ['169.254.25.10'] } as const;

  it('addresses found stand in for the configured ones', () => {
    const decision = decideFor({ resolvers: ['musl'], config: policy({ nodeLocal: auto }), cluster: found });
    expect(decision.change?.nameservers).toEqual(['169.254.25.10', '10.96.0.10']);
  });

  it('not where nodeLocal.mode says on', () => {
    const decision = decideFor({ resolvers: ['musl'], config: withNodeLocal(), cluster: found });
    expect(decision.change?.nameservers).toEqual(['169.254.20.10', '10.96.0.10']);
  });

  it.each(['intercepting', 'unready'] as const)('%s: no redirect, but options and retry all the same', (nodeLocal) => {
    const cluster = { ...facts, nodeLocal };
    const decision = decideFor({ resolvers: ['glibc', 'musl'], config: policy({ nodeLocal: auto }), cluster });
    expect(decision).toMatchObject({ remedy: ['options', 'retry'] });
    expect(decision.change).not.toHaveProperty('dnsPolicy');
    expect(options(decision)).toEqual(['timeout:5', 'attempts:10', 'single-request-reopen', 'use-vc']);
  });

  it.each([
    { title: 'not redirected', config: policy({ nodeLocal: auto }), reason: 'SearchesUnknown' },
    { title: 'redirected where nodeLocal.mode is on', config: withNodeLocal(), reason: 'MuslRedirected' },
    {
      title: 'redirected where musl.remedy is redirect',
      config: policy({ nodeLocal: auto, musl: { ...policy().musl, remedy: 'redirect' } }),
      reason: 'MuslRedirected',
    },
  ])('searches that would be guessed: $title', ({ config, reason }) => {
    const cluster = { ...found, searchesAssumed: true };
    expect(decideFor({ resolvers: ['musl'], config, cluster }).reason).toBe(reason);
  });

  it.each([
    { title: 'alone', dns: ['169.254.25.10'], cluster: found, config: policy({ nodeLocal: auto }) },
    {
      title: 'first of two',
      dns: ['169.254.25.10', '10.96.0.10'],
      cluster: found,
      config: policy({ nodeLocal: auto }),
    },
    { title: 'mode on', dns: ['169.254.20.10'], cluster: facts, config: withNodeLocal() },
    { title: 'one that is no DaemonSet', dns: ['169.254.10.11'], cluster: facts, config: policy({ nodeLocal: auto }) },
    {
      title: 'remedy redirect',
      dns: ['169.254.20.10'],
      cluster: facts,
      config: withNodeLocal({ musl: { ...policy().musl, remedy: 'redirect' } }),
    },
  ])('a kubelet that points Pods at the cache, $title: they ask it already', ({ dns, cluster, config }) => {
    const decision = decideFor({ resolvers: ['musl'], config, cluster: { ...cluster, dns } });
    expect(decision).toMatchObject({ reason: 'NodeLocalFromKubelet', remedy: ['retry'] });
    expect(decision.change).not.toHaveProperty('nameservers');
  });
});

it('the metadata server (Cloud DNS for GKE) is no node-local cache', () => {
  const cluster = { ...facts, dns: ['169.254.169.254'] };
  expect(decideFor({ resolvers: ['musl'], cluster }).reason).toBe('MuslRetried');
  expect(decideFor({ resolvers: ['musl'], cluster, config: withNodeLocal() }).reason).toBe('MuslRedirected');
});

describe('DNS settings that break musl and stay', () => {
  const zero = { options: [{ name: 'attempts', value: '0' }] };

  it.each([
    { resolvers: ['musl'], dnsConfig: zero, warns: /^attempts:0 .*musl [(]c0[)].*SIGFPE/ },
    { resolvers: ['glibc', 'musl'], dnsConfig: { options: [{ name: 'attempts:0' }] }, warns: /^attempts:0 .*[(]c1[)]/ },
    {
      resolvers: ['musl'],
      dnsConfig: { options: [{ name: 'timeout', value: '0' }] },
      warns: /^timeout:0 .*musl [(]c0[)] at once/,
    },
    { resolvers: ['glibc'], dnsConfig: { options: [{ name: 'timeout', value: '0' }] }, warns: undefined },
    { resolvers: ['musl'], dnsConfig: { searches: LONG }, warns: /^the search line has 403 bytes/ },
    { resolvers: ['glibc', 'go'], dnsConfig: { ...zero, searches: LONG }, warns: undefined },
    { resolvers: ['musl'], dnsConfig: { options: [{ name: 'attempts', value: '10' }] }, warns: undefined },
    { resolvers: ['musl'], dnsConfig: { options: [{ name: 'attempts' }] }, warns: undefined },
  ] as const)('are warned about: $resolvers $dnsConfig', ({ resolvers, dnsConfig, warns }) => {
    const { warnings } = decideFor({ resolvers, spec: { dnsConfig } });
    expect(warnings).toHaveLength(warns === undefined ? 0 : 1);
    if (warns !== undefined) expect(warnings[0]).toMatch(warns);
  });
});

describe('the message of a retry says when musl sends again', () => {
  it.each([
    { written: [], says: 'again after 0.5 s.' },
    { written: [{ name: 'timeout', value: '2' }], says: 'again after 0.2 s, and fails after 2 s.' },
    { written: [{ name: 'timeout:1' }], says: 'again after 0.1 s, and fails after 1 s.' },
    { written: [{ name: 'timeout', value: '99' }], says: 'again after 6 s.' },
    { written: [{ name: 'timeout' }], says: 'again after 0.5 s.' },
    { written: [{ name: 'attempts', value: '3' }], says: 'again after 1.67 s.' },
    { written: [{ name: 'attempts', value: '1' }], says: 'never again.' },
    { written: [{ name: 'timeout', value: '0' }], says: undefined },
    { written: [{ name: 'attempts', value: '0' }], says: undefined },
  ])('$written: $says', ({ written, says }) => {
    const { message } = decideFor({ resolvers: ['musl'], spec: { dnsConfig: { options: written } } });
    if (says === undefined) expect(message).not.toContain('a lost packet');
    else expect(message).toContain(` musl sends a lost packet ${says} No node-local cache is known`);
  });
});

describe('what the user wrote wins', () => {
  it('options of the same name are kept', () => {
    const spec = { dnsConfig: { options: [{ name: 'timeout', value: '2' }, { name: 'single-request-reopen' }] } };
    expect(options(decideFor({ resolvers: ['glibc', 'musl'], spec }))).toEqual(['attempts:10', 'use-vc']);
  });

  it.each([
    { written: { name: 'single-request' }, missing: ['use-vc', 'timeout:5', 'attempts:10'] },
    { written: { name: 'timeout:1' }, missing: ['single-request-reopen', 'use-vc', 'attempts:10'] },
    { written: { name: 'attempts:3' }, missing: ['single-request-reopen', 'use-vc', 'timeout:5'] },
    { written: { name: 'single-requests' }, missing: ['single-request-reopen', 'use-vc', 'timeout:5', 'attempts:10'] },
  ])('$written.name counts as what it is about', ({ written, missing }) => {
    const given = options(decideFor({ resolvers: ['glibc', 'musl'], spec: { dnsConfig: { options: [written] } } }));
    expect(given.toSorted()).toEqual(missing.toSorted());
  });

  it('ndots is never changed, also in a redirect', () => {
    const spec = { dnsConfig: { options: [{ name: 'ndots', value: '2' }] } };
    expect(options(decideFor({ resolvers: ['musl'], spec, config: withNodeLocal() }))).toEqual([
      'timeout:5',
      'attempts:10',
    ]);
  });

  it('nameservers and searches are kept, behind ours', () => {
    const spec = { dnsConfig: { nameservers: ['192.0.2.1'], searches: ['corp.example'] } };
    expect(decideFor({ resolvers: ['musl'], spec, config: withNodeLocal() }).change).toMatchObject({
      nameservers: ['169.254.20.10', '10.96.0.10', '192.0.2.1'],
      searches: ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'corp.example'],
    });
  });

  it('an address that is there already is not written twice, and keeps its place', () => {
    const spec = { dnsConfig: { nameservers: ['10.96.0.10', '169.254.20.10'] } };
    const { change } = decideFor({ resolvers: ['musl'], spec, config: withNodeLocal() });
    expect(change).toMatchObject({ dnsPolicy: 'None' });
    expect(change).not.toHaveProperty('nameservers');
  });

  it.each([
    { nameservers: ['192.0.2.1', '192.0.2.2'], reason: 'NameserversFull' },
    { nameservers: ['192.0.2.1', '192.0.2.2', '192.0.2.3'], reason: 'NameserversFull' },
    { nameservers: ['169.254.20.10', '192.0.2.2'], reason: 'MuslRedirected' },
  ])('three places must hold theirs and ours: $nameservers is $reason', ({ nameservers, reason }) => {
    const decision = decideFor({ resolvers: ['musl'], spec: { dnsConfig: { nameservers } }, config: withNodeLocal() });
    expect(decision.reason).toBe(reason);
    expect(options(decision)).toEqual(expect.arrayContaining(['timeout:5', 'attempts:10']));
  });

  it('nothing is left to do: no change', () => {
    const spec = { dnsConfig: { options: [{ name: 'single-request-reopen' }, { name: 'use-vc' }] } };
    expect(decideFor({ resolvers: ['glibc'], spec })).toMatchObject({ reason: 'AlreadyConfigured', remedy: [] });
    expect(decideFor({ resolvers: ['glibc'], spec })).not.toHaveProperty('change');
  });
});

describe('no value that breaks a resolver', () => {
  it('use-vc only where the cluster DNS has answered over TCP, or nobody asked', () => {
    const silent = { ...facts, dnsOverTcp: false };
    expect(options(decideFor({ resolvers: ['glibc'], cluster: silent }))).toEqual(['single-request-reopen']);
    const config = policy({ glibc: { ...policy().glibc, tcpPreflight: false } });
    expect(options(decideFor({ resolvers: ['glibc'], cluster: silent, config }))).toEqual([
      'single-request-reopen',
      'use-vc',
    ]);
  });

  it('a timeout under 5 is not given where musl is, or may be, in the Pod', () => {
    const config = policy({ extraOptions: { glibc: [{ name: 'timeout', value: '2' }] } });
    expect(options(decideFor({ resolvers: ['glibc'], config }))).toContain('timeout:2');
    expect(options(decideFor({ resolvers: ['glibc', 'musl'], config }))).toContain('timeout:5');
    expect(options(decideFor({ resolvers: ['glibc', 'unknown'], config })).join()).not.toContain('timeout');
  });

  it.each([
    { name: 'longer than 254 bytes', nodeSearches: LONG, reason: 'SearchTooLong' },
    { name: 'in capitals', nodeSearches: ['Corp.Example'], reason: 'SearchInvalid' },
    { name: 'with an underscore', nodeSearches: ['_tcp.example'], reason: 'SearchInvalid' },
  ])('no redirect with node searches $name', ({ nodeSearches, reason }) => {
    const decision = decideFor({ resolvers: ['musl'], config: withNodeLocal(), cluster: { ...facts, nodeSearches } });
    expect(decision).toMatchObject({ reason, remedy: ['retry'] });
    expect(decision.change).not.toHaveProperty('dnsPolicy');
  });

  it('a redirect writes the 32 searches that the kubelet leaves of a longer list', () => {
    const nodeSearches = Array.from({ length: 40 }, (_, index) => `${index}`);
    const { change } = decideFor({ resolvers: ['musl'], config: withNodeLocal(), cluster: { ...facts, nodeSearches } });
    expect(change?.searches).toHaveLength(32);
  });

  it('no redirect where the kubelet would cut what the user wrote', () => {
    const searches = Array.from({ length: 31 }, (_, index) => `${index}`);
    expect(
      decideFor({ resolvers: ['musl'], spec: { dnsConfig: { searches } }, config: withNodeLocal() }),
    ).toMatchObject({
      reason: 'SearchTooLong',
      remedy: ['retry'],
    });
  });

  it('extra options go to the resolver they are for', () => {
    const config = policy({ extraOptions: { go: [{ name: 'rotate' }], musl: [{ name: 'no-aaaa' }] } });
    expect(options(decideFor({ resolvers: ['go'], config }))).toContain('rotate');
    expect(options(decideFor({ resolvers: ['glibc'], config }))).not.toContain('rotate');
    expect(decideFor({ resolvers: ['musl'], config })).toMatchObject({ remedy: ['options', 'retry'] });
  });
});

describe('exposure', () => {
  const notExposed = { ...facts, exposed: false };

  it.each<[string, PolicyConfig['exposure'], boolean | undefined, Reason]>([
    ['always', 'always', false, 'OptionsAdded'],
    ['auto, and some node is exposed', 'auto', true, 'OptionsAdded'],
    ['auto, and nothing is known', 'auto', undefined, 'OptionsAdded'],
    ['auto, and no node is exposed', 'auto', false, 'NotExposed'],
  ])('%s', (_, exposure, exposed, reason) => {
    const cluster = exposed === undefined ? facts : { ...facts, exposed };
    const decision = decideFor({ resolvers: ['glibc'], config: policy({ exposure }), cluster });
    expect(decision).toMatchObject({ mode: 'enforce', reason });
    expect('change' in decision).toBe(reason !== 'NotExposed');
  });

  it.each(['glibc', 'musl', 'go', 'other', 'unknown'] as const)(
    'a Pod with %s is left alone, and not looked up, while no node is exposed',
    (resolver) => {
      const config = withNodeLocal({ exposure: 'auto' });
      const decision = decideFor({ resolvers: [resolver, 'musl'], config, cluster: notExposed });
      expect(decision).toMatchObject({ reason: 'NotExposed', message: REASONS.NotExposed, remedy: [] });
      expect(decision).not.toHaveProperty('change');
      const pod = readPod(podWith(1));
      expect(precheck({ pod, namespace: enforced(), cluster: notExposed, config })?.reason).toBe('NotExposed');
    },
  );

  it('other reasons to leave a Pod alone go first', () => {
    const config = policy({ exposure: 'auto' });
    const of = (spec: object) => decideFor({ resolvers: ['glibc'], config, cluster: notExposed, spec: { ...spec } });
    expect(of({ dnsPolicy: 'Default' }).reason).toBe('PolicyDefault');
    expect(of({ os: { name: 'windows' } }).reason).toBe('Windows');
  });
});
