import { randomBytes } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import type { Inspection } from '../../../src/detection/detector.ts';
import { createInspector, inspectImage } from '../../../src/inspection/inspect.ts';
import { backgroundScanLimits } from '../../../src/inspection/limits.ts';
import { elf } from '../../support/elf-builder.ts';
import { type BuiltImage, image } from '../../support/image-builder.ts';
import { type BuiltLayer, layer } from '../../support/layer-builder.ts';
import { memorySource } from '../../support/memory-source.ts';
import type { TarEntry } from '../../support/tar-builder.ts';

const musl = elf({ interpreter: '/lib/ld-musl-x86_64.so.1', size: 20_000 });
const glibc = elf({ interpreter: '/lib64/ld-linux-x86-64.so.2', notes: [{ owner: 'GNU', type: 1 }] });
const go = elf({ notes: [{ owner: 'Go', type: 4 }] });
const runServer = { entrypoint: ['/app/server'] };
const whole = createInspector(backgroundScanLimits);

/** What does not compress, so that what follows is far into the layer. */
const filler = (kib: number): TarEntry => ({ path: 'aaa/filler', content: randomBytes(kib * 1024), mode: 0o644 });
const program = (path: string, content: Buffer): TarEntry => ({ path, content });
const folder = (path: string): TarEntry => ({ path, type: 'dir' });
const server = (content: Buffer): BuiltLayer => layer([folder('app'), program('app/server', content)]);

interface Looked {
  readonly inspection: Inspection;
  readonly meter: { readonly requests: number; readonly bytes: number };
}

async function look(built: BuiltImage, inspect = inspectImage): Promise<Looked> {
  const meter = { requests: 0, bytes: 0 };
  const request = { reference: 'image', platform: { os: 'linux', architecture: 'amd64' }, command: [], args: [] };
  const inspection = await inspect(memorySource(built), request, { signal: new AbortController().signal, meter });
  return { inspection, meter };
}

describe('a layer that a RUN line made above the program', () => {
  const above = (line: string, layers: readonly TarEntry[]): BuiltImage =>
    image({
      layers: [server(glibc), layer(layers)],
      config: { ...runServer, history: [{ createdBy: 'COPY server /app/server' }, { createdBy: line }] },
    });
  const large = [folder('aaa'), filler(600), folder('app'), program('app/server', musl)];

  it.each([
    ['a large one of a script of the author', 'RUN ./setup.sh', 0.85],
    ['one of a tool that is known', 'RUN useradd somebody', 0.95],
  ])('%s: %s, %f', async (_name, line, most) => {
    const { verdict } = (await look(above(line, large))).inspection;
    expect(verdict).toMatchObject({ resolver: 'glibc', evidence: { confidence: expect.closeTo(most, 5) } });
  });
});

describe('a container that was committed as an image', () => {
  const start = { path: 'srv/start', content: Buffer.from('#!/bin/sh\nexec /srv/app\n') };
  const committed = image({
    layers: [
      layer([folder('bin'), program('bin/sh', glibc)]),
      layer([folder('srv'), program('srv/app', glibc), start]),
      layer([
        folder('root'),
        filler(700),
        folder('srv'),
        program('srv/app', go),
        { path: 'srv/zz', content: Buffer.from('') },
      ]),
    ],
    config: {
      cmd: ['/srv/start'],
      history: [{ createdBy: 'ADD rootfs / # buildkit' }, { createdBy: 'RUN make install' }, { createdBy: 'bash' }],
    },
  });

  it('may have any program replaced: the verdict is not certain', async () => {
    const { verdict } = (await look(committed)).inspection;
    expect(verdict).toMatchObject({ resolver: 'glibc', evidence: { confidence: 0.55 } });
  });

  it('a full scan reads its layer to the end', async () => {
    const { verdict } = (await look(committed, whole)).inspection;
    expect(verdict).toMatchObject({ resolver: 'go', evidence: { confidence: 0.99 } });
  });
});

