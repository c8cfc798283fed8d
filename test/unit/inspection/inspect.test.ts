import { randomBytes } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import type { DetectRequest, Inspection } from '../../../src/detection/detector.ts';
import { createInspector, inspectImage } from '../../../src/inspection/inspect.ts';
import { backgroundScanLimits } from '../../../src/inspection/limits.ts';
import { elf, PT_GNU_RELRO } from '../../support/elf-builder.ts';
import { type BuiltImage, image, type ImageConfigOptions } from '../../support/image-builder.ts';
import { type BuiltLayer, type Compression, layer } from '../../support/layer-builder.ts';
import { memorySource, type MemorySource, type MemorySourceOptions } from '../../support/memory-source.ts';
import type { TarEntry } from '../../support/tar-builder.ts';

const platform = { os: 'linux', architecture: 'amd64' };
const gnuNote = [{ owner: 'GNU', type: 1 }];
const musl = elf({ interpreter: '/lib/ld-musl-x86_64.so.1' });
const glibc = elf({ interpreter: '/lib64/ld-linux-x86-64.so.2', notes: gnuNote });
const go = elf({ notes: [{ owner: 'Go', type: 4 }] });
const cgo = elf({ interpreter: '/lib64/ld-linux-x86-64.so.2', notes: [{ owner: 'Go', type: 4 }] });
const staticMusl = elf({ segments: [{ type: PT_GNU_RELRO }], text: 'No error information' });
const staticUnmarked = elf({ text: 'a library nobody knows', size: 40_000 });

const muslGo = elf({ interpreter: '/lib/ld-musl-x86_64.so.1', notes: [{ owner: 'Go', type: 4 }] });
const staticCgo = elf({ notes: [...gnuNote, { owner: 'Go', type: 4 }] });

/** What does not compress, so that what follows is far into the layer. */
const filler = (kib: number, path = 'aaa/filler'): TarEntry => ({
  path,
  content: randomBytes(kib * 1024),
  mode: 0o644,
});
const program = (path: string, content: Buffer): TarEntry => ({ path, content });
const link = (path: string, target: string): TarEntry => ({ path, type: 'symlink', target });
const folder = (path: string): TarEntry => ({ path, type: 'dir' });

const alpine = layer([
  link('bin/arch', '/bin/busybox'),
  program('bin/busybox', musl),
  link('bin/sh', '/bin/busybox'),
  { path: 'etc/alpine-release', content: '3.22.2\n' },
  { path: 'lib/ld-musl-x86_64.so.1', content: elf({ type: 3 }) },
]);
const debian = layer([
  link('bin', 'usr/bin'),
  filler(240, 'etc/ssl/certs'),
  program('usr/bin/bash', glibc),
  { path: 'usr/lib64/ld-linux-x86-64.so.2', content: elf({ type: 3, text: 'GLIBC_PRIVATE' }) },
]);
const alpineLine = 'ADD alpine-minirootfs-3.22.2-x86_64.tar.gz / # buildkit';
const debianLine = "# debian.sh --arch 'amd64' out/ 'trixie'";

/** An image whose layers come with the history lines that made them. */
function made(steps: readonly (readonly [string, BuiltLayer])[], config: ImageConfigOptions): BuiltImage {
  const history = steps.map(([createdBy]) => ({ createdBy }));
  return image({ layers: steps.map(([, built]) => built), config: { history, ...config } });
}

interface Looked {
  readonly inspection: Inspection;
  readonly source: MemorySource;
  readonly meter: { readonly requests: number; readonly bytes: number };
}

async function look(
  built: BuiltImage,
  pod: Partial<DetectRequest> = {},
  options: MemorySourceOptions = {},
  inspect = inspectImage,
): Promise<Looked> {
  const source = memorySource(built, options);
  const meter = { requests: 0, bytes: 0 };
  const request = { reference: 'image', platform, command: [], args: [], ...pod };
  const inspection = await inspect(source, request, { signal: new AbortController().signal, meter });
  return { inspection, source, meter };
}

const server = (content: Buffer, compression: Compression = 'gzip'): BuiltLayer =>
  layer([program('app/server', content)], compression);
const runServer = { entrypoint: ['/app/server'] };

