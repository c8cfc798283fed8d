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
/** The same, but stays. */
const C_SERVES = C_RESOLVES.replace('#include <stdio.h>', '#include <stdio.h>\n#include <unistd.h>').replace(
  'return 0;',
  'for (;;) pause();',
);
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
const GO_SERVES = `package main

import (
	"fmt"
	"net"
	"time"
)

func main() {
	fmt.Println(net.LookupHost("localhost"))
	time.Sleep(time.Hour)
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

/** Programs that were linked or changed in an unusual way. */
type LinkedKind =
  | 'go-external-glibc'
  | 'go-external-musl'
  | 'go-external-dynamic'
  | 'go-external-static-pie'
  | 'go-stripped'
  | 'glibc-without-notes'
  | 'freestanding'
  | 'section-headers-first'
  | 'interpreter-far-on';

/** How Go was told which resolver to take. */
type ToldKind = 'netcgo' | 'netcgo-musl' | 'debug-line' | 'netgo';

/** Static programs of linkers that put the code behind the data. */
type OtherLinked = 'go-lld' | 'glibc-lld' | 'glibc-mold';

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
  /** A program that looks up a name and then stays, as servers do. */
  linked(kind: LinkedKind): Promise<Buffer>;
  told(kind: ToldKind): Promise<Buffer>;
  otherLinker(kind: OtherLinked): Promise<Buffer>;
  server(kind: 'glibc' | 'glibc-static' | 'musl' | 'musl-static' | 'go' | 'cgo'): Promise<Buffer>;
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
    linked: async (kind) => {
      if (kind === 'section-headers-first') return sectionHeadersFirst(await c(C_SERVES, ['-O1', '-s', 'main.c']));
      return build(await linkedRecipe(kind, cache, packages));
    },
    told: async (kind) => build(toldRecipe(kind, await staticMuslGcc(cache, packages))),
    otherLinker: async (kind) => build(await otherLinker(kind, packages)),
    server: (kind) => {
      switch (kind) {
        case 'glibc':
        case 'glibc-static':
          return c(C_SERVES, ['-O1', '-s', 'main.c', ...(kind === 'glibc' ? [] : ['-static'])]);
        case 'musl':
        case 'musl-static':
          return musl(C_SERVES, kind === 'musl' ? 'dynamic' : 'static');
        default:
          return build(go(GO_SERVES, ['-ldflags=-s -w'], { CGO_ENABLED: kind === 'cgo' ? '1' : '0' }));
      }
    },
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

/** Says of a program that its section headers are right behind its program headers, as those of the linker wild are. */
function sectionHeadersFirst(program: Buffer): Buffer {
  const moved = Buffer.from(program);
  const end = program.readBigUInt64LE(32) + BigInt(program.readUInt16LE(54) * program.readUInt16LE(56));
  moved.writeBigUInt64LE(end, 40);
  // No section is in them: what stands there is something else.
  moved.fill(0, 60, 64);
  return moved;
}

const FREESTANDING = `__asm__(".globl _start\\n_start: xor %ebp, %ebp\\nmov %rsp, %rdi\\nand $-16, %rsp\\ncall serve\\n");
static const char *const name __attribute__((section(".data.rel.ro"), used)) = "server";
void serve(void) { for (;;) __asm__ volatile ("syscall" : : "a"(34) : "rcx", "r11", "memory"); }
`;

async function linkedRecipe(
  kind: Exclude<LinkedKind, 'section-headers-first'>,
  cache: Cache,
  packages: Debian,
): Promise<Recipe> {
  const external = (link: string): readonly string[] => [`-ldflags=-s -w -buildid= -linkmode external ${link}`];
  const staticMusl = await staticMuslGcc(cache, packages);
  switch (kind) {
    case 'go-external-glibc':
      return go(GO_CGO, external('-extldflags -static'), { CGO_ENABLED: '1' });
    case 'go-external-musl':
      return go(GO_CGO, external('-extldflags -static'), { CGO_ENABLED: '1', CC: staticMusl });
    case 'go-external-dynamic':
      return go(GO_CGO, external(''), { CGO_ENABLED: '1' });
    case 'go-external-static-pie':
      return go(GO_CGO, ['-buildmode=pie', ...external('-extldflags -static-pie')], { CGO_ENABLED: '1' });
    case 'go-stripped': {
      const { command: words, ...recipe } = go(GO_RESOLVES, ['-ldflags=-buildid='], { CGO_ENABLED: '0' });
      return { ...recipe, command: ['sh', '-c', '"$@" && strip program', 'sh', ...words] };
    }
    case 'glibc-without-notes': {
      const notes = ['.note.ABI-tag', '.note.gnu.property', '.note.gnu.build-id'].map((name) => `-R ${name}`).join(' ');
      const build = `gcc -O1 -s -static main.c -o program && strip ${notes} program`;
      return { file: 'main.c', source: C_SERVES, command: ['sh', '-c', build] };
    }
    case 'freestanding': {
      const flags = ['-O1', '-static', '-nostdlib', '-fno-stack-protector', '-fcf-protection=none', '-Wl,-z,relro'];
      return { file: 'main.c', source: FREESTANDING, command: ['gcc', ...flags, 'main.c', '-o', 'program'] };
    }
    default: {
      const specs = await muslSpecs(cache, packages, 'dynamic');
      const large = `${await packages.unpack('musl')}/lib/x86_64-linux-musl/libc.so`;
      const patchelf = `${await packages.unpack('patchelf')}/usr/bin/patchelf`;
      const interpreter = '/opt/a/long/path/to/another/musl/lib/ld-musl-x86_64.so.1';
      const build = `gcc -O1 -no-pie -specs ${specs} main.c -o program && ${patchelf} --set-interpreter ${interpreter} program`;
      const source = `${C_SERVES}__asm__(".section .rodata\\n.incbin \\"${large}\\"\\n");\n`;
      return { file: 'main.c', source, command: ['sh', '-c', build] };
    }
  }
}

const staticMuslGcc = async (cache: Cache, packages: Debian): Promise<string> =>
  `gcc -specs ${await muslSpecs(cache, packages, 'static')} -no-pie`;

function toldRecipe(kind: ToldKind, staticMusl: string): Recipe {
  const cgo = { CGO_ENABLED: '1' };
  if (kind === 'debug-line') return go(`//go:debug netdns=cgo\n${GO_CGO}`, ['-ldflags=-s -w'], cgo);
  if (kind === 'netgo') return go(GO_CGO, ['-tags=netgo', '-ldflags=-s -w'], cgo);
  if (kind === 'netcgo') return go(GO_CGO, ['-tags=netcgo', '-ldflags=-s -w'], cgo);
  const link = '-ldflags=-s -w -linkmode external -extldflags=-static';
  return go(GO_CGO, ['-tags=netcgo', link], { ...cgo, CC: staticMusl });
}

