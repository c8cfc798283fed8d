import { alpineBase, debianBase, type Base } from '../bases.ts';
import { GLIBC, GO, MUSL, type CorpusImage, type Truth } from '../corpus-image.ts';
import type { Sources } from '../sources.ts';
import type { BuiltImage, ImageConfigOptions } from '../../support/image-builder.ts';
import type { TarEntry } from '../../support/tar-builder.ts';
import { link, place, withFolders } from '../tree.ts';
import { onBase } from './recipe.ts';

/** Images whose program must be found through wrappers, scripts and the Pod's command. The wrapper itself has another libc. */

interface Wrapped {
  readonly name: string;
  readonly trap: string;
  readonly truth: Truth;
  readonly config: ImageConfigOptions;
  /** The files of wrapper and program, a layer for each group. */
  readonly layers: (sources: Sources) => Promise<readonly (readonly TarEntry[])[]>;
  /** Default: Debian. */
  readonly base?: (sources: Sources) => Promise<Base>;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
}

const alpine = (sources: Sources): Promise<Base> => alpineBase(sources);
const goServer = async ({ compile }: Sources): Promise<TarEntry[]> =>
  place('usr/local/bin/server', await compile.go('static'));
const muslServer = async ({ compile }: Sources): Promise<TarEntry[]> =>
  place('usr/local/bin/server', await compile.musl('static'));
const glibcServer = async ({ compile }: Sources): Promise<TarEntry[]> =>
  place('usr/local/bin/server', await compile.glibc('static'));
const wrapper = async (sources: Sources, name: string, from: string, to: string): Promise<TarEntry[]> =>
  place(to, await sources.debian.file(name, from));

const inits: readonly Wrapped[] = [
  {
    name: 'tini',
    trap: 'tini (glibc) starts a Go program',
    truth: GO,
    config: { entrypoint: ['/usr/bin/tini', '-g', '--'], cmd: ['server', '--port', '80'] },
    layers: async (sources) => [
      await wrapper(sources, 'tini', 'usr/bin/tini', 'usr/bin/tini'),
      await goServer(sources),
    ],
  },
  {
    name: 'dumb-init',
    trap: 'dumb-init (glibc) starts a static musl program',
    truth: MUSL,
    config: { entrypoint: ['/usr/bin/dumb-init', '--'], cmd: ['server'] },
    layers: async (sources) => [
      await wrapper(sources, 'dumb-init', 'usr/bin/dumb-init', 'usr/bin/dumb-init'),
      await muslServer(sources),
    ],
  },
  {
    name: 'catatonit',
    trap: 'catatonit (static glibc) starts a musl program on Alpine',
    truth: MUSL,
    base: alpine,
    config: { entrypoint: ['/sbin/catatonit', '--', '/usr/local/bin/server'] },
    layers: async (sources) => [
      await wrapper(sources, 'catatonit', 'usr/libexec/podman/catatonit', 'sbin/catatonit'),
      place('usr/local/bin/server', await sources.compile.musl('dynamic')),
    ],
  },
  {
    name: 'gosu',
    trap: 'gosu (Go) starts a static glibc program on Alpine',
    truth: GLIBC,
    base: alpine,
    config: { entrypoint: ['/usr/sbin/gosu', 'nobody', 'server'] },
    layers: async (sources) => [
      await wrapper(sources, 'gosu', 'usr/sbin/gosu', 'usr/sbin/gosu'),
      await glibcServer(sources),
    ],
  },
  {
    name: 'env',
    trap: "env (musl's busybox) starts a Go program with a variable of its own",
    truth: GO,
    base: alpine,
    config: { entrypoint: ['/usr/bin/env', '-u', 'HTTP_PROXY', 'MODE=fast', 'server'] },
    layers: async (sources) => [await goServer(sources)],
  },
];