describe('Go with an environment that names its resolver (net/conf.go)', () => {
  const libc = (env: string[]) => [env, 'glibc'] as const;
  const own = (env: string[]) => [env, 'go'] as const;

  it.each([
    libc(['GODEBUG=netdns=cgo']),
    libc(['GODEBUG=netdns=cgo+2']),
    libc(['GODEBUG=netdns=1+cgo']),
    libc(['GODEBUG=http2client=0,netdns=cgo,x=y']),
    libc(['GODEBUG=netdns=go,netdns=cgo']),
    libc(['GODEBUG=netdns=cgo#1']),
    libc(['RES_OPTIONS=ndots:2']),
    libc(['HOSTALIASES=/etc/aliases']),
    libc(['LOCALDOMAIN=']),
    libc(['LOCALDOMAIN=example.org', 'GODEBUG=netdns=2']),
    own([]),
    own(['GODEBUG=netdns=go', 'LOCALDOMAIN=example.org', 'RES_OPTIONS=ndots:2']),
    own(['GODEBUG=netdns=go+1', 'HOSTALIASES=/etc/aliases']),
    own(['GODEBUG=netdns=cgo,netdns=go']),
    own(['GODEBUG=netdns=2']),
    own(['GODEBUG=xnetdns=cgo']),
    own(['GODEBUG=netdns=CGO']),
    own(['RES_OPTIONS=', 'HOSTALIASES=']),
  ])('%j: %s', async (env, resolver) => {
    const { inspection } = await look(image({ layers: [server(cgo)], config: { ...runServer, env } }));
    expect(inspection.verdict).toMatchObject({ resolver, libc: 'glibc', evidence: { source: 'executable' } });
  });

  it('the evidence names the variable', async () => {
    const config = { ...runServer, env: ['GODEBUG=netdns=cgo'] };
    const { inspection } = await look(image({ layers: [server(cgo)], config }));
    expect(inspection.verdict.evidence.detail).toBe(
      '/app/server: interpreter /lib64/ld-linux-x86-64.so.2, made by Go, resolves through its libc because of GODEBUG=netdns=cgo',
    );
  });

  it.each([
    { image: [], pod: { GODEBUG: 'netdns=cgo' }, resolver: 'glibc' },
    { image: ['GODEBUG=netdns=cgo'], pod: { GODEBUG: 'netdns=go' }, resolver: 'go' },
    { image: ['GODEBUG=netdns=cgo'], pod: { GODEBUG: '' }, resolver: 'go' },
    { image: ['RES_OPTIONS=ndots:2'], pod: { RES_OPTIONS: '' }, resolver: 'go' },
    { image: ['GODEBUG=netdns=go'], pod: { LOCALDOMAIN: '' }, resolver: 'go' },
    { image: [], pod: { LOCALDOMAIN: '' }, resolver: 'glibc' },
  ])("the Pod's $pod wins over the image's $image: $resolver", async ({ image: env, pod, resolver }) => {
    const built = image({ layers: [server(cgo)], config: { ...runServer, env } });
    const { inspection } = await look(built, { env: pod });
    expect(inspection.verdict.resolver).toBe(resolver);
  });

  it('the variable may stand in the command line', async () => {
    const config = { entrypoint: ['env', 'GODEBUG=netdns=cgo', '/app/server'] };
    const { inspection } = await look(image({ layers: [server(cgo)], config }));
    expect(inspection.verdict.resolver).toBe('glibc');
    const unset = { entrypoint: ['env', '-u', 'GODEBUG', '/app/server'], env: ['GODEBUG=netdns=cgo'] };
    expect((await look(image({ layers: [server(cgo)], config: unset }))).inspection.verdict.resolver).toBe('go');
  });

  it.each([
    ['linked to musl', muslGo, { resolver: 'musl', libc: 'musl' }],
    ['static', go, { resolver: 'go', libc: 'none' }],
    ['static, with a glibc in it', staticCgo, { resolver: 'glibc', libc: 'glibc' }],
    ['not Go', glibc, { resolver: 'glibc', libc: 'glibc' }],
  ])('%s', async (_, content, expected) => {
    const config = { ...runServer, env: ['GODEBUG=netdns=cgo'] };
    const { inspection } = await look(image({ layers: [server(content)], config }));
    expect(inspection.verdict).toMatchObject(expected);
  });
});

