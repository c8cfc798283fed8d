import { describe, expect, it } from 'vitest';

import { authorityOf, createNoProxy } from '../../../../src/registry/hosts/pattern.ts';

const isDirect = (entries: readonly string[], host: string): boolean =>
  createNoProxy(entries)(authorityOf(new URL(`https://${host}`)));

// Rows as x/net/http/httpproxy reads NO_PROXY (proxy_test.go, UseProxy), but for names below localhost.
describe('noProxy', () => {
  it.each<[entry: string, direct: string[], proxied: string[]]>([
    [
      'example.com',
      ['example.com', 'a.example.com', 'EXAMPLE.com', 'example.com:8443', 'example.com.'],
      ['anexample.com', 'example.org'],
    ],
    ['.example.com', ['a.example.com', 'a.b.example.com'], ['example.com', 'aexample.com']],
    ['*.example.com', ['a.example.com'], ['example.com']],
    ['Example.COM', ['example.com'], []],
    ['example.com:5000', ['example.com:5000', 'a.example.com:5000'], ['example.com', 'example.com:5001']],
    ['example.com:443', ['example.com'], ['example.com:5000']],
    ['.example.com:443', ['a.example.com'], ['a.example.com:1', 'example.com']],
    ['10.1.2.3', ['10.1.2.3', '10.1.2.3:5000'], ['10.1.2.4', 'a10.1.2.3.example']],
    ['10.1.2.3:5000', ['10.1.2.3:5000'], ['10.1.2.3']],
    ['10.0.0.0/8', ['10.1.2.3', '10.255.0.1:5000'], ['11.0.0.1', 'ten.example']],
    ['fd00::/8', ['[fd12::1]'], ['[fe00::1]', '10.0.0.1']],
    ['fd00::1', ['[fd00::1]', '[fd00::1]:5000'], ['[fd00::2]']],
    ['[fd00::1]:5000', ['[fd00::1]:5000'], ['[fd00::1]']],
    ['*', ['example.com', '10.1.2.3', '[fd00::1]:5'], []],
    ['example', ['example', 'a.example'], ['example.com']],
    ['docker.io', ['registry-1.docker.io', 'auth.docker.io'], ['production.cloudflare.docker.com']],
    [':443', [], ['example.com']],
    ['<local>', [], ['example.com', 'local']],
  ])('%s', (entry, direct, proxied) => {
    expect(direct.filter((host) => !isDirect([entry], host))).toEqual([]);
    expect(proxied.filter((host) => isDirect([entry], host))).toEqual([]);
  });

  it('without an entry: this machine alone', () => {
    expect(
      ['localhost', 'localhost:5000', 'a.localhost', '127.0.0.1', '127.1.2.3:5', '[::1]'].filter(
        (host) => !isDirect([], host),
      ),
    ).toEqual([]);
    expect(['example.com', '10.0.0.1', 'localhost.example', '[::2]'].filter((host) => isDirect([], host))).toEqual([]);
  });
});
