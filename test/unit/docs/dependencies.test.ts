import { describe, expect, it } from 'vitest';

import { problemsOf, type LockedPackage, type Lockfile, type PackageJson } from '../../supply-chain/lockfile.ts';
import { readAudit } from '../../supply-chain/npm-audit.ts';
import { shippedPackages, shippedSbom } from '../../supply-chain/shipped.ts';
import { code, page, rows } from './pages.ts';

const lockfile = JSON.parse(page('package-lock.json')) as Lockfile;
const packageJson = JSON.parse(page('package.json')) as PackageJson;

const good: LockedPackage = { version: '1.0.0', license: 'MIT', integrity: `sha512-${'A'.repeat(86)}==` };
const SHIPPED = ['node_modules/a'];
const judge = (
  entry: LockedPackage,
  change: Partial<PackageJson> = {},
  { version = 3, shipped = SHIPPED }: { readonly version?: number; readonly shipped?: readonly string[] } = {},
): string[] =>
  problemsOf(
    { lockfileVersion: version, packages: { '': {}, 'node_modules/a': entry } },
    { devDependencies: { a: '1.0.0' }, ...change },
    shipped,
  );

describe('the packages we use', () => {
  it('have hashes, allowed licences, one version each, and no install scripts but those allowed', () => {
    const shipped = shippedPackages();
    expect(shipped).toEqual(expect.arrayContaining(['node_modules/undici', 'node_modules/zod']));
    expect(problemsOf(lockfile, packageJson, shipped)).toEqual([]);
  });

  it('of the documentation site, which is built apart and whose scripts never run, are as sound', () => {
    const site = JSON.parse(page('site/package-lock.json')) as Lockfile;
    const problems = problemsOf(site, JSON.parse(page('site/package.json')) as PackageJson, []);
    expect(page('site/.npmrc')).toContain('ignore-scripts=true');
    expect(problems.filter((problem) => !problem.endsWith(': an install script'))).toEqual([]);
  });

  it('are all in docs/dependencies.md with their licence and why, and nothing else is', () => {
    const direct = Object.keys(packageJson.devDependencies);
    const written = rows(page('docs/dependencies.md'))
      .filter((row) => row.length === 4 && code(row[0]) !== undefined)
      .map(([name, licence]) => `${code(name)} ${licence}`);
    const wanted = direct.map((name) => `${name} ${lockfile.packages[`node_modules/${name}`]?.license}`);
    expect(written.toSorted()).toEqual(wanted.toSorted());
  });
});

describe('the check of packages refuses', () => {
  it.each<[string, Partial<LockedPackage>, string]>([
    ['a licence that is not listed', { license: 'AGPL-3.0' }, 'licence AGPL-3.0'],
    ['a licence of tools in what is shipped', { license: 'MPL-2.0' }, 'licence MPL-2.0'],
    ['a weak hash', { integrity: 'sha1-AAAA' }, 'no SHA-512 of what is installed'],
    ['another registry', { resolved: 'https://example.com/a.tgz' }, 'from https://example.com/a.tgz'],
    ['git', { resolved: 'git+ssh://git@github.com/a/a.git#1' }, 'from git+ssh://git@github.com/a/a.git#1'],
    ['a folder', { link: true }, 'a link to a folder'],
    ['an install script', { hasInstallScript: true }, 'an install script'],
  ])('%s', (_, change, problem) => {
    expect(judge({ ...good, ...change })).toEqual([`a 1.0.0: ${problem}`]);
  });

  it('packages without licence and hash', () => {
    expect(judge({ version: '1.0.0' })).toEqual(['a 1.0.0: no licence', 'a 1.0.0: no SHA-512 of what is installed']);
  });

  it('ranges, what is locked to something else, and old lock files', () => {
    expect(judge(good, { devDependencies: { a: '^1.0.0' } })).toEqual(['a: ^1.0.0 is not one version']);
    expect(judge(good, { devDependencies: { a: '1.0.1' } })).toEqual(['a: 1.0.1 is wanted, 1.0.0 is locked']);
    expect(judge(good, {}, { version: 2 })).toEqual(['lockfileVersion 2, not 3']);
  });

  it('nothing that is allowed', () => {
    expect(judge({ ...good, hasInstallScript: true }, { allowScripts: { a: true } })).toEqual([]);
    expect(judge({ ...good, license: 'MPL-2.0' }, {}, { shipped: [] })).toEqual([]);
    expect(judge({ ...good, resolved: 'https://registry.npmjs.org/a/-/a-1.0.0.tgz' })).toEqual([]);
  });
});

describe('npm audit', () => {
  it.each<[string, string, object]>([
    ['nothing known', '{"vulnerabilities":{}}', { outcome: 'clean', found: [] }],
    ['a low one', '{"vulnerabilities":{"a":{"severity":"low","range":"<2"}}}', { outcome: 'clean', found: [] }],
    [
      'a grave one',
      '{"vulnerabilities":{"a":{"severity":"critical","range":"<2"}}}',
      { outcome: 'vulnerable', found: ['a <2: critical'] },
    ],
    ['a tool', '{"vulnerabilities":{"b":{"severity":"critical","range":"<2"}}}', { outcome: 'clean', found: [] }],
    [
      'no network',
      '{"message":"request to https://registry.npmjs.org failed"}',
      { outcome: 'unknown', why: 'request to https://registry.npmjs.org failed' },
    ],
    ['an error without words', '{"error":{"summary":"","detail":""}}', { outcome: 'unknown' }],
    ['no JSON', 'npm: command not found', { outcome: 'unknown' }],
  ])('%s', (_, json, expected) => {
    expect(readAudit(json, ['a'])).toMatchObject(expected);
  });
});

describe('the list of what is shipped', () => {
  it('has the packages of the bundle alone, and no arrows to others', () => {
    const component = (name: string) => ({
      'bom-ref': `${name}@1`,
      properties: [{ name: 'cdx:npm:package:development', value: 'true' }],
    });
    const all = {
      metadata: { component: { 'bom-ref': 'us@1' } },
      components: [component('a'), component('tool')],
      dependencies: [
        { ref: 'us@1', dependsOn: ['a@1', 'tool@1'] },
        { ref: 'a@1', dependsOn: [] },
        { ref: 'tool@1', dependsOn: ['a@1'] },
      ],
    };
    expect(shippedSbom(all, ['a@1'])).toEqual({
      metadata: all.metadata,
      components: [{ 'bom-ref': 'a@1' }],
      dependencies: [
        { ref: 'us@1', dependsOn: ['a@1'] },
        { ref: 'a@1', dependsOn: [] },
      ],
    });
  });
});
