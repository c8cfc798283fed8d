import { alpineBase, debianBase, keptLayer, type Base } from '../bases.ts';
import { GLIBC, GO, MUSL, OTHER, type CorpusImage, type Truth } from '../corpus-image.ts';
import type { Sources } from '../sources.ts';
import { place } from '../tree.ts';
import { onBase } from './recipe.ts';

/** Images for each way of linking, on a base that suggests another libc if possible. */

interface Program {
  readonly name: string;
  readonly trap: string;
  readonly truth: Truth;
  readonly base: (sources: Sources) => Promise<Base>;
  readonly program: (sources: Sources) => Promise<Buffer>;
}

const debian = (sources: Sources): Promise<Base> => debianBase(sources);
const alpine = (sources: Sources): Promise<Base> => alpineBase(sources);

const goPrograms: readonly Program[] = [
  {
    name: 'cgo-glibc',
    trap: "cgo: linked to glibc, resolves with Go's own",
    truth: { resolver: 'go', libc: 'glibc' },
    base: debian,
    program: ({ compile }) => compile.go('cgo'),
  },
  {
    name: 'cgo-musl',
    trap: "cgo on Alpine: linked to musl, resolves with Go's own",
    truth: { resolver: 'go', libc: 'musl' },
    base: alpine,
    program: ({ compile }) => compile.go('cgo-musl'),
  },
  {
    name: 'cgo-musl-static',
    trap: "cgo linked statically to musl, resolves with Go's own",
    truth: { resolver: 'go', libc: ['none', 'musl'] },
    base: alpine,
    program: ({ compile }) => compile.go('cgo-musl-static'),
  },
  {
    name: 'go-pie',
    trap: "pure Go as a position-independent executable: names glibc's loader all the same",
    truth: { resolver: 'go', libc: 'glibc' },
    base: debian,
    program: ({ compile }) => compile.go('pie'),
  },
  {
    name: 'go-without-build-id',
    trap: 'Go linked with an empty build id: no Go note',
    truth: GO,
    base: alpine,
    program: ({ compile }) => compile.go('noBuildId'),
  },
  {
    name: 'esbuild',
    trap: 'a Go program from npm without the Go note',
    truth: GO,
    base: alpine,
    program: (sources) => sources.installed('@esbuild/linux-x64/bin/esbuild'),
  },
];

const staticPrograms: readonly Program[] = [
  {
    name: 'static-musl',
    trap: 'static musl on Debian: no interpreter, no note',
    truth: MUSL,
    base: debian,
    program: ({ compile }) => compile.musl('static'),
  },
  {
    name: 'static-pie-musl',
    trap: 'static-pie musl on Debian',
    truth: MUSL,
    base: debian,
    program: ({ compile }) => compile.musl('static-pie'),
  },
  {
    name: 'static-glibc',
    trap: 'static glibc on Alpine',
    truth: GLIBC,
    base: alpine,
    program: ({ compile }) => compile.glibc('static'),
  },
  {
    name: 'static-pie-glibc',
    trap: 'static-pie glibc on Alpine',
    truth: GLIBC,
    base: alpine,
    program: ({ compile }) => compile.glibc('static-pie'),
  },
  {
    name: 'busybox-static',
    trap: "Debian's static glibc busybox on Alpine",
    truth: GLIBC,
    base: alpine,
    program: (sources) => sources.debian.file('busybox-static', 'bin/busybox'),
  },
  {
    name: 'rust-musl',
    trap: 'Rust for x86_64-unknown-linux-musl, static-pie, on Debian',
    truth: MUSL,
    base: debian,
    program: (sources) => sources.npm('@dprint/linux-x64-musl@0.57.4', 'dprint'),
  },
  {
    name: 'rust-static-glibc',
    trap: 'Rust with crt-static for the gnu target on Alpine',
    truth: GLIBC,
    base: alpine,
    program: ({ compile }) => compile.rust('static'),
  },
  {
    name: 'dietlibc',
    trap: 'static dietlibc: neither glibc nor musl',
    truth: OTHER,
    base: alpine,
    program: ({ compile }) => compile.dietlibc(),
  },
  {
    name: 'klibc-static',
    trap: 'static klibc: neither glibc nor musl',
    truth: OTHER,
    base: alpine,
    program: ({ compile }) => compile.klibc(),
  },
  {
    name: 'no-libc-at-all',
    trap: 'a static program without any libc',
    truth: { resolver: 'other', libc: ['none', 'other'] },
    base: alpine,
    program: ({ compile }) => compile.withoutLibc(),
  },
];

const dynamicPrograms: readonly Program[] = [
  {
    name: 'rust-glibc',
    trap: 'Rust for the gnu target',
    truth: GLIBC,
    base: debian,
    program: ({ compile }) => compile.rust('dynamic'),
  },
  {
    name: 'klibc',
    trap: 'an interpreter of its own, klibc-*.so',
    truth: OTHER,
    base: debian,
    program: (sources) => sources.debian.file('klibc-utils', 'usr/lib/klibc/bin/sh'),
  },
  {
    name: 'pnpm-glibc',
    trap: 'an executable whose program headers stand 49 MB in, after a patch to its interpreter',
    truth: GLIBC,
    base: debian,
    program: (sources) => sources.npm('@pnpm/linux-x64@11.28.6', 'pnpm'),
  },
  {
    name: 'pnpm-musl',
    trap: 'a package called "static" whose program names an interpreter, beyond its first 4 KiB',
    truth: MUSL,
    base: alpine,
    program: (sources) => sources.npm('@pnpm/linuxstatic-x64@11.21.0', 'pnpm', HEAD),
  },
];

/** Bytes kept of very large executables, to keep the corpus small: the rest does not matter. */
const HEAD = 24 << 20;

export const linking: readonly CorpusImage[] = [...goPrograms, ...staticPrograms, ...dynamicPrograms].map(
  ({ name, trap, truth, base, program }) => ({
    name,
    kind: 'linking',
    trap,
    truth,
    budget: 'program',
    build: async (sources) => {
      const copy = await keptLayer(sources, `linking ${name} 1`, 'gzip', async () =>
        place('usr/local/bin/app', await program(sources)),
      );
      const steps = [{ createdBy: 'COPY app /usr/local/bin/app', layer: copy }];
      return onBase(await base(sources), steps, { entrypoint: ['app'] });
    },
  }),
);