const scripts: readonly Wrapped[] = [
  {
    name: 'shell-exec',
    trap: "sh -c 'exec server' on Alpine: the shell is musl's, the server Go",
    truth: GO,
    base: alpine,
    config: { cmd: ['/bin/sh', '-c', 'ulimit -n 4096 && exec server --port 80'] },
    layers: async (sources) => [await goServer(sources)],
  },
  {
    name: 'entrypoint-script',
    trap: 'a script that ends in exec "$@", on Alpine; the program is static glibc',
    truth: GLIBC,
    base: alpine,
    config: { entrypoint: ['/docker-entrypoint.sh'], cmd: ['server', '-f'] },
    layers: async (sources) => [
      await glibcServer(sources),
      place('docker-entrypoint.sh', '#!/bin/sh\nset -e\n[ -z "$DEBUG" ] || set -x\nexec "$@"\n'),
    ],
  },
  {
    name: 'entrypoint-script-names-program',
    trap: 'a script that ends in exec of a named program',
    truth: GO,
    base: alpine,
    config: { entrypoint: ['/entrypoint.sh'] },
    layers: async (sources) => [
      await goServer(sources),
      place('entrypoint.sh', '#!/bin/sh\nset -e\ncd /srv\nexec /usr/local/bin/server --root /srv "$@"\n'),
    ],
  },
  {
    name: 'shell-form',
    trap: "a Dockerfile's CMD in shell form, without exec: the shell is musl's, what works is the Go program it starts",
    truth: GO,
    base: alpine,
    config: { cmd: ['/bin/sh', '-c', 'server --port 80'] },
    layers: async (sources) => [await goServer(sources)],
  },
  {
    name: 'entrypoint-script-gosu',
    trap: 'the script of the official images: exec gosu USER "$0" "$@", then exec "$@"',
    truth: GLIBC,
    base: alpine,
    config: { entrypoint: ['docker-entrypoint.sh'], cmd: ['server'] },
    layers: async (sources) => [
      await wrapper(sources, 'gosu', 'usr/sbin/gosu', 'usr/local/bin/gosu'),
      await glibcServer(sources),
      place(
        'usr/local/bin/docker-entrypoint.sh',
        '#!/bin/sh\nset -e\n\nif [ "$1" = "server" ] && [ "$(id -u)" = "0" ]; then\n\texec gosu nobody "$0" "$@"\nfi\n\nexec "$@"\n',
      ),
    ],
  },
  {
    name: 'shebang-python',
    trap: 'a #! line names python3, a link to the real interpreter',
    truth: GLIBC,
    config: { entrypoint: ['/app/main.py'] },
    layers: async (sources) => [
      withFolders([
        link('usr/bin/python3', 'python3.11'),
        { path: 'usr/bin/python3.11', content: await sources.debian.file('python3.11-minimal', 'usr/bin/python3.11') },
      ]),
      place('app/main.py', '#!/usr/bin/python3 -u\nprint("hello")\n'),
    ],
  },
  {
    name: 'shebang-env-node',
    trap: 'a #! line names node through env; node is in a layer below',
    truth: GLIBC,
    config: { entrypoint: ['cli'], workingDir: '/app' },
    layers: async (sources) => [
      place('usr/local/bin/node', await sources.installed('node/bin/node', 24 << 20)),
      withFolders([
        { path: 'app/cli.js', content: '#!/usr/bin/env node\nconsole.log("hello");\n' },
        link('usr/local/bin/cli', '../../../app/cli.js'),
      ]),
    ],
  },
  {
    name: 'musl-script-on-alpine',
    trap: 'a script without exec at its end: what runs is the shell',
    truth: MUSL,
    base: alpine,
    config: { entrypoint: ['/run.sh'] },
    layers: () => Promise.resolve([place('run.sh', '#!/bin/sh\nwhile true; do wget -q http://peer; sleep 5; done\n')]),
  },
];

const ofThePod: readonly Wrapped[] = [
  {
    name: 'pod-command',
    trap: "the Pod's command overrides the image's entry point and arguments",
    truth: GO,
    command: ['/opt/tools/probe'],
    config: { entrypoint: ['/usr/local/bin/server'], cmd: ['--serve'] },
    layers: async (sources) => [
      await glibcServer(sources),
      place('opt/tools/probe', await sources.compile.go('static')),
    ],
  },
  {
    name: 'loader-as-command',
    trap: "the Pod's command is musl's loader with a program, on Debian",
    truth: MUSL,
    command: ['/opt/musl/ld-musl-x86_64.so.1', '/opt/musl/server'],
    config: { entrypoint: ['/usr/local/bin/server'] },
    layers: async (sources) => [
      await goServer(sources),
      place('opt/musl/server', await sources.compile.musl('dynamic')),
      place('opt/musl/ld-musl-x86_64.so.1', await sources.debian.file('musl', 'lib/x86_64-linux-musl/libc.so')),
    ],
  },
  {
    name: 'pod-args',
    trap: "the Pod's args stand behind the image's entry point tini",
    truth: MUSL,
    args: ['/opt/worker'],
    config: { entrypoint: ['/usr/bin/tini', '--'], cmd: ['server'] },
    layers: async (sources) => [
      await wrapper(sources, 'tini', 'usr/bin/tini', 'usr/bin/tini'),
      await goServer(sources),
      place('opt/worker', await sources.compile.musl('static')),
    ],
  },
  {
    name: 'relative-to-workdir',
    trap: 'the entry point is relative to the working directory',
    truth: GO,
    base: alpine,
    config: { entrypoint: ['./bin/app'], workingDir: '/srv/service' },
    layers: async (sources) => [place('srv/service/bin/app', await sources.compile.go('static'))],
  },
  {
    name: 'path-order',
    trap: 'two programs of one name: PATH decides, and /usr/local/bin comes first',
    truth: MUSL,
    config: { entrypoint: ['server'] },
    layers: async (sources) => [
      await muslServer(sources),
      place('usr/bin/server', await sources.compile.glibc('dynamic')),
    ],
  },
];

async function build({ config, layers, base }: Wrapped, sources: Sources): Promise<BuiltImage> {
  const groups = await layers(sources);
  const steps = groups.map((entries) => {
    const file = entries.find(({ type }) => type !== 'dir');
    return { createdBy: `COPY ${file?.path.split('/').at(-1)} /${file?.path}`, layer: entries };
  });
  return onBase(await (base ?? debianBase)(sources), steps, config);
}

const kinds = [
  ...inits.map((wrapped) => ({ kind: 'wrapper' as const, wrapped })),
  ...scripts.map((wrapped) => ({ kind: 'entry script' as const, wrapped })),
  ...ofThePod.map((wrapped) => ({ kind: 'the Pod' as const, wrapped })),
];

export const entrypoints: readonly CorpusImage[] = kinds.map(({ kind, wrapped }) => ({
  name: wrapped.name,
  kind,
  trap: wrapped.trap,
  truth: wrapped.truth,
  budget: 'program',
  command: wrapped.command ?? [],
  args: wrapped.args ?? [],
  build: (sources) => build(wrapped, sources),
}));
