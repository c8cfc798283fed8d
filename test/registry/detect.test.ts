import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { cli } from '../support/cli.ts';
import { elf } from '../support/elf-builder.ts';
import { image, index } from '../support/image-builder.ts';
import { layer } from '../support/layer-builder.ts';
import { writeOciLayout } from '../support/oci-layout.ts';
import { startRegistry, type RegistryServer } from '../support/registry-server.ts';

const MUSL = elf({ interpreter: '/lib/ld-musl-x86_64.so.1' });
const GLIBC = elf({ interpreter: '/lib64/ld-linux-x86-64.so.2' });

const programs = (app: Buffer, architecture = 'amd64') =>
  image({
    layers: [
      layer(
        [
          { path: 'app', content: app },
          { path: 'other', content: GLIBC },
        ],
        'gzip',
      ),
    ],
    config: { os: 'linux', architecture, entrypoint: ['/app'] },
  });

let registry: RegistryServer;
let folder: string;
let single: string;
let both: string;

beforeAll(async () => {
  registry = await startRegistry();
  single = registry.put('team/app:v1', programs(MUSL));
  both = registry.put('team/both:v1', index([programs(GLIBC), programs(MUSL, 'arm64')], { attestation: 'first' }));
  folder = mkdtempSync(join(tmpdir(), 'libc-dns-detect-'));
  await writeOciLayout(join(folder, 'layout'), { v1: programs(MUSL) });
});

afterAll(async () => {
  await registry.close();
  rmSync(folder, { recursive: true });
});

type Entry = Record<string, unknown> & { evidence: Record<string, unknown>; error?: string };

async function detect(...argv: string[]) {
  const { code, out, err } = await cli(['detect', ...argv], { registries: true, environment: { HOME: folder } });
  return { code, out, err, entries: out.startsWith('[') ? (JSON.parse(out) as Entry[]) : [] };
}

it('says in YAML what it says in JSON', async () => {
  const untimed = (entries: readonly Entry[]) => entries.map((entry) => ({ ...entry, durationMs: 0 }));
  const { code, out } = await detect(single, '-o=yaml');
  expect(code).toBe(0);
  expect(untimed(parse(out) as Entry[])).toEqual(untimed((await detect(single, '-o', 'json')).entries));
});

describe('an image for another platform than was asked for', () => {
  it('is looked at, and the warning names both', async () => {
    const { code, err, entries } = await detect(single, '--platform', 'linux/arm64', '-o', 'json');
    expect([code, entries[0]?.['resolver'], entries[0]?.['platform']]).toEqual([0, 'musl', 'linux/amd64']);
    expect(err).toBe(`libc-dns: warning: ${single}: the image is for linux/amd64, not for linux/arm64 (--platform)\n`);
    expect((await detect(both, '--platform', 'linux/arm64/v8')).err).toBe('');
  });
});

describe('what stands in the way of a look-up', () => {
  it('is --offline, or the configuration', async () => {
    const file = join(folder, 'off.yaml');
    writeFileSync(file, 'detection: {registry: {enabled: false}}\n');
    expect(await detect(single, '--offline')).toMatchObject({
      code: 2,
      err: 'libc-dns: detect needs a registry: leave --offline out\n',
    });
    expect(await detect(single, '--config', file)).toMatchObject({
      code: 2,
      err: 'libc-dns: detect needs a registry: set detection.registry.enabled: true\n',
    });
  });

  it('is an image that is not there, of one', async () => {
    const { code, err } = await detect(single.replace('v1', 'v2'));
    expect([code, err]).toEqual([1, 'libc-dns: 1 of 1 image could not be read\n']);
  });
});

describe('--command', () => {
  it.each([
    ['/other', 'glibc'],
    [` "/other" 'with a space' \\'`, 'glibc'],
    [String.raw`sh -c 'exec /other "$@"' "a\"b"`, 'glibc'],
    ['"/ot"\'her\'', 'glibc'],
    [String.raw`/oth\er`, 'glibc'],
    ['["/other", "a b"]', 'glibc'],
    ["'/other x'", 'unknown'],
  ])('%s runs a program of %s', async (command, resolver) => {
    const { entries } = await detect(single, '--command', command, '-o', 'json');
    expect(entries).toMatchObject([{ resolver }]);
  });

  it.each(['', ' ', "'open", '"open', 'end\\', '[1]', '[]', '["a"'])('%j is refused', async (command) => {
    expect(await detect(single, '--command', command)).toMatchObject({
      code: 2,
      err: expect.stringMatching(
        /^libc-dns: option '--command <words>' .*Expected words, quoted as in a shell/s,
      ) as string,
    });
  });
});

