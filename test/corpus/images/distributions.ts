import {
  alpineBase,
  debianBase,
  distrolessBase,
  glibcLibraries,
  installed,
  keptLayer,
  wolfiBase,
  type Base,
} from '../bases.ts';
import { GLIBC, GO, MUSL, type CorpusImage } from '../corpus-image.ts';
import type { Sources } from '../sources.ts';
import type { BuiltImage, ImageConfigOptions } from '../../support/image-builder.ts';
import { filler, link, place, withFolders } from '../tree.ts';
import { onBase } from './recipe.ts';

/** Images whose distribution suggests another resolver than their program uses. */

const SERVER = { entrypoint: ['/usr/local/bin/server'] } as const;

/** Builds an image with the program in its own layer on top of the base. */
function server(base: Base, program: Buffer): BuiltImage {
  const copy = { createdBy: 'COPY server /usr/local/bin/server', layer: place('usr/local/bin/server', program) };
  return onBase(base, [copy], SERVER);
}

/** Builds an image whose program lies behind 20 MB of other files in its layer. */
async function deep(sources: Sources, base: Base): Promise<BuiltImage> {
  const app = await keptLayer(sources, 'deep go 1', 'gzip', async () =>
    withFolders([
      ...filler('app/node_modules', 20_000_000),
      { path: 'app/server', content: await sources.compile.go('static') },
    ]),
  );
  return onBase(base, [{ createdBy: 'COPY /app /app', layer: app }], { entrypoint: ['/app/server'] });
}

const INSTALL = {
  glibc: 'RUN apt-get update && apt-get install -y nginx',
  musl: 'RUN apk add --no-cache nginx',
} as const;

/** Builds an image with a packaged program, behind 20 MB of libraries in the package manager's layer. */
async function packaged(
  sources: Sources,
  base: Base,
  libc: 'glibc' | 'musl',
  config: ImageConfigOptions = {},
): Promise<BuiltImage> {
  const layer = await keptLayer(sources, `packaged ${libc} 1`, 'gzip', async () =>
    withFolders([
      ...filler('usr/lib/libraries', 20_000_000),
      { path: 'usr/sbin/nginx', content: await sources.compile[libc]('dynamic') },
    ]),
  );
  return onBase(base, [{ createdBy: INSTALL[libc], layer }], {
    entrypoint: ['nginx', '-g', 'daemon off;'],
    env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    ...config,
  });
}

const loaders: readonly CorpusImage[] = [
  {
    name: 'debian-with-musl-installed',
    kind: 'distribution',
    trap: 'Debian with the musl package installed: the loader is there, the program does not use it',
    truth: GLIBC,
    budget: 'program',
    build: async (sources) => {
      const musl = await installed(sources, 'musl');
      const steps = [
        { createdBy: 'RUN apt-get install -y musl', layer: musl },
        {
          createdBy: 'COPY server /usr/local/bin/',
          layer: place('usr/local/bin/server', await sources.compile.glibc('dynamic')),
        },
      ];
      return onBase(await debianBase(sources), steps, SERVER);
    },
  },
  {
    name: 'both-loaders-musl-program',
    kind: 'distribution',
    trap: 'both loaders in the image, the program uses musl',
    truth: MUSL,
    budget: 'program',
    build: async (sources) => {
      const musl = await installed(sources, 'musl');
      const steps = [
        { createdBy: 'RUN apt-get install -y musl', layer: musl },
        {
          createdBy: 'COPY server /usr/local/bin/',
          layer: place('usr/local/bin/server', await sources.compile.musl('dynamic')),
        },
      ];
      return onBase(await debianBase(sources), steps, SERVER);
    },
  },
  {
    name: 'alpine-with-glibc',
    kind: 'distribution',
    trap: 'Alpine with the real glibc beside musl, and a program for it',
    truth: GLIBC,
    budget: 'program',
    build: async (sources) => {
      const glibc = withFolders([
        link('lib64/ld-linux-x86-64.so.2', '/usr/glibc-compat/lib/ld-linux-x86-64.so.2'),
        ...(await glibcLibraries(sources, 'usr/glibc-compat/lib')),
      ]);
      const steps = [
        { createdBy: 'RUN apk add --no-cache glibc.apk', layer: glibc },
        {
          createdBy: 'COPY server /usr/local/bin/',
          layer: place('usr/local/bin/server', await sources.compile.glibc('dynamic')),
        },
      ];
      return onBase(await alpineBase(sources), steps, SERVER);
    },
  },
  {
    name: 'alpine-libc6-compat',
    kind: 'distribution',
    trap: "Alpine whose glibc loader's name is a link to musl (libc6-compat)",
    truth: MUSL,
    budget: 'base',
    build: async (sources) => {
      const compat = withFolders([
        link('lib/ld-linux-x86-64.so.2', 'libc.musl-x86_64.so.1'),
        link('lib64/ld-linux-x86-64.so.2', '../lib/libc.musl-x86_64.so.1'),
      ]);
      const steps = [
        { createdBy: 'RUN apk add --no-cache libc6-compat', layer: compat },
        {
          createdBy: 'COPY server /usr/local/bin/',
          layer: place('usr/local/bin/server', await sources.compile.glibc('dynamic')),
        },
      ];
      return onBase(await alpineBase(sources), steps, SERVER);
    },
  },
  {
    name: 'alpine-gcompat',
    kind: 'distribution',
    trap: "Alpine whose glibc loader's name is gcompat's program, which runs musl",
    truth: MUSL,
    budget: 'program',
    build: async (sources) => {
      const gcompat = withFolders([
        { path: 'lib/ld-linux-x86-64.so.2', content: await sources.compile.gcompatLoader() },
        { path: 'lib/libgcompat.so.0', content: await sources.compile.musl('dynamic') },
        link('lib64/ld-linux-x86-64.so.2', '/lib/ld-linux-x86-64.so.2'),
      ]);
      const steps = [
        { createdBy: 'RUN apk add --no-cache gcompat', layer: gcompat },
        {
          createdBy: 'COPY server /usr/local/bin/',
          layer: place('usr/local/bin/server', await sources.compile.glibc('dynamic')),
        },
      ];
      return onBase(await alpineBase(sources), steps, SERVER);
    },
  },
];

