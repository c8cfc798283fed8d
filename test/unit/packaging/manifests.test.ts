import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';

import { homebrewFormula, krewManifest, readChecksums } from '../../../packaging/manifests.ts';
import { NODE_VERSION, PLATFORMS } from '../../../packaging/platforms.ts';

const hash = (digit: string): string => digit.repeat(64);
const SUMS = `${hash('1')}  libc-dns-1.2.3-darwin-arm64.tar.gz
${hash('2')}  libc-dns-1.2.3-darwin-x64.tar.gz
${hash('3')}  libc-dns-1.2.3-linux-arm64.tar.gz
${hash('4')}  libc-dns-1.2.3-linux-x64.tar.gz
`;
const release = { version: '1.2.3', archives: readChecksums(SUMS) };
const ADDRESS = 'https://github.com/libc-dns/libc-dns-webhook/releases/download/v1.2.3';

describe('the krew manifest', () => {
  it('names an archive and its hash for each platform', () => {
    const { metadata, spec } = parse(krewManifest(release)) as {
      metadata: unknown;
      spec: { version: string; shortDescription: string; platforms: unknown[] };
    };
    expect(metadata).toEqual({ name: 'libc-dns' });
    expect(spec.version).toBe('v1.2.3');
    // krew-index refuses longer ones.
    expect(spec.shortDescription.length).toBeLessThanOrEqual(80);
    expect(spec.platforms).toHaveLength(4);
    expect(spec.platforms[3]).toEqual({
      selector: { matchLabels: { os: 'linux', arch: 'amd64' } },
      uri: `${ADDRESS}/libc-dns-1.2.3-linux-x64.tar.gz`,
      sha256: hash('4'),
      bin: 'libc-dns',
    });
  });
});

describe('the Homebrew formula', () => {
  it('names an archive and its hash for each platform', () => {
    const text = homebrewFormula(release);
    const blocks = [...text.matchAll(/on_(arm|intel) do\n\s+url "(.+)"\n\s+sha256 "(.+)"\n/g)].map(
      ([, ...found]) => found,
    );
    expect(blocks).toEqual([
      ['arm', `${ADDRESS}/libc-dns-1.2.3-darwin-arm64.tar.gz`, hash('1')],
      ['intel', `${ADDRESS}/libc-dns-1.2.3-darwin-x64.tar.gz`, hash('2')],
      ['arm', `${ADDRESS}/libc-dns-1.2.3-linux-arm64.tar.gz`, hash('3')],
      ['intel', `${ADDRESS}/libc-dns-1.2.3-linux-x64.tar.gz`, hash('4')],
    ]);
    expect(text).toMatch(/^class LibcDns < Formula\n {2}desc ".{1,80}"\n/);
    expect(text.match(/ do$/gm)?.length).toBe(7);
    expect(text.match(/^ *end$/gm)?.length).toBe(9);
  });

  it('is not made of half a release', () => {
    const half = { ...release, archives: release.archives.slice(0, 3) };
    expect(() => homebrewFormula(half)).toThrow('no archive for linux amd64');
  });
});

describe('SHA256SUMS', () => {
  it.each(['', 'x'])('with a line that ends in %j after an archive of another kind is refused', (end) => {
    expect(() => readChecksums(`${hash('1')}  libc-dns-1.2.3-windows-x64.zip${end}`)).toThrow('SHA256SUMS: 1111');
  });
});

describe('the Node inside the executables', () => {
  it('is that of the development dependency', () => {
    const packageJson = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
    expect((JSON.parse(packageJson) as { devDependencies: { node: string } }).devDependencies.node).toBe(NODE_VERSION);
    expect(Object.keys(PLATFORMS)).toEqual(['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64']);
  });
});
