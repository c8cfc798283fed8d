import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { isLocal, withLocalImages } from '../../src/archives/local-images.ts';
import { cli } from '../support/cli.ts';
import { elf } from '../support/elf-builder.ts';
import { image } from '../support/image-builder.ts';
import { layer } from '../support/layer-builder.ts';
import { writeOciLayout } from '../support/oci-layout.ts';
import { amd64, lookupContext } from '../support/registry-harness.ts';
import { tar, type TarEntry, type TarOptions } from '../support/tar-builder.ts';

const MUSL = elf({ interpreter: '/lib/ld-musl-x86_64.so.1' });
const GLIBC = elf({ interpreter: '/lib64/ld-linux-x86-64.so.2' });

const built = (app: Buffer) =>
  image({ layers: [layer([{ path: 'app', content: app }], 'gzip')], config: { entrypoint: ['/app'] } });

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'libc-dns-archives-'));
  await writeOciLayout(join(folder, 'layout'), { musl: built(MUSL), glibc: built(GLIBC) });
});
afterAll(() => rmSync(folder, { recursive: true }));

const path = (name: string): string => join(folder, name);

interface Entry {
  readonly resolver: string;
  readonly digest: string | null;
  readonly requests: number;
  readonly error?: string;
}

async function detect(...images: string[]): Promise<Entry[]> {
  const { out } = await cli(['detect', '-o', 'json', ...images], { registries: true, environment: { HOME: folder } });
  return JSON.parse(out) as Entry[];
}

const errorOf = async (reference: string): Promise<string | undefined> => (await detect(reference))[0]?.error;

function has(program: string): boolean {
  const found = spawnSync(program, ['--version']).status === 0;
  if (!found) console.error(`\n!! IMAGE ARCHIVES OF ${program} WERE NOT READ: apt-get install ${program}\n`);
  return found;
}

describe.runIf(has('skopeo'))('archives that skopeo writes', () => {
  const skopeo = (...args: string[]): string =>
    execFileSync('skopeo', ['--insecure-policy', ...args], { encoding: 'utf8' });
  const digestOf = (reference: string): string =>
    (JSON.parse(skopeo('inspect', reference)) as { Digest: string }).Digest;

  it('docker-archive: the resolver, and the digest that skopeo says', async () => {
    skopeo('copy', '-q', `oci:${path('layout')}:musl`, `docker-archive:${path('docker.tar')}:team/app:v1`);
    const reference = `docker-archive:${path('docker.tar')}`;
    const [entry] = await detect(reference);
    expect(entry).toMatchObject({ resolver: 'musl', requests: 0, digest: digestOf(reference) });
  });

  it('oci-archive: by its tag, and by its place', async () => {
    skopeo('copy', '-q', `oci:${path('layout')}:musl`, `oci-archive:${path('oci.tar')}:v1`);
    const reference = `oci-archive:${path('oci.tar')}`;
    const entries = await detect(reference, `${reference}:v1`, `${reference}:@0`);
    expect(entries.map(({ resolver, digest }) => [resolver, digest])).toEqual(
      [1, 2, 3].map(() => ['musl', digestOf(reference)]),
    );
    expect(await errorOf(`${reference}:v2`)).toMatch(/^not-found: .*it has v1/);
    expect(await errorOf(`${reference}:@1`)).toMatch(/^not-found: /);
  });

  it.each([
    ['gzip', gzipSync],
    ['zstd', zstdCompressSync],
  ])('compressed by %s', async (name, compress) => {
    skopeo('copy', '-q', `oci:${path('layout')}:glibc`, `docker-archive:${path(`${name}.tar`)}:a:1`);
    writeFileSync(path(`${name}.packed`), compress(readFileSync(path(`${name}.tar`))));
    const [plain, packed] = await detect(
      `docker-archive:${path(`${name}.tar`)}`,
      `docker-archive:${path(`${name}.packed`)}`,
    );
    expect(packed).toMatchObject({ resolver: 'glibc', digest: plain?.digest });
  });
});

