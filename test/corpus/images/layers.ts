import { alpineBase, debianBase, keptLayer } from '../bases.ts';
import { GLIBC, GO, MUSL, type CorpusImage } from '../corpus-image.ts';
import type { Sources } from '../sources.ts';
import { image, type BuiltImage } from '../../support/image-builder.ts';
import type { TarEntry } from '../../support/tar-builder.ts';
import { layer, type BuiltLayer, type Compression } from '../../support/layer-builder.ts';
import { filler, link, place, withFolders } from '../tree.ts';
import { onBase } from './recipe.ts';

/** Images that test how layers change a path, and how they are compressed. */

const overlays: readonly CorpusImage[] = [
  {
    name: 'symlink-chain',
    kind: 'layers',
    trap: 'three links, absolute and relative, each in another layer',
    truth: MUSL,
    budget: 'program',
    build: async ({ compile, ...sources }) => {
      const steps = [
        {
          createdBy: 'RUN ln -s /opt/app/current/bin/app /usr/local/bin/app',
          layer: withFolders([link('usr/local/bin/app', '/opt/app/current/bin/app')]),
        },
        { createdBy: 'RUN ln -s ../app-2 /opt/app/current', layer: withFolders([link('opt/app/current', '../app-2')]) },
        { createdBy: 'COPY app /opt/app-2/bin/app', layer: place('opt/app-2/bin/app', await compile.musl('static')) },
      ];
      return onBase(await debianBase({ compile, ...sources }), steps, { entrypoint: ['app'] });
    },
  },
  {
    name: 'usr-merge',
    kind: 'layers',
    trap: "the program is added to usr/bin and named through the base's link /bin",
    truth: GO,
    budget: 'base',
    build: async (sources) => {
      const steps = [
        { createdBy: 'COPY app /usr/bin/', layer: place('usr/bin/app', await sources.compile.go('static')) },
      ];
      return onBase(await debianBase(sources), steps, { entrypoint: ['/bin/app'] });
    },
  },
  {
    name: 'whiteout',
    kind: 'layers',
    trap: 'the glibc program earlier in PATH is deleted, a musl one further on remains',
    truth: MUSL,
    budget: 'program',
    build: async (sources) => {
      const steps = [
        { createdBy: 'COPY server /usr/bin/', layer: place('usr/bin/server', await sources.compile.musl('static')) },
        {
          createdBy: 'COPY server /usr/local/bin/',
          layer: place('usr/local/bin/server', await sources.compile.glibc('dynamic')),
        },
        { createdBy: 'RUN rm /usr/local/bin/server', layer: place('usr/local/bin/.wh.server', '') },
      ];
      return onBase(await debianBase(sources), steps, { entrypoint: ['server'] });
    },
  },
  {
    name: 'opaque-directory',
    kind: 'layers',
    trap: 'a folder is replaced as a whole: its glibc program is gone, a Go one further on in PATH remains',
    truth: GO,
    budget: 'program',
    build: async (sources) => {
      const replaced = withFolders([
        { path: 'opt/tools/.wh..wh..opq', content: '' },
        { path: 'opt/tools/readme', content: 'new\n' },
      ]);
      const steps = [
        { createdBy: 'COPY server /opt/old/', layer: place('opt/old/server', await sources.compile.go('static')) },
        {
          createdBy: 'COPY server /opt/tools/',
          layer: place('opt/tools/server', await sources.compile.glibc('dynamic')),
        },
        { createdBy: 'RUN rm -r /opt/tools && make install', layer: replaced },
      ];
      return onBase(await debianBase(sources), steps, {
        entrypoint: ['server'],
        env: ['PATH=/opt/tools:/opt/old:/usr/bin:/bin'],
      });
    },
  },
  {
    name: 'replaced-by-newer-layer',
    kind: 'layers',
    trap: 'a program is replaced by one of another libc, and the older layer is the first that says so in its history',
    truth: MUSL,
    budget: 'program',
    build: async (sources) => {
      const steps = [
        {
          createdBy: 'COPY server /usr/local/bin/server',
          layer: place('usr/local/bin/server', await sources.compile.glibc('dynamic')),
        },
        { createdBy: 'RUN make install', layer: place('usr/local/bin/server', await sources.compile.musl('static')) },
      ];
      return onBase(await debianBase(sources), steps, { entrypoint: ['/usr/local/bin/server'] });
    },
  },
  {
    name: 'hard-link',
    kind: 'layers',
    trap: 'the program is a hard link to a file of another name',
    truth: MUSL,
    budget: 'program',
    build: async (sources) => {
      const entries = withFolders([
        { path: 'opt/app/app-1.2', content: await sources.compile.musl('static') },
        { path: 'opt/app/app', type: 'hardlink', target: 'opt/app/app-1.2' },
      ]);
      return onBase(await debianBase(sources), [{ createdBy: 'COPY app /opt/app/', layer: entries }], {
        entrypoint: ['/opt/app/app'],
      });
    },
  },
  {
    name: 'busybox-image',
    kind: 'layers',
    trap: 'one layer of hard links to its first file, as the busybox images are; static musl',
    truth: MUSL,
    budget: 'program',
    build: async (sources) => {
      const hardLink = (path: string): TarEntry => ({ path, type: 'hardlink', target: 'bin/[' });
      const entries = withFolders([
        { path: 'bin/[', content: await sources.compile.musl('static') },
        ...['bin/[[', 'bin/ash', 'bin/busybox', 'bin/ls', 'bin/sh'].map(hardLink),
      ]);
      return image({ layers: [layer(entries)], config: { cmd: ['sh'], env: ['PATH=/usr/bin:/bin'] } });
    },
  },
  {
    name: 'folder-deleted',
    kind: 'layers',
    trap: 'the folder of a glibc program is deleted as a whole, a musl program further on in PATH remains',
    truth: MUSL,
    budget: 'program',
    build: async (sources) => {
      const steps = [
        { createdBy: 'COPY server /usr/bin/', layer: place('usr/bin/server', await sources.compile.musl('static')) },
        {
          createdBy: 'COPY server /opt/tools/bin/',
          layer: place('opt/tools/bin/server', await sources.compile.glibc('dynamic')),
        },
        { createdBy: 'RUN rm -r /opt/tools', layer: place('opt/.wh.tools', '') },
      ];
      return onBase(await debianBase(sources), steps, {
        entrypoint: ['server'],
        env: ['PATH=/opt/tools/bin:/usr/bin'],
      });
    },
  },
  {
    name: 'folder-becomes-link',
    kind: 'layers',
    trap: 'a folder with a glibc program gives way to a link to one with a musl program',
    truth: MUSL,
    budget: 'program',
    build: async (sources) => {
      const steps = [
        { createdBy: 'COPY app /opt/app/', layer: place('opt/app/server', await sources.compile.glibc('dynamic')) },
        { createdBy: 'COPY app /opt/app-2/', layer: place('opt/app-2/server', await sources.compile.musl('static')) },
        { createdBy: 'RUN rm -r /opt/app && ln -s app-2 /opt/app', layer: withFolders([link('opt/app', 'app-2')]) },
      ];
      return onBase(await debianBase(sources), steps, { entrypoint: ['/opt/app/server'] });
    },
  },
  {
    name: 'cyclic-link',
    kind: 'layers',
    trap: 'the entry point is a link to itself by way of another: nothing can run',
    truth: { resolver: 'unknown', libc: 'unknown' },
    budget: 'base',
    build: async (sources) => {
      const links = withFolders([link('usr/bin/a', 'b'), link('usr/bin/b', '/usr/bin/a')]);
      return onBase(await alpineBase(sources), [{ createdBy: 'RUN ln', layer: links }], { entrypoint: ['/usr/bin/a'] });
    },
  },
  {
    name: 'big-layer-above',
    kind: 'layers',
    trap: 'the program leads its layer; 20 MB of application lie in a newer layer',
    truth: MUSL,
    budget: 'base',
    build: async (sources) => {
      const app = await keptLayer(sources, 'app 20 MB 1', 'gzip', () =>
        Promise.resolve(withFolders(filler('app/node_modules', 20_000_000))),
      );
      const runtime = place('usr/local/bin/runtime', await sources.compile.musl('dynamic'));
      const steps = [
        { createdBy: 'COPY runtime /usr/local/bin/', layer: runtime },
        { createdBy: 'COPY . /app', layer: app },
      ];
      return onBase(await alpineBase(sources), steps, { entrypoint: ['runtime', 'main.js'], workingDir: '/app' });
    },
  },
  ...(['pax', 'gnu'] as const).map((longNames): CorpusImage => ({
    name: `long-names-${longNames}`,
    kind: 'layers',
    trap: `the program's path is longer than a tar header holds (${longNames})`,
    truth: GO,
    budget: 'program',
    build: async (sources) => {
      const path = `opt/${'a-long-name-of-a-folder/'.repeat(7)}app`;
      const built = layer(place(path, await sources.compile.go('static')), 'gzip', { longNames });
      return onBase(await alpineBase(sources), [{ createdBy: 'COPY app /opt', layer: built }], {
        entrypoint: [`/${path}`],
      });
    },
  })),
];