describe('the program decides, not the distribution', () => {
  const onAlpine = [alpineLine, alpine] as const;
  const onDebian = [debianLine, debian] as const;
  it.each([
    ['musl on Alpine', onAlpine, musl, { resolver: 'musl', libc: 'musl' }],
    ['Go on Alpine', onAlpine, go, { resolver: 'go', libc: 'none' }],
    ['glibc on Debian', onDebian, glibc, { resolver: 'glibc', libc: 'glibc' }],
    ['cgo on Debian', onDebian, cgo, { resolver: 'go', libc: 'glibc' }],
    ['static musl on Debian', onDebian, staticMusl, { resolver: 'musl', libc: 'musl' }],
    ['klibc', onDebian, elf({ interpreter: '/lib/klibc-x.so' }), { resolver: 'other', libc: 'other' }],
    ['Android', onDebian, elf({ interpreter: '/system/bin/linker64' }), { resolver: 'other', libc: 'other' }],
    ['a static program of who knows what', onDebian, staticUnmarked, { resolver: 'unknown', libc: 'unknown' }],
    ['a text file', onDebian, Buffer.from('hello'), { resolver: 'unknown', libc: 'unknown' }],
  ])('%s', async (_name, base, content, expected) => {
    const steps = [base, ['COPY server /app/server # buildkit', server(content)] as const];
    const { inspection, meter } = await look(made(steps, runServer));
    expect(inspection.verdict).toMatchObject(expected);
    expect(inspection.executable).toBe('/app/server');
    expect(meter.requests).toBeLessThanOrEqual(4);
    expect(meter.bytes).toBeLessThan(64 * 1024);
  });

  it('a static program is not called musl by its shape where the history says uClibc', async () => {
    const shaped = elf({ segments: [{ type: PT_GNU_RELRO }], size: 40_000 });
    const run = { cmd: ['/app/server'] };
    expect((await look(made([['ADD rootfs.tar / ', server(shaped)]], run))).inspection.verdict.resolver).toBe('musl');
    const uclibc = await look(made([['BusyBox 1.37.0 (uclibc), Buildroot 2025.05', server(shaped)]], run));
    expect(uclibc.inspection.verdict.resolver).toBe('unknown');
  });

  it('says what was seen, and how sure that makes', async () => {
    const built = made(
      [
        [alpineLine, alpine],
        ['COPY server /app/', server(musl)],
      ],
      runServer,
    );
    const { inspection } = await look(built);
    expect(inspection).toEqual({
      digest: built.digest,
      platform,
      executable: '/app/server',
      decidedBy: 'entrypoint',
      verdict: {
        resolver: 'musl',
        libc: 'musl',
        evidence: {
          source: 'executable',
          detail: '/app/server: interpreter /lib/ld-musl-x86_64.so.1',
          confidence: 0.99,
        },
      },
    });
  });

  it("names of an image's own choosing are shown without control characters", async () => {
    const path = 'app/\u001B[2Jx\u202E';
    const { inspection } = await look(image({ layers: [layer([program(path, musl)])], config: { cmd: [`/${path}`] } }));
    expect(inspection.verdict.evidence.detail).toBe('/app/\\u{1b}[2Jx\\u{202e}: interpreter /lib/ld-musl-x86_64.so.1');
  });
});