async function otherLinker(kind: OtherLinked, packages: Debian): Promise<Recipe> {
  const { env, flags } = await linker(kind === 'glibc-mold' ? 'mold' : 'lld', packages);
  if (kind === 'go-lld') {
    const link = `-ldflags=-s -w -buildid= -linkmode external "-extldflags=-static ${flags}"`;
    return go(GO_CGO, [link], { CGO_ENABLED: '1', ...env });
  }
  const words = ['gcc', '-O1', '-s', '-static', ...flags.split(' '), 'main.c', '-o', 'program'];
  return { file: 'main.c', source: C_SERVES, command: words, env };
}

/** Returns what makes gcc link with another linker of Debian. */
async function linker(
  name: 'lld' | 'mold',
  packages: Debian,
): Promise<{ readonly env: Readonly<Record<string, string>>; readonly flags: string }> {
  if (name === 'mold') return { env: {}, flags: `-B${await packages.unpack('mold')}/usr/libexec/mold` };
  const libraries: string[] = [];
  for (const one of ['libllvm14', 'libedit2', 'libbsd0', 'libz3-4'])
    libraries.push(`${await packages.unpack(one)}/usr/lib/x86_64-linux-gnu`);
  const flags = `-B${await packages.unpack('lld-14')}/usr/lib/llvm-14/bin -fuse-ld=lld`;
  return { env: { LD_LIBRARY_PATH: libraries.join(':') }, flags };
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
