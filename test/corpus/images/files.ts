import { alpineBase, debianBase, keptLayer } from '../bases.ts';
import { image, type BuiltImage, type ImageConfigOptions } from '../../support/image-builder.ts';
import { layer, type BuiltLayer } from '../../support/layer-builder.ts';
import type { TarEntry } from '../../support/tar-builder.ts';
import { GLIBC, GO, MUSL, OTHER, type CorpusImage, type Truth } from '../corpus-image.ts';
import type { Sources } from '../sources.ts';
import { filler, place, withFolders } from '../tree.ts';
import { casesOf, CGO, type Case } from './cases.ts';
import { onBase } from './recipe.ts';

/** How programs are linked, and how layers put files together. */

const app = (path: string, content: Buffer): TarEntry[] => place(path, content);

interface Linked {
  readonly name: string;
  readonly trap: string;
  readonly truth: Truth;
  readonly program: (sources: Sources) => Promise<Buffer>;
  readonly budget?: CorpusImage['budget'];
  readonly config?: ImageConfigOptions;
}

const linked: readonly Linked[] = [
  {
    name: 'go-external-glibc',
    trap: 'Go that gcc linked to static glibc, without a build id',
    truth: { resolver: 'go', libc: ['glibc', 'none'] },
    program: ({ compile }) => compile.linked('go-external-glibc'),
  },
  {
    name: 'go-external-musl',
    trap: 'Go that gcc linked to static musl, without a build id',
    truth: { resolver: 'go', libc: ['musl', 'none'] },
    program: ({ compile }) => compile.linked('go-external-musl'),
  },
  {
    name: 'go-external-dynamic',
    trap: 'Go that gcc linked to glibc, without a build id',
    truth: CGO,
    program: ({ compile }) => compile.linked('go-external-dynamic'),
  },
  {
    name: 'go-external-static-pie',
    trap: 'Go in a static-pie of glibc, without a build id',
    truth: { resolver: 'go', libc: ['glibc', 'none'] },
    program: ({ compile }) => compile.linked('go-external-static-pie'),
  },
  {
    name: 'go-stripped',
    trap: 'Go without a build id, stripped by binutils',
    truth: GO,
    program: ({ compile }) => compile.linked('go-stripped'),
  },
  {
    name: 'go-netcgo',
    trap: 'Go built with the tag netcgo',
    truth: GLIBC,
    program: ({ compile }) => compile.told('netcgo'),
  },
  {
    name: 'go-netcgo-musl',
    trap: 'Go linked to static musl, built with the tag netcgo',
    truth: MUSL,
    program: ({ compile }) => compile.told('netcgo-musl'),
  },
  {
    name: 'go-debug-line',
    trap: 'Go whose source says //go:debug netdns=cgo',
    truth: GLIBC,
    program: ({ compile }) => compile.told('debug-line'),
  },
  {
    name: 'go-netgo-told-cgo',
    trap: 'Go linked to glibc, but built with the tag netgo: GODEBUG=netdns=cgo changes nothing',
    truth: CGO,
    program: ({ compile }) => compile.told('netgo'),
    config: { env: ['GODEBUG=netdns=cgo'] },
  },
  {
    name: 'go-lld-static',
    trap: 'Go that lld linked to static glibc, its code behind its data',
    truth: { resolver: 'go', libc: ['glibc', 'none'] },
    program: ({ compile }) => compile.otherLinker('go-lld'),
  },
  {
    name: 'static-glibc-lld',
    trap: 'static glibc that lld linked, its code behind its data',
    truth: GLIBC,
    program: ({ compile }) => compile.otherLinker('glibc-lld'),
  },
  {
    name: 'static-glibc-mold',
    trap: 'static glibc that mold linked: its notes and its code are far on',
    truth: GLIBC,
    program: ({ compile }) => compile.otherLinker('glibc-mold'),
  },
  {
    name: 'go-netdns-cgo',
    trap: "GODEBUG=netdns=cgo in the image's environment",
    truth: GLIBC,
    program: ({ compile }) => compile.server('cgo'),
    config: { env: ['GODEBUG=netdns=cgo'] },
  },
  {
    name: 'go-netdns-cgo-static',
    trap: 'GODEBUG=netdns=cgo beside a Go program without cgo',
    truth: GO,
    program: ({ compile }) => compile.server('go'),
    config: { env: ['GODEBUG=netdns=cgo'] },
  },
  {
    name: 'static-glibc-without-notes',
    trap: 'static glibc whose notes were removed',
    truth: GLIBC,
    program: ({ compile }) => compile.linked('glibc-without-notes'),
  },
  {
    name: 'static-musl-lookup',
    trap: 'static musl that looks up names',
    truth: MUSL,
    program: ({ compile }) => compile.server('musl-static'),
  },
  {
    name: 'freestanding-relro',
    trap: 'a program without libc that has a RELRO segment, as Zig links them',
    truth: { resolver: 'other', libc: ['none', 'other'] },
    program: ({ compile }) => compile.linked('freestanding'),
  },
  {
    name: 'section-headers-first',
    trap: 'glibc with its section headers behind its program headers, as wild links',
    truth: GLIBC,
    program: ({ compile }) => compile.linked('section-headers-first'),
  },
  {
    name: 'interpreter-far-on',
    trap: 'an interpreter at the end of the file, where patchelf puts it',
    truth: MUSL,
    program: ({ compile }) => compile.linked('interpreter-far-on'),
    budget: 'base',
  },
  {
    name: 'uclibc-like',
    trap: "klibc's shell",
    truth: OTHER,
    program: ({ debian }) => debian.file('klibc-utils', 'usr/lib/klibc/bin/sh'),
  },
];