describe("behind glibc's loader's name", () => {
  const gcompatLine = 'RUN apk add gcompat';
  const app: readonly [string, BuiltLayer] = ['COPY server /app/server', server(glibc)];
  const steps = (shim: BuiltLayer) => [[alpineLine, alpine] as const, [gcompatLine, shim] as const, app];

  it.each([
    ['a link to musl', layer([link('lib64/ld-linux-x86-64.so.2', '../lib/ld-musl-x86_64.so.1')]), 'musl'],
    ['a program that musl runs', layer([program('lib64/ld-linux-x86-64.so.2', musl)]), 'musl'],
    ['a static program of musl', layer([program('lib64/ld-linux-x86-64.so.2', staticMusl)]), 'musl'],
    [
      "glibc's own",
      layer([program('lib64/ld-linux-x86-64.so.2', elf({ type: 3, text: 'x\0GLIBC_PRIVATE' }))]),
      'glibc',
    ],
  ])('%s', async (_name, shim, libc) => {
    const { inspection } = await look(made(steps(shim), runServer));
    expect(inspection.verdict).toMatchObject({ resolver: libc, libc });
  });

  it('the base is looked at when no words tell whose it is', async () => {
    const shim = layer([program('lib64/ld-linux-x86-64.so.2', musl)]);
    const { inspection, meter } = await look(image({ layers: [alpine, shim, server(glibc)], config: runServer }));
    expect(inspection.verdict.resolver).toBe('musl');
    expect(meter.requests).toBeLessThanOrEqual(6);
  });

  it('on a musl image, a loader that was not seen leaves it unknown', async () => {
    const { inspection } = await look(made([[alpineLine, alpine], ['RUN x', layer([filler(900)])], app], runServer));
    expect(inspection.verdict).toMatchObject({ resolver: 'unknown' });
  });
});

describe('a label that lies', () => {
  const labels = { 'org.opencontainers.image.base.name': 'docker.io/library/alpine:3.22' };
  it.each([
    ['history', [debianLine, debian] as const],
    ['layers', ['', debian] as const],
  ])('is outranked by %s', async (_name, base) => {
    const { inspection } = await look(
      made([base, ['COPY server /app/server', server(glibc)]], { ...runServer, labels }),
    );
    expect(inspection.verdict.resolver).toBe('glibc');
  });
});

describe('a program that is out of reach', () => {
  const far = (path: string, content: Buffer): BuiltLayer => layer([filler(900), program(path, content)]);
  const nginx = { cmd: ['nginx'] };

  it("is taken for the base's where distributions put it and nobody copied it there", async () => {
    const built = made(
      [
        [alpineLine, alpine],
        ['RUN apk add nginx', far('usr/sbin/nginx', musl)],
      ],
      nginx,
    );
    const { inspection, meter } = await look(built);
    expect(inspection.verdict).toMatchObject({
      resolver: 'musl',
      evidence: { source: 'base-layer', confidence: 0.5 },
    });
    expect(meter.bytes).toBeLessThanOrEqual(512 * 1024);
    expect(meter.requests).toBeLessThanOrEqual(6);
  });

  it('is unknown where it was copied in on a musl base: it may be Go', async () => {
    const built = made(
      [
        [alpineLine, alpine],
        ['COPY /out /app', far('app/server', go)],
      ],
      runServer,
    );
    expect((await look(built)).inspection.verdict).toMatchObject({ resolver: 'unknown', evidence: { confidence: 0 } });
  });

  it('is unknown where its name may be that of a Go program that the distribution packages', async () => {
    const built = made(
      [
        [debianLine, debian],
        ['RUN apt-get install -y prometheus-node-exporter', far('usr/bin/prometheus-node-exporter', go)],
      ],
      { cmd: ['prometheus-node-exporter'] },
    );
    const { inspection } = await look(built);
    expect(inspection.verdict.resolver).toBe('unknown');
    expect(inspection.verdict.evidence.detail).toBe(
      "prometheus-node-exporter was not in what was read of the image, and the base layer's glibc need not be its own",
    );
  });

  it('is unknown where its name is well known, but it was fetched', async () => {
    const built = made(
      [
        [debianLine, debian],
        ['RUN curl -fsSLo /usr/sbin/cron https://example.org/cron', far('usr/sbin/cron', go)],
      ],
      { cmd: ['cron'] },
    );
    expect((await look(built)).inspection.verdict.resolver).toBe('unknown');
  });

  it('is unknown in an image that builds Go programs', async () => {
    const config = { cmd: ['tool'], env: ['GOLANG_VERSION=1.26', 'PATH=/go/bin:/usr/bin'] };
    const built = made(
      [
        [debianLine, debian],
        ['RUN go install tool', far('go/bin/tool', go)],
      ],
      config,
    );
    expect((await look(built)).inspection.verdict.resolver).toBe('unknown');
  });

  it("is told by the image's words where even the base is out of reach", async () => {
    const base = layer([filler(900), program('bin/sh', glibc)]);
    const history = await look(made([[debianLine, base]], nginx));
    expect(history.inspection.verdict).toMatchObject({ resolver: 'glibc', evidence: { source: 'history' } });
    const labels = { 'org.opencontainers.image.base.name': 'docker.io/library/alpine:3.22' };
    const label = await look(image({ layers: [base], config: { ...nginx, labels } }));
    expect(label.inspection.verdict).toMatchObject({
      resolver: 'musl',
      evidence: { source: 'label', confidence: 0.3 },
    });
  });

  it('is unknown where the words contradict each other', async () => {
    const base = layer([filler(900), program('bin/sh', glibc)]);
    const labels = { 'org.opencontainers.image.base.name': 'docker.io/library/alpine:3.22' };
    const { inspection } = await look(made([[debianLine, base]], { ...nginx, labels }));
    expect(inspection.verdict.resolver).toBe('unknown');
  });

  it('is found by a background scan', async () => {
    const built = made(
      [
        [alpineLine, alpine],
        ['COPY /out /app', far('app/server', go)],
      ],
      runServer,
    );
    const { inspection } = await look(built, {}, {}, createInspector(backgroundScanLimits));
    expect(inspection.verdict).toMatchObject({ resolver: 'go', evidence: { source: 'executable' } });
  });
});