describe('npm start, whose package.json is in a layer above', () => {
  const node = layer([
    folder('usr/local/bin'),
    program('usr/local/bin/node', glibc),
    { path: 'usr/local/bin/npm', content: Buffer.from('#!/usr/bin/env node\n'), mode: 0o755 },
    folder('usr/bin'),
    program('usr/bin/env', glibc),
  ]);
  const started = (scripts: object, ...before: readonly TarEntry[]): BuiltImage =>
    image({
      layers: [
        node,
        layer([
          ...before,
          folder('app'),
          { path: 'app/package.json', content: Buffer.from(JSON.stringify({ scripts })) },
          program('app/server', musl),
        ]),
      ],
      config: {
        cmd: ['npm', 'start'],
        workingDir: '/app',
        env: ['PATH=/usr/local/bin:/usr/bin'],
        history: [{ createdBy: 'RUN install node' }, { createdBy: 'COPY . .' }],
      },
    });

  it.each([
    ['/app/server', 'musl'],
    ['node server.js', 'glibc'],
  ])('%s: %s', async (start, resolver) => {
    expect((await look(started({ start }))).inspection.verdict.resolver).toBe(resolver);
  });

  it('out of reach: its own interpreter, and not for certain', async () => {
    const { verdict } = (await look(started({ start: '/app/server' }, folder('aaa'), filler(1000)))).inspection;
    expect(verdict.resolver === 'musl' || verdict.evidence.confidence <= 0.85).toBe(true);
  });
});

describe('a program whose marks are far into its file', () => {
  const start = Buffer.from('4831ed4889e7488d35c8efbfff4883e4f0e80f000000662e0f1f840000000000', 'hex');
  const filled = (content: Buffer, from: number, to: number): Buffer => {
    randomBytes(to - from).copy(content, from);
    return content;
  };
  const patched = filled(elf({ interpreter: '/opt/lib/ld-musl-x86_64.so.1', interpreterAt: 300_000 }), 8192, 290_000);
  const late = filled(elf({ machine: 62, code: { at: 300_000, bytes: start } }), 8192, 290_000);
  const far = (content: Buffer): BuiltImage => image({ layers: [server(content)], config: runServer });

  it('an interpreter that patchelf moved is read within the budget', async () => {
    const { inspection, meter } = await look(far(patched));
    expect(inspection.verdict).toMatchObject({ resolver: 'musl', evidence: { confidence: 0.99 } });
    expect(meter.bytes).toBeLessThan(512 * 1024);
  });

  it('start code is not worth a request, and found by a full scan', async () => {
    const { inspection, meter } = await look(far(late));
    expect(inspection.verdict.resolver).toBe('unknown');
    expect(meter.bytes).toBeLessThan(64 * 1024);
    const { inspection: scanned } = await look(far(late), whole);
    expect(scanned.verdict.evidence).toEqual({
      source: 'executable',
      detail: '/app/server: static, starts as musl programs do',
      confidence: 0.97,
    });
  });

  it("an interpreter beyond the budget is guessed by the program's start code", async () => {
    const options = { machine: 62, code: { at: 2048, bytes: start } };
    const content = elf({ ...options, interpreter: '/opt/lib/ld-musl-x86_64.so.1', interpreterAt: 900_000 });
    const { inspection } = await look(far(filled(content, 8192, 890_000)));
    expect(inspection.verdict).toMatchObject({ resolver: 'musl', evidence: { confidence: 0.8 } });
    expect(inspection.verdict.evidence.detail).toContain("it starts as musl's programs do");
  });
});

describe('a process of Buildpacks, whose program is in a layer of a buildpack and elsewhere', () => {
  const processes = [{ type: 'web', command: ['java'], args: ['-jar', 'app.jar'], direct: true }];
  const built = (line: string): BuiltImage =>
    image({
      layers: [
        layer([folder('etc')]),
        layer([
          ...['layers', 'layers/example_java', 'layers/example_java/jre', 'layers/example_java/jre/bin'].map(folder),
          program('layers/example_java/jre/bin/java', musl),
          { path: 'layers/example_java/jre/lib', content: randomBytes(900 * 1024) },
        ]),
        layer([folder('usr'), folder('usr/bin'), program('usr/bin/java', glibc)]),
      ],
      config: {
        entrypoint: ['/cnb/process/web'],
        env: ['PATH=/cnb/process:/usr/bin'],
        labels: { 'io.buildpacks.build.metadata': JSON.stringify({ processes }) },
        history: ['base', line, 'COPY java /usr/bin/java'].map((createdBy) => ({ createdBy })),
      },
    });

  it("is the buildpack's, which the history names", async () => {
    const { inspection, meter } = await look(built("Layer: 'jre', Created by buildpack: example/java@1.0"));
    expect(inspection.verdict).toMatchObject({ resolver: 'musl', evidence: { confidence: 0.99 } });
    expect(meter.bytes).toBeLessThan(64 * 1024);
  });

  it('is not known before all layers are where the history names none', async () => {
    const { inspection } = await look(built(''));
    expect(inspection.verdict.resolver).not.toBe('glibc');
    expect((await look(built(''), whole)).inspection.verdict.resolver).toBe('musl');
  });
});