describe('detect -o json', () => {
  it('has exactly the shape of the design', async () => {
    const { code, err, entries } = await detect(single, '-o', 'json');
    expect([code, err]).toEqual([0, '']);
    const evidence = { source: 'executable', detail: '/app: interpreter /lib/ld-musl-x86_64.so.1', confidence: 0.99 };
    expect(entries).toStrictEqual([
      {
        image: single,
        digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as unknown,
        platform: 'linux/amd64',
        executable: '/app',
        resolver: 'musl',
        libc: 'musl',
        evidence,
        resolvers: [{ resolver: 'musl', libc: 'musl', executable: '/app', evidence }],
        requests: 3,
        bytes: expect.any(Number) as unknown,
        durationMs: expect.any(Number) as unknown,
      },
    ]);
  });

  it('--platform chooses among the platforms of an index', async () => {
    const [amd64] = (await detect(both, '-o', 'json')).entries;
    const [arm64] = (await detect(both, '-o', 'json', '--platform', 'linux/arm64')).entries;
    expect([amd64?.['resolver'], arm64?.['resolver'], arm64?.['platform']]).toEqual(['glibc', 'musl', 'linux/arm64']);
  });

  it.each(['/other', '["/other"]', 'env A=b /other'])('--command %s is what is run', async (command) => {
    const [entry] = (await detect(single, '-o', 'json', '--command', command)).entries;
    expect(entry).toMatchObject({ resolver: 'glibc', executable: '/other' });
  });

  it('oci:DIR and oci:DIR:TAG read a layout, without any registry too', async () => {
    const [plain, tagged] = (await detect(`oci:${folder}/layout`, `oci:${folder}/layout:v1`, '-o', 'json', '--offline'))
      .entries;
    expect([plain?.['resolver'], tagged?.['resolver']]).toEqual(['musl', 'musl']);
  });

  it('bytes and requests are what went over the wire', async () => {
    const [sent, requests] = [registry.bytesSent(), registry.requests.length];
    const [entry] = (await detect(single, '-o', 'json')).entries;
    expect(entry?.['bytes']).toBe(registry.bytesSent() - sent);
    expect(entry?.['requests']).toBe(registry.requests.length - requests);
  });
});

describe('images that cannot be read: named, the others answered, exit 1', () => {
  it.each([
    { image: () => `${registry.host}/team/none:v1`, error: /^not-found: / },
    { image: () => 'UPPER/case', error: /^invalid-reference: .*lower case/ },
    { image: () => `oci:${folder}/nowhere`, error: /^(not-found|unavailable|invalid-answer): / },
    { image: () => 'oci:', error: /^invalid-reference: .*names no directory/ },
    { image: () => '127.0.0.1:1/app', error: /^unavailable: / },
  ])('$error', async ({ image: name, error }) => {
    const { code, entries, err } = await detect(name(), single, '-o', 'json');
    expect(code).toBe(1);
    expect(entries[0]).toMatchObject({ image: name(), resolver: 'unknown', digest: null, executable: null });
    expect(entries[0]?.error).toMatch(error);
    expect(entries[1]).toMatchObject({ resolver: 'musl' });
    expect(err).toBe('libc-dns: 1 of 2 images could not be read\n');
  });
});

describe('detect as a table', () => {
  it('a line for each image, in the order given', async () => {
    const { out } = await detect(both, single);
    const [head, first, second, end] = out.split('\n');
    expect(head).toMatch(/^IMAGE +RESOLVER +LIBC +REQUESTS +BYTES +MS +EVIDENCE$/);
    expect(first).toMatch(/team\/both:v1 +glibc +glibc +4 +\d+ +\d+ +\/app: interpreter .* \(executable, 0\.\d+\)$/);
    expect(second).toMatch(/team\/app:v1 +musl +musl +3 /);
    expect(end).toBe('');
  });
});