describe('other layers', () => {
  it('a newer small layer that history does not explain is read', async () => {
    const steps = [
      [debianLine, debian],
      ['COPY server /app/server', server(glibc)],
      ['RUN make install', server(musl)],
    ] as const;
    expect((await look(made(steps, runServer))).inspection.verdict.resolver).toBe('musl');
  });

  it('a newer layer that may replace the program and cannot be read leaves it unknown', async () => {
    const steps = [
      [debianLine, debian],
      ['COPY server /app/server', server(glibc)],
      ['RUN make install', server(musl)],
    ] as const;
    const { inspection, meter } = await look(made(steps, runServer), {}, { manifestRequests: 4 });
    expect(inspection.verdict.resolver).toBe('unknown');
    expect(meter.requests).toBeLessThanOrEqual(6);
  });

  it('one layer is read even where logins have used up the requests', async () => {
    const built = made(
      [
        [alpineLine, alpine],
        ['COPY server /app/server', server(go)],
      ],
      runServer,
    );
    const { inspection, source } = await look(built, {}, { manifestRequests: 9 });
    expect(inspection.verdict.resolver).toBe('go');
    expect(source.requests).toHaveLength(1);
  });

  it.each(['estargz', 'zstd:chunked'] as const)('%s: its table says where the program is', async (compression) => {
    const entries = [filler(3000), program('app/server', go), link('app/run', 'server')];
    const built = image({ layers: [alpine, layer(entries, compression)], config: { cmd: ['/app/run'] } });
    const { inspection, meter } = await look(built);
    expect(inspection).toMatchObject({ verdict: { resolver: 'go' }, executable: '/app/server' });
    expect(meter.bytes).toBeLessThan(96 * 1024);
    expect(meter.requests).toBeLessThanOrEqual(6);
  });

  it.each(['estargz', 'zstd:chunked'] as const)(
    '%s: a table with another digest is not believed',
    async (compression) => {
      const good = layer([folder('app'), program('app/server', go), folder('aaa'), filler(200)], compression);
      const annotations = Object.fromEntries(
        Object.entries(good.descriptor.annotations ?? {}).map(([name, value]) => [
          name,
          value.startsWith('sha256:') ? `sha256:${'0'.repeat(64)}` : value,
        ]),
      );
      const built = image({
        layers: [{ ...good, descriptor: { ...good.descriptor, annotations } }],
        config: runServer,
      });
      const { inspection, source } = await look(built);
      expect(inspection.verdict.resolver).toBe('go');
      expect(source.requests.at(-1)).toMatchObject({ offset: 0 });
    },
  );

  it.each(['gzip', 'zstd', 'none'] as const)('%s by its magic, whatever the media type says', async (compression) => {
    const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip';
    const built = server(musl, compression);
    const { inspection } = await look(
      image({ layers: [{ ...built, descriptor: { ...built.descriptor, mediaType } }], config: runServer }),
    );
    expect(inspection.verdict.resolver).toBe('musl');
  });
});

