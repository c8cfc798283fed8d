import type { BuiltImage, ImageConfigOptions } from '../../support/image-builder.ts';
import type { TarEntry } from '../../support/tar-builder.ts';
import { alpineBase, debianBase, type Base } from '../bases.ts';
import type { ContainerRun } from '../../../src/detection/detector.ts';
import { GLIBC, GO, MUSL, type CorpusImage, type Kind, type Truth } from '../corpus-image.ts';
import type { Sources } from '../sources.ts';
import { link, place, withFolders } from '../tree.ts';
import { onBase } from './recipe.ts';

/** Images told in few words: a base, files by path, and what is run. */

const programs = {
  /** Linked to the libc of the base that it is for. */
  glibc: ({ compile }: Sources) => compile.server('glibc'),
  musl: ({ compile }: Sources) => compile.server('musl'),
  'glibc-static': ({ compile }: Sources) => compile.server('glibc-static'),
  'musl-static': ({ compile }: Sources) => compile.server('musl-static'),
  go: ({ compile }: Sources) => compile.server('go'),
  cgo: ({ compile }: Sources) => compile.server('cgo'),
  gosu: ({ debian }: Sources) => debian.file('gosu', 'usr/sbin/gosu'),
  tini: ({ debian }: Sources) => debian.file('tini', 'usr/bin/tini'),
  'dumb-init': ({ debian }: Sources) => debian.file('dumb-init', 'usr/bin/dumb-init'),
} as const;

/** `@glibc` and the like: a program; `->` and `=>`: a symbolic and a hard link; else a script. */
export type Files = Readonly<
  Record<string, `@${keyof typeof programs}` | `->${string}` | `=>${string}` | (string & {})>
>;

export interface Case {
  readonly name: string;
  readonly trap: string;
  readonly on: 'alpine' | 'debian';
  /** Each in a layer of its own. */
  readonly files: Files;
  /** Layers of several files, above those, by Dockerfile line. */
  readonly layers?: Readonly<Record<string, Files>>;
  readonly truth: Truth;
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  /** Of the image. */
  readonly env?: readonly string[];
  readonly workingDir?: string;
  readonly user?: string;
  /** The Pod's. */
  readonly pod?: Partial<ContainerRun>;
  /** Dockerfile lines of the files, in their order. Default: COPY. */
  readonly history?: readonly string[];
  /** Default: that the program leads its layer. */
  readonly budget?: CorpusImage['budget'];
}

/** Returns the images of a kind. */
export function casesOf(kind: Kind, cases: readonly Case[]): readonly CorpusImage[] {
  return cases.map(({ pod, ...one }) => ({
    name: one.name,
    kind,
    trap: one.trap,
    truth: one.truth,
    budget: one.budget ?? 'base',
    ...pod,
    build: (sources) => build(one, sources),
  }));
}

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

async function build(one: Omit<Case, 'pod'>, sources: Sources): Promise<BuiltImage> {
  const base: Base = await (one.on === 'alpine' ? alpineBase : debianBase)(sources);
  const steps = [];
  for (const [index, [path, text]] of Object.entries(one.files).entries()) {
    const createdBy = one.history?.[index] ?? `COPY ${path.split('/').at(-1)} /${path}`;
    steps.push({ createdBy, layer: await entriesOf(path, text, sources) });
  }
  for (const [createdBy, files] of Object.entries(one.layers ?? {}))
    steps.push({ createdBy, layer: await layerOf(files, sources) });
  const config: ImageConfigOptions = {
    ...(one.user !== undefined && { user: one.user }),
    entrypoint: one.entrypoint ?? [],
    cmd: one.cmd ?? [],
    workingDir: one.workingDir ?? '',
    env: one.env?.some((line) => line.startsWith('PATH=')) === true ? one.env : [PATH, ...(one.env ?? [])],
  };
  return onBase(base, steps, config);
}

async function layerOf(files: Files, sources: Sources): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  for (const [path, text] of Object.entries(files)) entries.push(...(await entriesOf(path, text, sources)));
  return [...new Map(entries.map((entry) => [entry.path, entry])).values()];
}

async function entriesOf(path: string, text: string, sources: Sources): Promise<TarEntry[]> {
  if (text.startsWith('->')) return withFolders([link(path, text.slice(2))]);
  if (text.startsWith('=>')) return withFolders([{ path, type: 'hardlink', target: text.slice(2) }]);
  if (!text.startsWith('@')) return place(path, text);
  const program = programs[text.slice(1) as keyof typeof programs];
  return place(path, await program(sources));
}

export const CGO: Truth = { resolver: 'go', libc: 'glibc' };
export { GLIBC, GO, MUSL };