const outOfReach: readonly CorpusImage[] = [
  {
    name: 'debian-12-program-out-of-reach',
    kind: 'distribution',
    trap: 'nginx lies behind 20 MB; in the name-sorted base the first executable comes after all of /etc',
    truth: GLIBC,
    budget: 'base',
    build: async (sources) => packaged(sources, await debianBase(sources), 'glibc'),
  },
  {
    name: 'debian-11-program-out-of-reach',
    kind: 'distribution',
    trap: 'nginx lies behind 20 MB; the base begins with /bin/bash',
    truth: GLIBC,
    budget: 'base',
    build: async (sources) => packaged(sources, await debianBase(sources, false), 'glibc'),
  },
  {
    name: 'alpine-program-out-of-reach',
    kind: 'distribution',
    trap: 'nginx lies behind 20 MB on Alpine',
    truth: MUSL,
    budget: 'base',
    build: async (sources) => packaged(sources, await alpineBase(sources), 'musl'),
  },
  {
    name: 'go-out-of-reach-on-alpine',
    kind: 'distribution',
    trap: "a Go program behind 20 MB on Alpine: the base's libc is not its resolver",
    truth: GO,
    budget: 'base',
    build: async (sources) => deep(sources, await alpineBase(sources)),
  },
  {
    name: 'go-out-of-reach-on-debian',
    kind: 'distribution',
    trap: 'a Go program behind 20 MB on Debian: nothing within reach tells it from a glibc one',
    truth: GO,
    budget: 'base',
    build: async (sources) => deep(sources, await debianBase(sources)),
  },
  {
    name: 'label-lies',
    kind: 'distribution',
    trap: 'an inherited label says Alpine, the image is Debian and the program is out of reach',
    truth: GLIBC,
    budget: 'base',
    build: async (sources) =>
      packaged(sources, await debianBase(sources), 'glibc', {
        labels: { 'org.opencontainers.image.base.name': 'docker.io/library/alpine:3.22' },
      }),
  },
];

export const distributions: readonly CorpusImage[] = [
  {
    name: 'alpine',
    kind: 'distribution',
    trap: 'Alpine-shaped, the program in a layer of its own',
    truth: MUSL,
    budget: 'program',
    build: async (sources) => server(await alpineBase(sources), await sources.compile.musl('dynamic')),
  },
  {
    name: 'alpine-base-only',
    kind: 'distribution',
    trap: 'nothing but the base: busybox is its sixth entry, /bin/sh a link to it',
    truth: MUSL,
    budget: 'program',
    build: async (sources) => onBase(await alpineBase(sources), [], { cmd: ['/bin/sh'] }),
  },
  {
    name: 'debian',
    kind: 'distribution',
    trap: 'Debian-shaped, the program in a layer of its own',
    truth: GLIBC,
    budget: 'program',
    build: async (sources) => server(await debianBase(sources), await sources.compile.glibc('dynamic')),
  },
  {
    name: 'debian-base-only',
    kind: 'distribution',
    trap: "nothing but the base: /bin/bash through /bin's link to usr/bin",
    truth: GLIBC,
    budget: 'base',
    build: async (sources) => onBase(await debianBase(sources), [], { cmd: ['/bin/bash'] }),
  },
  {
    name: 'distroless-static',
    kind: 'distribution',
    trap: 'calls itself Debian and has no libc; a static Go program',
    truth: GO,
    budget: 'program',
    build: async (sources) => server(await distrolessBase(sources, 'none'), await sources.compile.go('static')),
  },
  {
    name: 'distroless-static-musl',
    kind: 'distribution',
    trap: 'calls itself Debian and has no libc; a static musl program',
    truth: MUSL,
    budget: 'program',
    build: async (sources) => server(await distrolessBase(sources, 'none'), await sources.compile.musl('static')),
  },
  {
    name: 'distroless-base',
    kind: 'distribution',
    trap: 'distroless with glibc and nothing else',
    truth: GLIBC,
    budget: 'program',
    build: async (sources) => server(await distrolessBase(sources, 'glibc'), await sources.compile.glibc('dynamic')),
  },
  {
    name: 'wolfi',
    kind: 'distribution',
    trap: 'an apk database and glibc',
    truth: GLIBC,
    budget: 'program',
    build: async (sources) => server(await wolfiBase(sources), await sources.compile.glibc('dynamic')),
  },
  {
    name: 'wolfi-base-only',
    kind: 'distribution',
    trap: 'an apk database and a busybox linked to glibc',
    truth: GLIBC,
    budget: 'base',
    build: async (sources) => onBase(await wolfiBase(sources), [], { cmd: ['/bin/sh', '-l'], env: ['PATH=/usr/bin'] }),
  },
  {
    name: 'go-on-alpine',
    kind: 'distribution',
    trap: "a Go program on a musl base does not use musl's resolver",
    truth: GO,
    budget: 'program',
    build: async (sources) => server(await alpineBase(sources), await sources.compile.go('static')),
  },
  ...loaders,
  ...outOfReach,
];