describe('which program', () => {
  const script = (text: string): BuiltLayer => layer([{ path: 'entry.sh', content: text }]);
  it.each([
    [
      'the arguments of a script that ends in exec',
      '#!/bin/sh\nexec "$@"',
      { entrypoint: ['/entry.sh'], cmd: ['/app/server'] },
      'go',
    ],
    ['what a script executes', '#!/bin/sh\nexec /app/server', { entrypoint: ['/entry.sh'] }, 'go'],
    ['a script given to a shell', '#!/bin/sh\nexec /app/server', { entrypoint: ['sh', '/entry.sh'] }, 'go'],
    ['what a script waits for', '#!/bin/sh\n/app/server &\nwait', { entrypoint: ['/entry.sh'] }, 'go'],
    [
      'none, where what a script executes is not there',
      '#!/bin/sh\nexec "$@"',
      { entrypoint: ['/entry.sh'], cmd: ['/no'] },
      'unknown',
    ],
    ['neither of a supervisor', '#!/command/execlineb\n', { entrypoint: ['/entry.sh'] }, 'unknown'],
    ['none of a script that runs itself for ever', '#!/entry.sh', { entrypoint: ['/entry.sh'] }, 'unknown'],
  ])('%s', async (_name, text, config, resolver) => {
    const execline = layer([program('command/execlineb', musl)]);
    const built = image({ layers: [alpine, execline, server(go), script(text)], config });
    expect((await look(built)).inspection.verdict.resolver).toBe(resolver);
  });

  it.each<[string, ImageConfigOptions, Partial<DetectRequest>, Inspection['decidedBy']]>([
    ['the Entrypoint', runServer, { args: ['--job', '17'] }, 'entrypoint'],
    ["the Pod's command", {}, { command: ['/app/server'], args: ['17'] }, 'first-word'],
    ["the Pod's args, where there is no Entrypoint", {}, { args: ['/app/server', '17'] }, 'first-word'],
    ['all words: the Cmd of the image', { cmd: ['/app/server'] }, {}, undefined],
    ['all words: a wrapper', { entrypoint: ['env'] }, { args: ['/app/server'] }, undefined],
    ['all words: a shell', { entrypoint: ['/bin/sh'] }, { args: ['-c', 'exec /app/server'] }, undefined],
    ['all words: a script', { entrypoint: ['/entry.sh'] }, { args: ['/app/server'] }, undefined],
    ['all words: a program that is not there', { entrypoint: ['/nowhere'] }, {}, undefined],
  ])('is decided by %s', async (_name, config, pod, decidedBy) => {
    const built = image({ layers: [alpine, server(go), script('#!/bin/sh\nexec "$@"')], config });
    expect((await look(built, pod)).inspection.decidedBy).toBe(decidedBy);
  });

  it.each([
    ['sh', 'sleep'],
    ['sleep', 'sh'],
  ])("an applet of busybox is found, whatever else the layer ends with: '%s', '%s'", async (...names) => {
    const busybox = { ...program('bin/busybox', musl), mode: 0o755 };
    const base = layer([busybox, ...names.map((name) => link(`bin/${name}`, '/bin/busybox'))], 'gzip');
    const found = await look(image({ layers: [base], config: { cmd: ['/bin/sh'] } }), { command: ['/bin/sleep'] });
    expect(found.inspection.verdict.resolver).toBe('musl');
  });

  it("the Pod's command counts", async () => {
    const built = image({ layers: [alpine, server(go)], config: { cmd: ['sh'] } });
    expect((await look(built)).inspection.verdict.resolver).toBe('musl');
    expect((await look(built, { command: ['/app/server'] })).inspection.verdict.resolver).toBe('go');
  });

  it.each([
    ['nothing', {}, 'neither the Pod nor the image says'],
    ['a program that is not there', { cmd: ['/nowhere'] }, '/nowhere: not in the image'],
  ])('%s', async (_name, config, detail) => {
    const { inspection } = await look(image({ layers: [alpine], config }));
    expect(inspection.verdict).toMatchObject({ resolver: 'unknown', evidence: { confidence: 0 } });
    expect(inspection.verdict.evidence.detail).toContain(detail);
  });
});