describe('another file of the same name may be out of reach', () => {
  it.each<[string, readonly TarEntry[]]>([
    ['a file before its directory', [program('app/server', go), filler(60)]],
    ['a file twice', [folder('aaa'), filler(60), filler(1), folder('app'), program('app/server', go)]],
  ])('the last entry of a path counts where no builder wrote the archive: %s', async (_name, entries) => {
    const built = image({ layers: [layer([...entries, program('app/server', musl)])], config: runServer });
    const { inspection } = await look(built);
    expect(inspection.verdict).toMatchObject({ resolver: 'musl', evidence: { confidence: 0.99 } });
  });

  it("an archive that ends with the program holds no other: gzip's length says so for 4 bytes", async () => {
    const program512 = elf({ notes: [{ owner: 'Go', type: 4 }], size: 900_000 });
    randomBytes(800_000).copy(program512, 8192);
    const one = layer([program('app/server', program512)]);
    const { inspection, meter } = await look(image({ layers: [one], config: runServer }));
    expect(inspection.verdict).toMatchObject({ resolver: 'go', evidence: { confidence: 0.99 } });
    expect(meter.bytes).toBeLessThan(64 * 1024);
    expect(meter.requests).toBe(4);
  });

  it('where the last entry of a path is out of reach, the verdict is not certain', async () => {
    const config = { ...runServer, history: [{ createdBy: 'COPY server /app/server # buildkit' }] };
    const twice = layer([program('app/server', go), filler(900), program('app/server', musl)]);
    const { inspection } = await look(image({ layers: [twice], config }));
    expect(inspection.verdict.evidence).toEqual({
      source: 'executable',
      detail: '/app/server: static, Go build id; bytes that were not reached may hold another file of this name',
      confidence: 0.55,
    });
    const { inspection: scanned } = await look(image({ layers: [twice], config }), whole);
    expect(scanned.verdict).toMatchObject({ resolver: 'musl', evidence: { confidence: 0.99 } });
  });

  describe("in an archive that has GNU tar's headers, as `tar -r` and Bazel's pkg_tar write them", () => {
    const sorted = Array.from({ length: 30 }, (_, at) => program(`opt/${10 + at}`, glibc));
    const parts = [folder('bin2'), program('bin2/server', glibc), folder('opt'), ...sorted, filler(900)];
    const appended = layer([...parts, program('bin2/server', musl)], 'gzip', { format: 'gnu' });
    const base = (createdBy: string): BuiltImage =>
      image({ layers: [appended], config: { entrypoint: ['/bin2/server'], history: [{ createdBy }] } });
    const above = (layers: readonly BuiltLayer[], entrypoint: string): BuiltImage => {
      const lines = ['ADD rootfs.tar / # buildkit', ...layers.map(() => 'RUN /bin/sh -c ./build.sh # buildkit')];
      const history = lines.map((createdBy) => ({ createdBy }));
      return image({ layers: [layer([folder('etc')]), ...layers], config: { entrypoint: [entrypoint], history } });
    };
    const doubtful = { confidence: 0.55, detail: expect.stringContaining('may hold another file of this name') };

    it('a path may stand twice: a scan reads on', async () => {
      const built = above([appended], '/bin2/server');
      expect((await look(built)).inspection.verdict).toMatchObject({ resolver: 'glibc', evidence: doubtful });
      const { inspection } = await look(built, whole);
      expect(inspection.verdict).toMatchObject({ resolver: 'musl', evidence: { confidence: 0.99 } });
    });

    it('the same holds for a link and a script that lead to the program', async () => {
      const target = layer([folder('app'), program('app/server', glibc)]);
      const led = (entry: TarEntry): BuiltLayer =>
        layer([folder('bin2'), entry, folder('opt'), ...sorted, filler(900)], 'gzip', { format: 'gnu' });
      const link = led({ path: 'bin2/run', type: 'symlink', target: '/app/server' });
      const script = led(program('bin2/run', Buffer.from('#!/app/server\n')));
      for (const one of [link, script]) {
        expect((await look(above([target, one], '/bin2/run'))).inspection.verdict.evidence).toMatchObject(doubtful);
      }
    });

    it.each([
      ['', 0.55],
      ["# debian.sh --arch 'amd64' out/ 'trixie' '@1760918400'", 0.95],
    ])("but not in a distribution's base: %j", async (line, confidence) => {
      const { inspection } = await look(base(line));
      expect(inspection.verdict).toMatchObject({ resolver: 'glibc', evidence: { confidence } });
    });
  });

  it.each([[[]], [['', '']], [['COPY server /app/server', ' ']]])(
    'a newer layer whose history says nothing may hold another: %j',
    async (lines) => {
      const layers = [server(glibc), layer([folder('aaa'), filler(900), folder('app'), program('app/server', musl)])];
      const config = { ...runServer, history: lines.map((createdBy) => ({ createdBy })) };
      const { inspection } = await look(image({ layers, config }));
      expect(inspection.verdict).toMatchObject({ resolver: 'glibc', evidence: { confidence: 0.55 } });
    },
  );
});