const linking: readonly CorpusImage[] = linked.map(({ name, trap, truth, program, budget = 'program', config }) => ({
  name,
  kind: 'linking',
  trap,
  truth,
  budget,
  build: async (sources) =>
    onBase(
      await debianBase(sources),
      [{ createdBy: 'COPY server /app/server', layer: app('app/server', await program(sources)) }],
      { entrypoint: ['/app/server'], ...config },
    ),
}));

const overlaid: readonly Case[] = [
  {
    name: 'hard-link-target-replaced',
    trap: 'a newer layer replaces the file that the program is a hard link to',
    on: 'debian',
    truth: MUSL,
    entrypoint: ['/opt/b'],
    files: { 'opt/a': '@musl-static', 'opt/b': '=>opt/a', './opt/a': '@glibc' },
  },
  {
    name: 'hard-link-target-removed',
    trap: 'a newer layer removes the file that the program is a hard link to',
    on: 'debian',
    truth: MUSL,
    entrypoint: ['/opt/b'],
    files: { 'opt/a': '@musl-static', 'opt/b': '=>opt/a', 'opt/.wh.a': '' },
    history: ['COPY a /opt/a', 'RUN ln /opt/a /opt/b', 'RUN rm /opt/a'],
  },
  {
    name: 'up-through-a-link',
    trap: '.. behind a link is the parent of where it led',
    on: 'debian',
    truth: MUSL,
    entrypoint: ['/srv/etc/../bin/server'],
    files: {
      'data/app/bin/server': '@musl-static',
      'data/app/etc/x': 'x',
      'srv/etc': '->/data/app/etc',
      'srv/bin/server': '@glibc',
    },
  },
  {
    name: 'folder-made-anew',
    trap: 'a folder is deleted and made anew: the program further on in PATH remains',
    on: 'debian',
    truth: MUSL,
    cmd: ['server'],
    env: ['PATH=/opt/tools:/usr/bin:/bin'],
    files: {
      'usr/bin/server': '@musl-static',
      'opt/tools/server': '@glibc',
      'opt/.wh.tools': '',
      'opt/tools/readme': 'new\n',
    },
    history: [
      'COPY server /usr/bin/server',
      'COPY server /opt/tools/server',
      'RUN rm -r /opt/tools',
      'COPY readme /opt/tools/readme',
    ],
  },
];

const scripted: readonly Case[] = [
  {
    name: 'replaced-by-a-script',
    trap: 'a script of the author, which no history line tells, replaces the program',
    on: 'debian',
    truth: MUSL,
    entrypoint: ['/opt/app'],
    files: { 'opt/app': '@glibc', './opt/app': '@musl-static' },
    history: ['COPY app /opt/app', 'RUN /bin/sh -c ./setup.sh'],
  },
  {
    name: 'emptied-by-a-script',
    trap: 'a script of the author empties a folder of PATH',
    on: 'debian',
    truth: MUSL,
    cmd: ['server'],
    env: ['PATH=/opt/tools:/usr/bin:/bin'],
    files: { 'usr/bin/server': '@musl-static', 'opt/tools/server': '@glibc', 'opt/tools/.wh..wh..opq': '' },
    history: ['COPY server /usr/bin/server', 'COPY server /opt/tools/server', 'RUN bash /setup.sh'],
  },
  {
    name: 'folder-becomes-program',
    trap: 'a script of the author puts a program in the place of a folder',
    on: 'debian',
    truth: MUSL,
    entrypoint: ['/opt/app'],
    files: { 'opt/app/server': '@glibc', 'opt/app': '@musl-static' },
    history: ['COPY server /opt/app/server', 'RUN /tmp/setup'],
  },
];

/** Builds an image of layers without folders, or with strange entries. */
const raw = (layers: readonly BuiltLayer[], config: ImageConfigOptions): BuiltImage => image({ layers, config });