describe('what is refused', () => {
  it.each([
    { argv: [], says: "missing required argument 'image'" },
    { argv: ['a', '--offline'], says: 'detect needs a registry: leave --offline out' },
    { argv: ['a', '--command', ' '], says: 'Expected words, quoted as in a shell, or a JSON list of strings' },
    { argv: ['a', '--command', '[1]'], says: 'Expected words, quoted as in a shell, or a JSON list of strings' },
    { argv: ['a', '--platform', 'windows/amd64'], says: '--platform: detection.platform: expected a platform' },
  ])('detect $argv: exit 2', async ({ argv, says }) => {
    const { code, err } = await detect(...argv);
    expect(code).toBe(2);
    expect(err).toContain(says);
  });

  it.each([
    { yaml: 'detection: {registry: {allow: ["a b"]}}', says: 'detection.registry' },
    { yaml: 'detection: {registry: {caFile: /nowhere.pem}}', says: 'detection.registry.caFile: /nowhere.pem: ' },
    {
      yaml: 'detection: {registry: {dockerConfig: /nowhere.json}}',
      says: 'detection.registry.dockerConfig: /nowhere.json: ',
    },
    { yaml: 'detection: {registry: {mirrors: {docker.io: ["ftp://x"]}}}', says: 'detection.registry' },
  ])('a configuration that cannot be used: $yaml', async ({ yaml, says }) => {
    writeFileSync(join(folder, 'c.yaml'), yaml);
    for (const argv of [['detect', single, '--config'], ['config']]) {
      const { code, err } = await cli([...argv, join(folder, 'c.yaml')], { registries: true });
      expect(code).toBe(2);
      expect(err).toContain(says);
    }
  });
});

describe('logins of the person at the command line', () => {
  it('come from ~/.docker/config.json, and never show', async () => {
    const closed = await startRegistry({ auth: { kind: 'basic', username: 'alice', password: 's3cret' } });
    const name = closed.put('team/app:v1', programs(MUSL));
    const refused = await detect(name, '-o', 'json');
    expect(refused.entries[0]?.error).toMatch(/^unauthorized: /);

    mkdirSync(join(folder, '.docker'), { recursive: true });
    const auth = Buffer.from('alice:s3cret').toString('base64');
    writeFileSync(join(folder, '.docker', 'config.json'), JSON.stringify({ auths: { [closed.host]: { auth } } }));
    const { entries, out, err } = await detect(name, '-o', 'json');
    expect(entries[0]).toMatchObject({ resolver: 'musl' });
    expect(out + err).not.toContain('s3cret');
    await closed.close();
  });
});

describe('explain and inject look into images too', () => {
  const pod = (name: string) =>
    `apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: c, image: "${name}"}\n`;
  const environment = () => ({ HOME: folder, LIBC_DNS_DETECTION_REGISTRY_INSECURE: registry.host });

  it('explain: the resolver with its evidence', async () => {
    const { out } = await cli(['explain', '-o', 'json'], {
      stdin: pod(single),
      registries: true,
      environment: environment(),
    });
    expect(JSON.parse(out)).toMatchObject([
      {
        reason: 'MuslRetried',
        containers: [
          {
            resolver: 'musl',
            evidence: { source: 'executable' },
            resolvers: [{ resolver: 'musl', executable: '/app' }],
          },
        ],
      },
    ]);
  });

  it('explain: reads on at once where the first look was not sure', async () => {
    const filler = { path: 'aaa', content: randomBytes(700 * 1024) };
    const deep = registry.put(
      'team/deep:v1',
      image({
        layers: [layer([filler, { path: 'app', content: MUSL }], 'gzip')],
        config: { os: 'linux', architecture: 'amd64', entrypoint: ['/app'] },
      }),
    );
    const options = { stdin: pod(deep), registries: true, environment: environment() };
    const { out } = await cli(['explain', '-o', 'json'], options);
    expect(JSON.parse(out)).toMatchObject([{ containers: [{ resolver: 'musl', evidence: { source: 'executable' } }] }]);
  });

  it('inject: the patch for it; --offline asks nobody', async () => {
    const options = { stdin: pod(single), registries: true, environment: environment() };
    expect((await cli(['inject'], options)).out).toContain('attempts');
    const before = registry.requests.length;
    expect((await cli(['inject', '--offline'], options)).out).toContain('single-request-reopen');
    expect(registry.requests).toHaveLength(before);
  });

  it("a registry on this machine that only a manifest names is not called: manifests may be another's", async () => {
    const { out } = await cli(['explain', '-o', 'json'], {
      stdin: pod(single),
      registries: true,
      environment: { HOME: folder },
    });
    expect(out).toContain('loopback');
  });
});
