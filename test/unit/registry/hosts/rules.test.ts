import { assert, ipV4, ipV6, nat, property, tuple } from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  contains,
  embeddedAddresses,
  parseAddress,
  parseNetwork,
  refusal,
} from '../../../../src/registry/hosts/address.ts';
import { authorityOf, parseHostPattern } from '../../../../src/registry/hosts/pattern.ts';
import { createHostRules, type HostLists } from '../../../../src/registry/hosts/rules.ts';

const open: HostLists = { allow: [], deny: [], insecure: [], allowPrivateAddresses: true };
const rules = (lists: Partial<HostLists>, mirrors: string[] = []) =>
  createHostRules(
    { ...open, ...lists },
    mirrors.map((url) => authorityOf(new URL(url))),
  );
const at = (host: string) => authorityOf(new URL(`https://${host}`));

describe('addresses that no registry has', () => {
  it.each([
    ['169.254.169.254', 'cloud metadata'],
    ['168.63.129.16', 'cloud metadata'],
    ['100.100.100.200', 'cloud metadata'],
    ['192.0.0.192', 'cloud metadata'],
    ['fd00:ec2::254', 'cloud metadata'],
    ['fd20:ce::254', 'cloud metadata'],
    ['fe80::a9fe:a9fe', 'cloud metadata'],
    ['127.0.0.1', 'loopback'],
    ['127.255.0.3', 'loopback'],
    ['::1', 'loopback'],
    ['0.0.0.0', 'unspecified'],
    ['0.1.2.3', 'unspecified'],
    ['::', 'unspecified'],
    ['169.254.1.1', 'link-local'],
    ['fe80::1', 'link-local'],
    ['fe80::1%eth0', 'link-local'],
    ['febf::1', 'link-local'],
    ['224.0.0.251', 'multicast'],
    ['ff02::1', 'multicast'],
    ['255.255.255.255', 'reserved'],
    ['::ffff:127.0.0.1', 'loopback'],
    ['::ffff:a9fe:a9fe', 'cloud metadata'],
    ['::127.0.0.1', 'loopback'],
    ['::ffff:0:169.254.169.254', 'cloud metadata'],
    ['64:ff9b::a9fe:a9fe', 'cloud metadata'],
    ['64:ff9b:1::7f00:1', 'loopback'],
    ['64:ff9b:1:a9fe:a9:fe00::', 'cloud metadata'],
    ['2002:a9fe:a9fe::1', 'cloud metadata'],
    ['2002:7f00:1::', 'loopback'],
    ['2001:0:1:2:3:4:5601:5601', 'cloud metadata'],
    ['2001:0:7f00:1::', 'loopback'],
    ['2a00::5efe:169.254.169.254', 'cloud metadata'],
    ['2a00::200:5efe:7f00:1', 'loopback'],
    ['localhost', 'not an IP address'],
  ])('%s is refused as %s', (address, why) => {
    expect(rules({}).refuseAddress(at('example.com'), address, false)).toBe(why);
  });

  it.each([
    '127.1',
    '0x7f.1',
    '0x7f000001',
    '2130706433',
    '0177.0.0.1',
    '127.0.0.1.',
    '１２７.０.０.１',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
  ])('the odd spelling %s does not hide loopback', (host) => {
    expect(rules({}).refuseAddress(at('x.example'), at(host).hostname, false)).toBe('loopback');
  });

  it.each([
    '8.8.8.8',
    '2606:4700::1111',
    '10.1.2.3',
    '192.168.1.1',
    '100.64.0.1',
    'fd12::1',
    '64:ff9b::808:808',
    '2002:808:808::1',
  ])('%s is let through', (address) => {
    expect(rules({}).refuseAddress(at('example.com'), address, false)).toBeUndefined();
  });

  it.each([
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '100.64.0.1',
    'fd12::1',
    'fec0::1',
    '::ffff:10.0.0.1',
    '64:ff9b::a00:1',
  ])('%s is refused where private addresses are', (address) => {
    expect(rules({ allowPrivateAddresses: false }).refuseAddress(at('example.com'), address, false)).toBe('private');
  });
});

