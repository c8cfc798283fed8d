import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cache } from './cache.ts';
import { command } from './command.ts';
import type { Debian } from './debian.ts';

/** Builds programs with the compilers of this machine, and caches each under its name. */

/** Looks up a name, so that the libc's resolver is linked in. */
const C_RESOLVES = `#include <netdb.h>
#include <stdio.h>
int main(void) {
  struct addrinfo *found = 0;
  int failed = getaddrinfo("localhost", "80", 0, &found);
  puts(failed ? "failed" : "found");
  return 0;
}
`;
/** For small libcs without getaddrinfo. */
const C_HELLO = 'int puts(const char *); int main(void) { puts("hello"); return 0; }\n';
const C_NO_LIBC = 'void _start(void) { __asm__ volatile ("mov $60, %eax; xor %edi, %edi; syscall"); }\n';
const GO_RESOLVES = `package main

import (
	"fmt"
	"net"
)

func main() { fmt.Println(net.LookupHost("localhost")) }
`;
const GO_CGO = `package main

// static int one(void) { return 1; }
import "C"

import (
	"fmt"
	"net"
)

func main() {
	fmt.Println(C.one())
	fmt.Println(net.LookupHost("localhost"))
}
`;
const GO_HELLO = 'package main\n\nfunc main() { println("hello") }\n';
const RUST_RESOLVES = `use std::net::ToSocketAddrs;
fn main() { println!("{:?}", "localhost:80".to_socket_addrs().map(|found| found.count())); }
`;
/** A loader like gcompat's (loader/loader.c): it has the glibc loader's name and runs musl's with libgcompat preloaded. */
const GCOMPAT_LOADER = `#include <unistd.h>
int main(int argc, char *argv[], char *envp[]) {
  static char *run[64] = { "/lib/ld-musl-x86_64.so.1", "--preload", "/lib/libgcompat.so.0", "--" };
  for (int i = 1; i < argc && i < 60; i++) run[i + 3] = argv[i];
  return execve(run[0], run, envp);
}
`;

type GoArchitecture = 'amd64' | '386' | 'arm' | 'arm64' | 'mips' | 'ppc64' | 's390x' | 'riscv64';

export interface Compilers {
  glibc(link: 'dynamic' | 'static' | 'static-pie'): Promise<Buffer>;
  musl(link: 'dynamic' | 'static' | 'static-pie'): Promise<Buffer>;
  dietlibc(): Promise<Buffer>;
  klibc(): Promise<Buffer>;
  withoutLibc(): Promise<Buffer>;
  gcompatLoader(): Promise<Buffer>;
  /** `noBuildId` omits the Go note. */
  go(kind: 'static' | 'noBuildId' | 'pie' | 'cgo' | 'cgo-musl' | 'cgo-musl-static'): Promise<Buffer>;
  goFor(architecture: GoArchitecture): Promise<Buffer>;
  rust(link: 'dynamic' | 'static'): Promise<Buffer>;
}

export function compilers(cache: Cache, packages: Debian): Compilers {
  const build = (recipe: Recipe): Promise<Buffer> => cache.keep(JSON.stringify(recipe), () => compile(cache, recipe));
  const c = (source: string, args: readonly string[]): Promise<Buffer> =>
    build({ file: 'main.c', source, command: ['gcc', ...args, '-o', 'program'] });
  const musl = async (source: string, link: keyof typeof MUSL_LINK): Promise<Buffer> =>
    c(source, ['-O1', 'main.c', '-specs', await muslSpecs(cache, packages, link), ...MUSL_LINK[link]]);
  return {
    glibc: (link) => c(C_RESOLVES, ['-O1', '-s', 'main.c', ...(link === 'dynamic' ? [] : [`-${link}`])]),
    musl: (link) => musl(C_RESOLVES, link),
    dietlibc: async () => c(C_HELLO, await dietArguments(packages)),
    klibc: async () => c(C_HELLO, await klibcArguments(packages)),
    withoutLibc: () => c(C_NO_LIBC, ['main.c', '-static', '-nostdlib', '-fno-stack-protector']),
    gcompatLoader: () => musl(GCOMPAT_LOADER, 'static-pie'),
    go: async (kind) => build(await goRecipe(kind, cache, packages)),
    goFor: (architecture) => build(go(GO_HELLO, [], { CGO_ENABLED: '0', GOARCH: architecture })),
    rust: (link) =>
      build({
        file: 'main.rs',
        source: RUST_RESOLVES,
        command: [
          'rustc',
          '-O',
          ...(link === 'static' ? ['-C', 'target-feature=+crt-static'] : []),
          'main.rs',
          '-o',
          'program',
        ],
      }),
  };
}

