import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Resolver } from '../../../src/policy/verdict.ts';
import { command } from '../command.ts';
import { buildCoreDns } from './coredns.ts';
import { fetchMusl, type Musl } from './musl.ts';

export type ResolverId =
  | 'glibc'
  | 'python'
  | 'node-lookup'
  | 'node-resolve'
  | 'go-libc'
  | 'go'
  | 'go-cgo'
  | 'musl'
  | 'musl-new'
  | 'musl-static';

/** A program that looks up one name and prints how long that took. */
export interface Program {
  readonly id: ResolverId;
  /** Name and version of the resolver, for people. */
  readonly title: string;
  /** The declaration (`libc-dns.dev/libc`) of a container with this program. */
  readonly declared: Exclude<Resolver, 'unknown'>;
  /** The command line, to which the name to look up is appended. */
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Skipped {
  readonly what: string;
  readonly why: string;
}

export interface Programs {
  readonly programs: readonly Program[];
  /** Path of CoreDNS, for the cache in a Pod; absent if it cannot be built. */
  readonly coreDns?: string;
  readonly skipped: readonly Skipped[];
}

/** Outside node_modules, which `npm ci` deletes. */
const CACHE: string = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'libc-dns-webhook', 'lab');

/** Debian 12's musl and Debian's newest. */
const MUSL_SUITES = { old: 'bookworm', new: 'sid' } as const;

const sourceOf = (name: string): string => fileURLToPath(new URL(`../programs/${name}`, import.meta.url));

/** Runs a compiler that takes `-o FILE`, unless the result for the same source and arguments is cached. */
async function build(source: string, compiler: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const path = sourceOf(source);
  const recipe = JSON.stringify([await readFile(path, 'utf8'), compiler, env]);
  const file = join(
    CACHE,
    `${source.replace('.', '-')}-${createHash('sha256').update(recipe).digest('hex').slice(0, 16)}`,
  );
  const kept = await stat(file).catch(() => undefined);
  if (kept !== undefined) return file;
  const [name = '', ...args] = compiler;
  const draft = `${file}.${process.pid}`;
  await command(name, [...args, '-o', draft, path], { env });
  await rename(draft, file);
  return file;
}

const firstLine = (text: string): string => text.split('\n', 1)[0] ?? '';

async function glibc(): Promise<Program[]> {
  const version = firstLine(await command('ldd', ['--version']))
    .split(' ')
    .at(-1);
  const program = await build('resolve.c', ['gcc', '-O1']);
  return [{ id: 'glibc', title: `glibc ${version}`, declared: 'glibc', argv: [program] }];
}

async function python(): Promise<Program[]> {
  // The interpreter itself: the one in PATH may be a shell script that takes longer than the look-up.
  const answer = await command('python3', ['-c', 'import sys; print(sys.executable, sys.version.split()[0])']);
  const [executable = '', version = ''] = answer.trim().split(' ');
  const argv = [executable, '-I', '-S', sourceOf('resolve.py')];
  return [{ id: 'python', title: `Python ${version} (glibc)`, declared: 'glibc', argv }];
}

async function node(): Promise<Program[]> {
  const title = `Node ${process.versions.node.split('.')[0]}`;
  const script = sourceOf('resolve.mjs');
  const lookup = [process.execPath, script, 'lookup'];
  const resolve = [process.execPath, script, 'resolve'];
  const ares = `${title} dns.resolve (c-ares ${process.versions.ares})`;
  return [
    { id: 'node-lookup', title: `${title} dns.lookup (glibc)`, declared: 'glibc', argv: lookup },
    { id: 'node-resolve', title: ares, declared: 'other', argv: resolve },
  ];
}

async function go(): Promise<Program[]> {
  const version = (await command('go', ['env', 'GOVERSION'])).trim().replace('go', 'Go ');
  const env = { GOFLAGS: '', GOTOOLCHAIN: 'local', GO111MODULE: 'off' };
  const compiler = ['go', 'build', '-trimpath', '-ldflags=-s -w'];
  const pure = await build('resolve.go', compiler, { ...env, CGO_ENABLED: '0' });
  const cgo = await build('resolve.go', compiler, { ...env, CGO_ENABLED: '1' });
  const libc = { GODEBUG: 'netdns=cgo' };
  return [
    { id: 'go', title: `${version}, static`, declared: 'go', argv: [pure] },
    { id: 'go-cgo', title: `${version}, cgo`, declared: 'go', argv: [cgo] },
    { id: 'go-libc', title: `${version}, netdns=cgo (glibc)`, declared: 'glibc', argv: [cgo], env: libc },
  ];
}

async function muslOf(suite: string, id: ResolverId): Promise<{ found: Musl; program: Program }> {
  const found = await fetchMusl(CACHE, suite);
  const file = await build('resolve.c', ['gcc', '-O1', ...found.gcc, '-no-pie']);
  const argv = [found.loader, file];
  return { found, program: { id, title: `musl ${found.version}`, declared: 'musl', argv } };
}

async function oldMusl(): Promise<Program[]> {
  const { found, program } = await muslOf(MUSL_SUITES.old, 'musl');
  const file = await build('resolve.c', ['gcc', '-O1', ...found.gcc, '-static', '-no-pie']);
  const title = `musl ${found.version}, static`;
  return [program, { id: 'musl-static', title, declared: 'musl', argv: [file] }];
}

const newMusl = async (): Promise<Program[]> => [(await muslOf(MUSL_SUITES.new, 'musl-new')).program];

/** Builds the programs, once per machine. Lists those that cannot be built with the reason. */
export async function preparePrograms(): Promise<Programs> {
  await mkdir(CACHE, { recursive: true });
  const makers = {
    glibc,
    Python: python,
    Node: node,
    Go: go,
    'musl of Debian 12': oldMusl,
    'musl of Debian sid': newMusl,
  };
  const programs: Program[] = [];
  const skipped: Skipped[] = [];
  for (const [what, make] of Object.entries(makers)) {
    try {
      programs.push(...(await make()));
    } catch (error) {
      skipped.push({ what, why: (error as Error).message });
    }
  }
  const coreDns = await buildCoreDns(CACHE).catch((error: Error) => {
    skipped.push({ what: 'CoreDNS', why: error.message });
  });
  return { programs, skipped, ...(typeof coreDns === 'string' && { coreDns }) };
}