describe('a refused address is let through where the operator names', () => {
  it.each<[string, Partial<HostLists> & { mirrors?: string[] }, string, string, boolean]>([
    ['the host in allow', { allow: ['localhost:5000'] }, 'localhost:5000', '127.0.0.1', true],
    ['the host in allow without a port', { allow: ['localhost'] }, 'localhost:5000', '127.0.0.1', true],
    ['another port of the host', { allow: ['localhost:5000'] }, 'localhost:5001', '127.0.0.1', false],
    ['the host in insecure', { insecure: ['localhost:5000'] }, 'localhost:5000', '::1', true],
    ['the host in insecure with a scheme', { insecure: ['https://localhost:5000'] }, 'localhost:5000', '::1', true],
    ['the host of a mirror', { mirrors: ['http://mirror.local:80/'] }, 'mirror.local:80', '127.0.0.1', true],
    ['a wildcard', { allow: ['*.local'] }, 'mirror.local', '127.0.0.1', false],
    ['everything', { allow: ['*'] }, 'mirror.local', '127.0.0.1', false],
    ['another host', { allow: ['localhost'] }, 'evil.example', '127.0.0.1', false],
    ['its network', { allow: ['127.0.0.0/8'] }, 'evil.example', '127.0.0.1', true],
    ['a network that only happens to hold it', { allow: ['0.0.0.0/0'] }, 'evil.example', '127.0.0.1', false],
    ['a range around a metadata address', { allow: ['100.64.0.0/10'] }, 'evil.example', '100.100.100.200', false],
    ['the metadata address', { allow: ['169.254.169.254/32'] }, 'evil.example', '169.254.169.254', true],
    [
      'the host, and denies the address',
      { allow: ['localhost'], deny: ['127.0.0.1'] },
      'localhost',
      '127.0.0.1',
      false,
    ],
    [
      'the host, and denies the network',
      { allow: ['localhost'], deny: ['127.0.0.0/8'] },
      'localhost',
      '::ffff:127.0.0.1',
      false,
    ],
  ])('%s', (_, { mirrors = [], ...lists }, host, address, through) => {
    expect(rules(lists, mirrors).refuseAddress(at(host), address, false) === undefined).toBe(through);
  });
});

