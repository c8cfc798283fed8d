import { alpineBase, debianBase } from '../bases.ts';
import { GLIBC, GO, MUSL, type CorpusImage, type Truth } from '../corpus-image.ts';
import type { Sources } from '../sources.ts';
import { image, index, type BuiltImage } from '../../support/image-builder.ts';
import { layer } from '../../support/layer-builder.ts';
import { windowsImage } from '../../support/artifact-builder.ts';
import { place } from '../tree.ts';
import { onBase } from './recipe.ts';

/** Images with indexes, and with executables of other architectures. */

const ENTRY = { entrypoint: ['/usr/bin/app'] } as const;

async function glibcAmd64(sources: Sources): Promise<BuiltImage> {
  const steps = [
    { createdBy: 'COPY app /usr/bin/app', layer: place('usr/bin/app', await sources.compile.glibc('dynamic')) },
  ];
  return onBase(await debianBase(sources), steps, ENTRY);
}

/** Builds an image with a real arm64 program for musl: the Dart runtime that Sass ships for Alpine. */
async function muslArm64(sources: Sources): Promise<BuiltImage> {
  const program = await sources.npm('sass-embedded-linux-musl-arm64@1.89.0', 'dart-sass/src/dart');
  return image({
    layers: [layer(place('usr/bin/app', program))],
    mediaTypes: 'docker',
    config: { ...ENTRY, architecture: 'arm64', variant: 'v8' },
  });
}

async function twoPlatforms(sources: Sources): Promise<BuiltImage> {
  const members = [await muslArm64(sources), windowsImage(), await glibcAmd64(sources)];
  return index(members, { attestation: 'first' });
}

interface Foreign {
  readonly name: string;
  readonly trap: string;
  readonly truth: Truth;
  readonly architecture: string;
  readonly variant?: string;
  readonly program: (sources: Sources) => Promise<Buffer>;
}

const foreign: readonly Foreign[] = [
  {
    name: 'riscv64',
    trap: 'a RISC-V executable',
    truth: GO,
    architecture: 'riscv64',
    program: ({ compile }) => compile.goFor('riscv64'),
  },
  {
    name: 'mips-32-bit-big-endian',
    trap: 'a 32 bit, big endian executable',
    truth: GO,
    architecture: 'mips',
    program: ({ compile }) => compile.goFor('mips'),
  },
  {
    name: 's390x-big-endian',
    trap: "a 64 bit, big endian executable; glibc's loader is /lib/ld64.so.1 there",
    truth: GLIBC,
    architecture: 's390x',
    program: ({ debian }) => debian.file('busybox', 'bin/busybox', 's390x'),
  },
  {
    name: 'i386',
    trap: 'a 32 bit executable',
    truth: GLIBC,
    architecture: '386',
    program: ({ debian }) => debian.file('busybox', 'bin/busybox', 'i386'),
  },
  {
    name: 'armv7-static-glibc',
    trap: 'a 32 bit static glibc executable',
    truth: GLIBC,
    architecture: 'arm',
    variant: 'v7',
    program: ({ debian }) => debian.file('busybox-static', 'bin/busybox', 'armhf'),
  },
];

export const platforms: readonly CorpusImage[] = [
  {
    name: 'index-amd64',
    kind: 'platform',
    trap: 'an index with an attestation first, then arm64 with musl, Windows, amd64 with glibc: amd64 asked for',
    truth: GLIBC,
    budget: 'program',
    platform: { os: 'linux', architecture: 'amd64' },
    build: twoPlatforms,
  },
  {
    name: 'index-arm64',
    kind: 'platform',
    trap: 'the same index, arm64 asked for',
    truth: MUSL,
    budget: 'program',
    platform: { os: 'linux', architecture: 'arm64' },
    build: twoPlatforms,
  },
  {
    name: 'index-of-one',
    kind: 'platform',
    trap: 'an index with one image and its attestation last, on Alpine',
    truth: MUSL,
    budget: 'program',
    build: async (sources) => {
      const steps = [
        { createdBy: 'COPY app /usr/bin/app', layer: place('usr/bin/app', await sources.compile.musl('dynamic')) },
      ];
      return index([onBase(await alpineBase(sources), steps, ENTRY)], { attestation: 'last' });
    },
  },
  {
    name: 'docker-manifest-list',
    kind: 'platform',
    trap: "Docker's older kind of index, without media type names of OCI",
    truth: GLIBC,
    budget: 'program',
    build: async (sources) => index([await muslArm64(sources), await glibcAmd64(sources)], { mediaTypes: 'docker' }),
  },
  {
    name: 'index-in-index',
    kind: 'platform',
    trap: 'an index in an index',
    truth: GLIBC,
    budget: 'program',
    build: async (sources) => index([index([await glibcAmd64(sources)]), await muslArm64(sources)]),
  },
  ...foreign.map(({ name, trap, truth, architecture, variant, program }): CorpusImage => ({
    name,
    kind: 'platform',
    trap,
    truth,
    budget: 'program',
    platform: { os: 'linux', architecture, ...(variant === undefined ? {} : { variant }) },
    build: async (sources) =>
      image({
        layers: [layer(place('usr/bin/app', await program(sources)))],
        config: { ...ENTRY, architecture, ...(variant === undefined ? {} : { variant }) },
      }),
  })),
];