interface Recipe {
  readonly file: string;
  readonly source: string;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

async function compile(cache: Cache, recipe: Recipe): Promise<Buffer> {
  const directory = await mkdtemp(join(cache.directory, 'build-'));
  try {
    await writeFile(join(directory, recipe.file), recipe.source);
    const [name = '', ...args] = recipe.command;
    await command(name, args, { cwd: directory, ...(recipe.env === undefined ? {} : { env: recipe.env }) });
    return await readFile(join(directory, 'program'));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const MUSL_LINK = {
  dynamic: ['-no-pie'],
  static: ['-static', '-no-pie'],
  'static-pie': ['-static', '-fPIE', '-Wl,-pie,--no-dynamic-linker,-z,text'],
} as const;

/** Returns Debian's musl-gcc.specs with paths into the unpacked packages, and the start code that static-pie needs. */
async function muslSpecs(cache: Cache, packages: Debian, link: keyof typeof MUSL_LINK): Promise<string> {
  const development = await packages.unpack('musl-dev');
  const library = `${development}/usr/lib/x86_64-linux-musl`;
  const specs = await packages.file('musl-dev', 'usr/lib/x86_64-linux-musl/musl-gcc.specs');
  const moved = specs
    .toString()
    .replaceAll('/usr/include/x86_64-linux-musl', `${development}/usr/include/x86_64-linux-musl`)
    .replaceAll('/usr/lib/x86_64-linux-musl', library)
    .replace(`-L${library}`, `-L${await packages.unpack('musl')}/lib/x86_64-linux-musl -L${library}`)
    .replace('Scrt1.o', link === 'static-pie' ? 'rcrt1.o' : 'Scrt1.o');
  const file = join(cache.directory, `musl-gcc-${link}.specs`);
  await writeFile(file, moved);
  return file;
}

/** What diet(1) and klcc(1) pass to gcc, apart from paths. */
const STATIC_START = ['-O1', '-fno-stack-protector', '-fno-pie', '-no-pie', '-static', '-nostdlib'] as const;

async function dietArguments(packages: Debian): Promise<string[]> {
  const library = `${await packages.unpack('dietlibc-dev')}/usr/lib/x86_64-linux-gnu/diet/lib-x86_64`;
  return [...STATIC_START, `${library}/start.o`, 'main.c', `${library}/libc.a`, '-lgcc'];
}

async function klibcArguments(packages: Debian): Promise<string[]> {
  const library = `${await packages.unpack('libklibc-dev')}/usr/lib/klibc/lib`;
  return [...STATIC_START, `${library}/crt0.o`, 'main.c', `${library}/libc.a`, '-lgcc'];
}

function go(source: string, args: readonly string[], env: Readonly<Record<string, string>>): Recipe {
  return {
    file: 'main.go',
    source,
    command: ['go', 'build', '-trimpath', ...args, '-o', 'program', 'main.go'],
    env: { GOFLAGS: '', GOTOOLCHAIN: 'local', GO111MODULE: 'off', ...env },
  };
}

async function goRecipe(kind: Parameters<Compilers['go']>[0], cache: Cache, packages: Debian): Promise<Recipe> {
  if (kind === 'static') return go(GO_RESOLVES, ['-ldflags=-s -w'], { CGO_ENABLED: '0' });
  if (kind === 'noBuildId') return go(GO_RESOLVES, ['-ldflags=-s -w -buildid='], { CGO_ENABLED: '0' });
  if (kind === 'pie') return go(GO_RESOLVES, ['-buildmode=pie', '-ldflags=-s -w'], { CGO_ENABLED: '0' });
  if (kind === 'cgo') return go(GO_CGO, ['-ldflags=-s -w'], { CGO_ENABLED: '1' });
  const link = kind === 'cgo-musl' ? 'dynamic' : 'static';
  const gcc = `gcc -specs ${await muslSpecs(cache, packages, link)} -no-pie`;
  const external = link === 'dynamic' ? '' : ' "-extldflags=-static"';
  return go(GO_CGO, [`-ldflags=-s -w -linkmode=external${external}`], { CGO_ENABLED: '1', CC: gcc });
}