describe('a name that two directories of PATH may have', () => {
  const between = (kib: number): TarEntry => ({ ...filler(kib), path: 'usr/lib/filler' });
  const built = (
    kib: number,
    first = 'usr/bin/tool',
    second = 'usr/local/bin/tool',
    entrypoint = ['tool'],
  ): BuiltImage =>
    image({
      layers: [
        layer([
          folder('usr'),
          folder('usr/bin'),
          program(first, glibc),
          folder('usr/lib'),
          between(kib),
          folder('usr/local'),
          folder('usr/local/bin'),
          program(second, go),
        ]),
      ],
      config: { entrypoint, env: ['PATH=/usr/local/bin:/usr/bin'] },
    });

  it('the scan goes on to the directory that PATH names first', async () => {
    const { inspection } = await look(built(100));
    expect(inspection).toMatchObject({ executable: '/usr/local/bin/tool', verdict: { resolver: 'go' } });
  });

  it('the verdict is doubtful where that is out of reach, and found by a full scan', async () => {
    const { verdict } = (await look(built(900))).inspection;
    expect(verdict).toMatchObject({ resolver: 'glibc', evidence: { confidence: 0.55 } });
    const { inspection: scanned } = await look(built(900), whole);
    expect(scanned.verdict).toMatchObject({ resolver: 'go', evidence: { confidence: 0.99 } });
  });

  it('the scan stops at a program that distributions keep in one place', async () => {
    const { inspection, meter } = await look(built(900, 'usr/bin/python3', 'usr/local/bin/other', ['python3']));
    expect(inspection.verdict).toMatchObject({ resolver: 'glibc', evidence: { confidence: 0.95 } });
    expect(meter.bytes).toBeLessThan(64 * 1024);
  });
});

describe("glibc's loader in the program's layer, on an image of musl", () => {
  const muslBase = layer([folder('lib'), program('lib/ld-musl-x86_64.so.1', musl)]);
  const own = elf({ interpreter: '/opt/g/lib/ld-linux-x86-64.so.2', notes: [{ owner: 'GNU', type: 1 }] });
  const built = image({
    layers: [
      muslBase,
      layer([
        folder('opt'),
        folder('opt/g'),
        folder('opt/g/bin'),
        program('opt/g/bin/tool', own),
        program('opt/g/data', randomBytes(200 * 1024)),
        folder('opt/g/lib'),
        program('opt/g/lib/ld-linux-x86-64.so.2', elf({ machine: 62 })),
      ]),
    ],
    config: {
      cmd: ['/opt/g/bin/tool'],
      history: [{ createdBy: 'ADD alpine-minirootfs-3.22.2-x86_64.tar.gz /' }, { createdBy: 'COPY g /opt/g' }],
    },
  });

  it('is found by a full scan, which goes on to it', async () => {
    const { verdict } = (await look(built, whole)).inspection;
    expect(verdict).toMatchObject({ resolver: 'glibc', evidence: { source: 'executable' } });
  });
});