const archives: readonly CorpusImage[] = [
  {
    name: 'entry-twice',
    kind: 'layers',
    trap: 'two entries of one path in an archive: the last counts',
    truth: GLIBC,
    budget: 'base',
    build: async ({ compile }) =>
      raw(
        [
          layer([
            { path: 'app/server', content: await compile.server('musl-static') },
            { path: 'app/server', content: await compile.server('glibc') },
          ]),
        ],
        { entrypoint: ['/app/server'] },
      ),
  },
  {
    name: 'entry-twice-far-apart',
    kind: 'layers',
    trap: 'tar -r appended a second entry of the program, far behind the first',
    truth: GLIBC,
    budget: 'base',
    build: async (sources) => {
      const entries = withFolders([
        { path: 'app/server', content: await sources.compile.server('musl-static') },
        ...filler('opt', 1_000_000),
      ]);
      const second = { path: 'app/server', content: await sources.compile.server('glibc') };
      const appended = layer([...entries, second], 'gzip', { format: 'gnu' });
      return onBase(await debianBase(sources), [{ createdBy: 'COPY . /', layer: appended }], {
        entrypoint: ['/app/server'],
      });
    },
  },
  {
    name: 'hard-link-before-a-second-entry',
    kind: 'layers',
    trap: 'a hard link, then a second entry of the path that it leads to: it keeps the first',
    truth: GLIBC,
    budget: 'base',
    build: async ({ compile }) => {
      const entries: TarEntry[] = [
        { path: 'app', type: 'dir' },
        { path: 'app/server-1', content: await compile.server('glibc') },
        { path: 'app/server', type: 'hardlink', target: 'app/server-1' },
        { path: 'app/server-1', content: await compile.server('musl-static') },
      ];
      return raw([layer(entries)], { entrypoint: ['/app/server'] });
    },
  },
  {
    name: 'no-history',
    kind: 'layers',
    trap: 'no words about the layers: the newest holds another program',
    truth: MUSL,
    budget: 'base',
    build: async ({ compile }) =>
      raw(
        [
          layer(app('app/server', await compile.server('glibc'))),
          layer(app('app/server', await compile.server('musl-static'))),
        ],
        { entrypoint: ['/app/server'] },
      ),
  },
  {
    name: 'empty-history',
    kind: 'layers',
    trap: 'a history line without words, 1 MB before the program that replaces another',
    truth: MUSL,
    budget: 'base',
    build: async (sources) => {
      const newest = await keptLayer(sources, 'empty history 1', 'gzip', async () =>
        withFolders([
          ...filler('aaa', 1_000_000),
          { path: 'app/server', content: await sources.compile.server('musl-static') },
        ]),
      );
      const layers = [layer(app('app/server', await sources.compile.server('glibc'))), newest];
      return raw(layers, {
        entrypoint: ['/app/server'],
        history: [{ createdBy: 'COPY server /app/server' }, { createdBy: '' }],
      });
    },
  },
];

const packaged = (
  name: string,
  program: string,
  line: string,
  truth: Truth,
  from: (sources: Sources) => Promise<Buffer>,
): CorpusImage => ({
  name,
  kind: 'stand-in',
  trap: line,
  truth,
  budget: 'base',
  build: async (sources) => {
    const deep = await keptLayer(sources, `stand-in ${name} 1`, 'gzip', async () =>
      withFolders([...filler('usr/lib/libraries', 20_000_000), { path: program, content: await from(sources) }]),
    );
    const base = await (line.includes('apk') ? alpineBase : debianBase)(sources);
    return onBase(base, [{ createdBy: line, layer: deep }], { cmd: [program.split('/').at(-1) ?? ''], env: base.env });
  },
});

const standIns: readonly CorpusImage[] = [
  packaged(
    'packaged-go-program',
    'usr/bin/prometheus-node-exporter',
    'RUN apt-get install -y prometheus-node-exporter',
    GO,
    ({ compile }) => compile.server('go'),
  ),
  packaged('packaged-go-on-alpine', 'usr/bin/yq', 'RUN apk add --no-cache yq', GO, ({ compile }) =>
    compile.server('go'),
  ),
  packaged(
    'fetched-cron',
    'usr/sbin/cron',
    'RUN curl -fsSLo /usr/sbin/cron https://example.org/cron',
    MUSL,
    ({ compile }) => compile.server('musl-static'),
  ),
  packaged(
    'fetched-redis',
    'usr/local/bin/redis-server',
    'RUN wget -O /usr/local/bin/redis-server https://example.org/redis-server',
    MUSL,
    ({ compile }) => compile.server('musl-static'),
  ),
  packaged('packaged-nginx', 'usr/sbin/nginx', 'RUN apt-get install -y nginx', GLIBC, ({ compile }) =>
    compile.server('glibc'),
  ),
];

export const files: readonly CorpusImage[] = [
  ...linking,
  ...casesOf('layers', [...overlaid, ...scripted]),
  ...archives,
  ...standIns,
];