describe('allow and deny', () => {
  it.each<[string[], string[], string, string, boolean]>([
    [[], [], 'evil.example', 'a', true],
    [['ghcr.io'], [], 'ghcr.io', 'a/b', true],
    [['ghcr.io'], [], 'ghcr.io.', 'a/b', true],
    [['ghcr.io'], [], 'quay.io', 'a/b', false],
    [['ghcr.io'], [], 'xghcr.io', 'a/b', false],
    [['docker.io'], [], 'registry-1.docker.io', 'library/nginx', true],
    [['index.docker.io'], [], 'docker.io', 'library/nginx', true],
    [['*.corp.example'], [], 'a.b.corp.example', 'x', true],
    [['*.corp.example'], [], 'corp.example', 'x', false],
    [['*.corp.example:5000'], [], 'a.corp.example:5000', 'x', true],
    [['*.corp.example:5000'], [], 'a.corp.example', 'x', false],
    [['ghcr.io/team/*'], [], 'ghcr.io', 'team/a/b', true],
    [['ghcr.io/team/*'], [], 'ghcr.io', 'teammate/a', false],
    [['ghcr.io/team/*'], [], 'ghcr.io', 'other/a', false],
    [['ghcr.io/team/app'], [], 'ghcr.io', 'team/app', true],
    [['ghcr.io/team/app'], [], 'ghcr.io', 'team/app/x', false],
    [['ghcr.io/*'], [], 'ghcr.io', 'team/app/x', true],
    [['10.0.0.0/8'], [], '10.1.2.3:5000', 'a', true],
    [['10.0.0.0/8'], [], '11.1.2.3:5000', 'a', false],
    [['10.0.0.0/8'], [], 'by-address.example', 'a', true],
    [['[fd00::1]:5000'], [], '[fd00::1]:5000', 'a', true],
    [['fd00::1'], [], '[fd00::1]:5000', 'a', true],
    [['127.1'], [], '127.0.0.1', 'a', true],
    [['ghcr.io'], ['ghcr.io/evil/*'], 'ghcr.io', 'evil/a', false],
    [['ghcr.io'], ['ghcr.io/evil/*'], 'ghcr.io', 'good/a', true],
    [['*'], ['*.example'], 'a.example', 'a', false],
    [['*'], ['*.example'], 'a.test', 'a', true],
  ])('allow %j, deny %j: %s/%s is %s', (allow, deny, host, repository, admitted) => {
    expect(rules({ allow, deny }).refuseRepository(at(host), repository) === undefined).toBe(admitted);
  });

  it('a name that only a network admits has to resolve into that network', () => {
    const some = rules({ allow: ['10.0.0.0/8', 'ghcr.io'] });
    expect(some.admittedByAddress(at('x.example'), 'a')).toBe(true);
    expect(some.admittedByAddress(at('ghcr.io'), 'a')).toBe(false);
    expect(some.refuseAddress(at('x.example'), '10.1.1.1', true)).toBeUndefined();
    expect(some.refuseAddress(at('x.example'), '8.8.8.8', true)).toBe('not in the list of allowed registries');
  });

  it('a denied host is refused in every role; a denied repository is not the host', () => {
    const some = rules({ deny: ['evil.example', 'ghcr.io/evil/*'] });
    expect(some.refuseHost(at('evil.example:8443'))).toBe('it is denied');
    expect(some.refuseHost(at('EVIL.example.'))).toBe('it is denied');
    expect(some.refuseHost(at('ghcr.io'))).toBeUndefined();
  });

  it.each([
    '',
    'a b',
    'user@host',
    'gh*.io',
    '*io',
    'host//x',
    'host/a/*/b',
    'host?x',
    'host#x',
    'ho st/a',
    '10.0.0.0/99',
    'host:99999',
  ])('%j is no pattern', (text) => {
    expect(() => parseHostPattern(text)).toThrow(RangeError);
  });
});

it.each([
  ['http', 'a:5000', 'http:', false],
  ['a scheme of http', 'b', 'http:', false],
  ['a scheme of https', 'c', 'https:', false],
  ['no entry', 'd', 'https:', true],
])('insecure with %s: %s is spoken to in %s', (_, host, protocol, verify) => {
  const some = rules({ insecure: ['a:5000', 'http://b', 'https://c/'] });
  expect(some.transport(at(host))).toMatchObject({ protocol, verify });
});

describe('IP arithmetic', () => {
  it('every address lies in the networks that its own leading bits make, and agrees with its mapped form', () => {
    assert(
      property(tuple(ipV4(), nat(32)), ([text, bits]) => {
        const address = parseAddress(text) ?? [];
        expect(contains({ address, bits }, address)).toBe(true);
        expect(embeddedAddresses(parseAddress(`::ffff:${text}`) ?? [])[0]).toEqual(address);
        const guard = { allowPrivateAddresses: false, exempt: [], denied: [] };
        expect(refusal(guard, `::ffff:${text}`, false)).toBe(refusal(guard, text, false));
      }),
    );
  });

  it('IPv6 text becomes the 16 bytes that URL reads it as', () => {
    assert(
      property(ipV6(), (text) => {
        const bytes = parseAddress(text);
        expect(bytes).toHaveLength(16);
        expect(parseAddress(new URL(`http://[${text}]`).hostname)).toEqual(bytes);
      }),
    );
  });

  it.each(['10.0.0.0/33', 'fd00::/129', '10.0.0/8', 'x/8', '10.0.0.0/', '10.0.0.0/-1'])('%s is no network', (text) => {
    expect(parseNetwork(text)).toBeUndefined();
  });
});