/** Builds an image with one program, compressed in this way, on Debian, which has another libc. */
async function packed(sources: Sources, compression: Compression): Promise<BuiltImage> {
  const built = layer(place('usr/local/bin/server', await sources.compile.musl('static')), compression);
  return onBase(
    await debianBase(sources),
    [{ createdBy: 'COPY server /usr/local/bin/', layer: built }],
    { entrypoint: ['/usr/local/bin/server'] },
    'oci',
  );
}

/** Builds an image whose program lies behind 4 MB of other files, where only a table of contents finds it. */
async function behindTable(sources: Sources, compression: Compression): Promise<BuiltImage> {
  const built: BuiltLayer = await keptLayer(sources, 'behind table 1', compression, async () =>
    withFolders([
      ...filler('app/node_modules', 4_000_000),
      { path: 'app/server', content: await sources.compile.go('static') },
      ...filler('app/more', 1_000_000),
    ]),
  );
  return onBase(
    await alpineBase(sources),
    [{ createdBy: 'COPY /app /app', layer: built }],
    { entrypoint: ['/app/server'] },
    'oci',
  );
}

const packing: readonly CorpusImage[] = [
  ...(['zstd', 'none', 'estargz', 'zstd:chunked'] as const).map((compression): CorpusImage => ({
    name: `layer-${compression.replace(':', '-')}`,
    kind: 'layers',
    trap: `a layer packed as ${compression}`,
    truth: MUSL,
    budget: 'program',
    build: (sources) => packed(sources, compression),
  })),
  ...(['estargz', 'zstd:chunked'] as const).map((compression): CorpusImage => ({
    name: `${compression.replace(':', '-')}-table-of-contents`,
    kind: 'layers',
    trap: `the program lies behind 4 MB in a layer whose ${compression} table of contents says where`,
    truth: GO,
    budget: 'base',
    build: (sources) => behindTable(sources, compression),
  })),
  {
    name: 'zstd-large-program',
    kind: 'layers',
    trap: 'a zstd layer that begins with a large program: its first block alone is 62 KiB, and half a block says nothing',
    truth: GLIBC,
    budget: 'base',
    build: async (sources) => {
      const built = layer(place('usr/local/bin/app', await sources.compile.rust('dynamic')), 'zstd');
      return onBase(
        await debianBase(sources),
        [{ createdBy: 'COPY app /usr/local/bin/', layer: built }],
        { entrypoint: ['app'] },
        'oci',
      );
    },
  },
];

export const layers: readonly CorpusImage[] = [...overlays, ...packing];
