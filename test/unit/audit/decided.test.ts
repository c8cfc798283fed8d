import { describe, expect, it } from 'vitest';

import { appliedDecision, lostPatch } from '../../../src/audit/decided.ts';
import { encodeDecision } from '../../../src/policy/annotations.ts';

const KEY = 'libc-dns.dev/decision';

describe('what our annotation says', () => {
  it.each<[string, string | undefined, object | undefined]>([
    [
      'as the webhook writes it',
      encodeDecision('MixedRedirected', ['redirect', 'options'], [{ name: 'web', resolver: 'musl' }]),
      { reason: 'MixedRedirected', remedy: ['redirect', 'options'] },
    ],
    ['nothing was done', '{"reason":"AlreadyConfigured","remedy":[]}', { reason: 'AlreadyConfigured', remedy: [] }],
    ['none', undefined, undefined],
    ['no JSON', 'nonsense', undefined],
    ['null', 'null', undefined],
    ['a list', '[]', undefined],
    ['a remedy that is no list', '{"reason":"x","remedy":"options"}', undefined],
    ['no reason', '{"remedy":["options"]}', undefined],
    ['words that are none', '{"reason":"x","remedy":[1,"retry"]}', { reason: 'x', remedy: ['retry'] }],
    ['without end', `${' '.repeat(100_000)}{"reason":"x","remedy":[]}`, undefined],
  ])('%s', (_, text, expected) => {
    expect(appliedDecision(text === undefined ? {} : { [KEY]: text })).toEqual(expected);
  });
});

describe('what a Pod has lost of it', () => {
  const glibc = (...names: string[]) => ({
    glibc: { options: names.map((name) => ({ name })), tcpPreflight: true },
  });
  const pod = (names: readonly string[], dnsPolicy = 'ClusterFirst', ours = false) => ({
    dnsPolicy,
    sidecar: { ours },
    dnsConfig: { nameservers: [], searches: [], options: names.map((name) => ({ name })) },
  });

  it.each<[string, string[], ReturnType<typeof pod>, ReturnType<typeof glibc>, string | undefined]>([
    ['nothing was done', [], pod([]), glibc('use-vc'), undefined],
    ['a redirect is there', ['redirect'], pod([], 'None'), glibc('use-vc'), undefined],
    ['a redirect is not', ['redirect'], pod([]), glibc('use-vc'), 'dnsPolicy None'],
    ['the cache is there', ['sidecar'], pod([], 'None', true), glibc('use-vc'), undefined],
    ['the cache is not', ['sidecar'], pod([], 'None'), glibc('use-vc'), 'the init container libc-dns-cache'],
    ['the cache is not asked', ['sidecar'], pod([], 'ClusterFirst', true), glibc('use-vc'), 'dnsPolicy None'],
    ['a retry is there', ['retry'], pod(['attempts']), glibc('use-vc'), undefined],
    ['a retry is not', ['retry'], pod(['ndots']), glibc('use-vc'), 'timeout and attempts'],
    ['one option is there', ['options'], pod(['rotate']), glibc('use-vc', 'rotate'), undefined],
    ['others have taken their place', ['options'], pod(['ndots']), glibc('use-vc', 'rotate'), 'use-vc, rotate'],
    ['the configuration has changed', ['options'], pod(['single-request-reopen']), glibc('rotate'), undefined],
    ['the configuration has none', ['options'], pod([]), glibc(), undefined],
  ])('%s', (_, remedy, view, config, expected) => {
    expect(lostPatch(view as never, { reason: 'x', remedy }, config as never)).toBe(expected);
  });
});