describe.runIf(has('buildah'))('archives that buildah writes, as podman save does', () => {
  it.each(['docker-archive', 'oci-archive'])('%s', async (transport) => {
    const store = ['--storage-driver', 'vfs', '--root', path('root'), '--runroot', path('run')];
    const buildah = (...args: string[]): string =>
      execFileSync('buildah', [...store, ...args], { encoding: 'utf8' }).trim();
    writeFileSync(path('app'), MUSL, { mode: 0o755 });
    const container = buildah('from', 'scratch');
    buildah('copy', '-q', container, path('app'), '/app');
    buildah('config', '--entrypoint', '["/app"]', container);
    const reference = `${transport}:${path(`buildah-${transport}.tar`)}`;
    buildah('commit', '-q', container, `${reference}:localhost/team/app:v2`);
    expect(await detect(reference)).toMatchObject([{ resolver: 'musl' }]);
    if (transport === 'docker-archive') {
      expect(await detect(`${reference}:localhost/team/app:v2`)).toMatchObject([{ resolver: 'musl' }]);
    }
  });
});

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** An image as `docker save` stores it: one layer, not compressed. */
function saved(app: Buffer) {
  const content = tar([{ path: 'app', content: app }]);
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: { Entrypoint: ['/app'] },
      rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(content)}`] },
    }),
  );
  return { content, config };
}

const json = (value: unknown): string => JSON.stringify(value);

function write(name: string, entries: readonly TarEntry[], options?: TarOptions): string {
  writeFileSync(path(name), tar(entries, options));
  return `docker-archive:${path(name)}`;
}

const one = saved(MUSL);
const two = saved(GLIBC);

describe('archives of docker save', () => {
  it('of Docker 24 and before: a folder for each layer, of which equal ones are links', async () => {
    const id = 'a'.repeat(64);
    const other = 'b'.repeat(64);
    const reference = write('docker24.tar', [
      { path: `${id}/`, type: 'dir' },
      { path: `${id}/VERSION`, content: '1.0' },
      { path: `${other}/layer.tar`, type: 'symlink', target: `../${id}/layer.tar` },
      { path: `${id}/layer.tar`, content: one.content },
      { path: `${sha256(one.config)}.json`, content: one.config },
      {
        path: 'manifest.json',
        content: json([
          { Config: `${sha256(one.config)}.json`, RepoTags: ['team/app:v1'], Layers: [`${other}/layer.tar`] },
        ]),
      },
    ]);
    expect(await detect(reference)).toMatchObject([{ resolver: 'musl' }]);
  });

  it('of Docker 25 and after: an OCI layout beside manifest.json', async () => {
    const blob = (bytes: Buffer): TarEntry => ({ path: `blobs/sha256/${sha256(bytes)}`, content: bytes });
    const manifest = Buffer.from(
      json({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config: {
          mediaType: 'application/vnd.oci.image.config.v1+json',
          digest: `sha256:${sha256(one.config)}`,
          size: one.config.length,
        },
        layers: [
          {
            mediaType: 'application/vnd.oci.image.layer.v1.tar',
            digest: `sha256:${sha256(one.content)}`,
            size: one.content.length,
          },
        ],
      }),
    );
    const annotations = {
      'io.containerd.image.name': 'docker.io/team/app:v1',
      'org.opencontainers.image.ref.name': 'v1',
    };
    const reference = write('docker25.tar', [
      blob(one.config),
      blob(one.content),
      blob(manifest),
      {
        path: 'index.json',
        content: json({
          schemaVersion: 2,
          manifests: [
            {
              mediaType: 'application/vnd.oci.image.manifest.v1+json',
              digest: `sha256:${sha256(manifest)}`,
              size: manifest.length,
              annotations,
            },
          ],
        }),
      },
      { path: 'oci-layout', content: json({ imageLayoutVersion: '1.0.0' }) },
      {
        path: 'manifest.json',
        content: json([
          {
            Config: `blobs/sha256/${sha256(one.config)}`,
            RepoTags: ['team/app:v1'],
            Layers: [`blobs/sha256/${sha256(one.content)}`],
          },
        ]),
      },
    ]);
    const both = await detect(reference, reference.replace('docker-archive', 'oci-archive'));
    expect(both.map(({ resolver }) => resolver)).toEqual(['musl', 'musl']);
    expect(both[1]?.digest).toBe(`sha256:${sha256(manifest)}`);
  });

  it.each([{ longNames: 'pax' }, { longNames: 'gnu' }] as const)(
    'of several images wants a name: %j',
    async (options) => {
      const long = 'x'.repeat(120);
      const reference = write(
        'several.tar',
        [
          { path: `${long}/one.tar`, content: one.content },
          { path: 'two.tar', content: two.content },
          { path: 'one.json', content: one.config },
          { path: 'two.json', content: two.config },
          {
            path: './manifest.json',
            content: json([
              {
                Config: 'one.json',
                RepoTags: ['docker.io/library/app:1', 'NOT A REFERENCE'],
                Layers: [`${long}/one.tar`],
              },
              { Config: 'two.json', RepoTags: ['localhost/app:2'], Layers: ['two.tar'] },
              { Config: 'two.json', RepoTags: null, Layers: ['two.tar'] },
            ]),
          },
        ],
        options,
      );
      const entries = await detect(`${reference}:app:1`, `${reference}:localhost/app:2`, `${reference}:@2`);
      expect(entries.map(({ resolver }) => resolver)).toEqual(['musl', 'glibc', 'glibc']);
      expect(await errorOf(reference)).toMatch(
        /^invalid-reference: .*several images: name one of docker\.io\/library\/app:1, /,
      );
      expect(await errorOf(`${reference}:app:3`)).toMatch(/^not-found: .*app:3 is not in the archive/);
      expect(await errorOf(`${reference}:@3`)).toMatch(/^not-found: /);
    },
  );
});

describe('archives that lie', () => {
  const manifest = (entry: object): TarEntry => ({ path: 'manifest.json', content: json([entry]) });
  const config: TarEntry = { path: 'c.json', content: one.config };

  it.each<[string, TarEntry[], RegExp]>([
    [
      'a path out of it',
      [config, manifest({ Config: 'c.json', Layers: ['../../../../etc/passwd'] })],
      /not-found: .*no "etc\/passwd"/,
    ],
    [
      'an absolute path',
      [config, manifest({ Config: '/etc/hostname', Layers: [] })],
      /not-found: .*no "etc\/hostname"/,
    ],
    [
      'a link out of it',
      [
        config,
        { path: 'l.tar', type: 'symlink', target: '/etc/passwd' },
        manifest({ Config: 'c.json', Layers: ['l.tar'] }),
      ],
      /not-found: .*no "etc\/passwd"/,
    ],
    [
      'links in a circle',
      [
        { path: 'a', type: 'symlink', target: 'b' },
        { path: 'b', type: 'hardlink', target: 'a' },
        manifest({ Config: 'a', Layers: [] }),
      ],
      /invalid-answer: .*"a" leads along too many links/,
    ],
    [
      'fewer layers than it says',
      [config, manifest({ Config: 'c.json', Layers: [] })],
      /invalid-answer: .*0 layers, and its configuration 1/,
    ],
    ['no manifest', [config], /not-found: .*no "manifest\.json"/],
    [
      'a manifest of something else',
      [{ path: 'manifest.json', content: '{"a":1}' }],
      /invalid-answer: .*not one of docker save/,
    ],
    ['a manifest of no images', [{ path: 'manifest.json', content: '[]' }], /invalid-answer: .*not one of docker save/],
    [
      'a manifest too large',
      [{ path: 'manifest.json', content: ' '.repeat(5 << 20) }],
      /invalid-answer: .*longer than/,
    ],
    ['a device for a manifest', [{ path: 'manifest.json', type: 'fifo' }], /invalid-answer: /],
  ])('%s', async (_, entries, message) => {
    expect(await errorOf(write('hostile.tar', entries))).toMatch(message);
  });

  it('about its length, by cutting it', async () => {
    write('cut.tar', [
      config,
      { path: 'l.tar', content: one.content },
      manifest({ Config: 'c.json', Layers: ['l.tar'] }),
    ]);
    truncateSync(path('cut.tar'), 1500);
    expect(await errorOf(`docker-archive:${path('cut.tar')}`)).toMatch(
      /invalid-answer: .*damaged, cut off or too large/,
    );
  });

  it('about the length of a file', async () => {
    const header = tar([{ path: 'manifest.json', content: '[]' }]);
    header.write('77777777777', 124, 'latin1');
    header.write('        ', 148, 'latin1');
    const sum = header.subarray(0, 512).reduce((all, byte) => all + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    writeFileSync(path('huge.tar'), header);
    expect(await errorOf(`docker-archive:${path('huge.tar')}`)).toMatch(
      /invalid-answer: .*damaged, cut off or too large/,
    );
  });

  it('about what it inflates to: nothing stays on the disk', async () => {
    const before = readdirSync(tmpdir());
    writeFileSync(path('bomb.tar'), gzipSync(Buffer.alloc(64 << 20)));
    expect(await errorOf(`docker-archive:${path('bomb.tar')}`)).toMatch(
      /invalid-answer: .*cannot be inflated: ratio-limit/,
    );
    expect(
      readdirSync(tmpdir()).filter((name) => !before.includes(name) && name.startsWith('libc-dns-archive-')),
    ).toEqual([]);
  });

  it.each<[string, (file: string) => void, RegExp]>([
    ['no tar', (file) => writeFileSync(file, 'no tar at all, but text of some length'), /is not a tar file/],
    ['empty', (file) => writeFileSync(file, ''), /is not a tar file/],
    ['bzip2', (file) => writeFileSync(file, 'BZh91AY&SY'), /compressed by bzip2 or xz: unpack it first/],
    [
      'half a gzip',
      (file) => writeFileSync(file, gzipSync(tar([config])).subarray(0, 40)),
      /is not a tar file|cannot be inflated/,
    ],
    [
      'an OCI archive',
      (file) => writeFileSync(file, tar([{ path: 'index.json', content: Buffer.from('{}') }])),
      /has no "manifest\.json", as docker save writes it: if it is an OCI archive, write oci-archive:FILE/,
    ],
    ['a folder', (file) => mkdirSync(file), /is not a regular file/],
    ['a pipe', (file) => execFileSync('mkfifo', [file]), /is not a regular file/],
    ['nothing', () => {}, /no such file or directory/],
  ])('%s', async (_, make, message) => {
    rmSync(path('other'), { recursive: true, force: true });
    make(path('other'));
    expect(await errorOf(`docker-archive:${path('other')}`)).toMatch(message);
  });

  it('an archive of docker save, taken for an OCI archive', async () => {
    writeFileSync(path('old.tar'), tar([{ path: 'manifest.json', content: Buffer.from('[]') }]));
    expect(await errorOf(`oci-archive:${path('old.tar')}`)).toMatch(
      /has no "index\.json", as an OCI archive has it: if docker save wrote it, write docker-archive:FILE/,
    );
  });

  it('about the digests of an OCI layout', async () => {
    await writeOciLayout(path('changed'), { v1: built(MUSL) });
    const { digest } = built(MUSL);
    appendFileSync(path(`changed/blobs/${digest.replace(':', '/')}`), ' ');
    execFileSync('tar', ['-cf', path('changed.tar'), '-C', path('changed'), '.']);
    expect(await errorOf(`oci-archive:${path('changed.tar')}`)).toMatch(/^invalid-answer: .*does not have that digest/);
  });
});

describe('names of images on this disk', () => {
  it.each(['docker-archive:', 'docker-archive::a', 'oci-archive:x.tar:'])('%s names none', (text) => {
    expect(isLocal(text)).toBe(true);
    const sources = withLocalImages({ open: () => expect.fail(), canonical: () => expect.fail() });
    expect(() => sources.canonical(text)).toThrow(expect.objectContaining({ code: 'invalid-reference' }));
  });

  it('other names go on to the registries', () => {
    const sources = withLocalImages({ open: () => expect.fail(), canonical: (text) => `canonical ${text}` });
    expect(sources.canonical('nginx:1')).toBe('canonical nginx:1');
    expect(sources.canonical('docker-archive:/a/../b.tar:x:1')).toBe('docker-archive:/b.tar:x:1');
    expect(isLocal('registry.example/docker-archive:v1')).toBe(false);
  });

  it('an archive is opened once, and again if that was given up', async () => {
    write('once.tar', [
      { path: 'c.json', content: one.config },
      { path: 'l.tar', content: one.content },
      manifestOfOne,
    ]);
    const sources = withLocalImages({ open: () => expect.fail(), canonical: () => expect.fail() });
    const reference = `docker-archive:${path('once.tar')}`;
    const reason = new Error('over');
    await expect(sources.open(reference).manifest(amd64, lookupContext([], AbortSignal.abort(reason)))).rejects.toBe(
      reason,
    );
    const source = sources.open(reference);
    const manifest = await source.manifest(amd64, lookupContext());
    rmSync(path('once.tar'));
    expect(await sources.open(reference).config(manifest, lookupContext())).toMatchObject({ entrypoint: ['/app'] });
    await sources.close();
  });
});

const manifestOfOne: TarEntry = {
  path: 'manifest.json',
  content: json([{ Config: 'c.json', RepoTags: ['a:1'], Layers: ['l.tar'] }]),
};
