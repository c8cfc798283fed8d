import { execFile } from 'node:child_process';
import {
  access,
  chmod,
  constants,
  copyFile,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  rm,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

import { firstInvocation } from '../../src/inspection/command/invocation.ts';
import type { BuiltImage } from '../support/image-builder.ts';
import type { CorpusImage } from './corpus-image.ts';
import type { Sources } from './sources.ts';

/**
 * Judges images by running them: unpacks an image as a runtime does, runs its entry point under strace in namespaces of its own,
 * and names the programs that ran and the one that is left. Needs root, and Linux with strace, unshare, chroot and tar.
 */

const run = promisify(execFile);
/** How long an image runs. */
const SECONDS = 4;

export interface Trace {
  /** Paths in the image, in the order in which they first ran. */
  readonly ran: readonly string[];
  /** Paths of the processes that were left at the end and had no child left. Servers stay: if none is left, it failed here. */
  readonly left: readonly string[];
  /** The last program without children that ended well; absent if the container did not. It counts where none was left. */
  readonly ended?: string;
  /** How the container ended, such as `exited with 127`; absent if it still ran. */
  readonly end?: string;
  /** Of each that was left, else of the one that ended: its resolver, or its interpreter's. */
  readonly resolvers: readonly string[];
}

interface Manifest {
  readonly layers: readonly { readonly digest: string }[];
  readonly config: { readonly digest: string };
}

interface Config {
  readonly config?: {
    readonly Entrypoint?: readonly string[] | null;
    readonly Cmd?: readonly string[] | null;
    readonly Env?: readonly string[] | null;
    readonly WorkingDir?: string;
  };
}

const isAlpine = (root: string): Promise<boolean> =>
  access(join(root, 'etc/alpine-release')).then(
    () => true,
    () => false,
  );

/** Debian's static busybox and bash play the shells of the Alpine-shaped base, which has none that runs. */
async function addShell(root: string, debian: Sources['debian']): Promise<void> {
  if (!(await isAlpine(root))) return;
  await writeFile(join(root, 'bin/busybox'), await debian.file('busybox-static', 'bin/busybox'), { mode: 0o755 });
  const bash = await debian.file('bash-static', 'bin/bash-static');
  await writeFile(join(root, 'bin/bash'), bash, { mode: 0o755, flag: 'wx' }).catch(() => {});
}

// What util-linux's programs need of packages that the model of Debian lacks.
const libraries = ['libcap-ng.so.0', 'libsmartcols.so.1', 'libpam_misc.so.0'];
const libraryFolder = '/usr/lib/x86_64-linux-gnu';

async function addLibraries(root: string): Promise<void> {
  const folder = join(root, libraryFolder);
  for (const name of libraries)
    await copyFile(join(libraryFolder, name), join(folder, name), constants.COPYFILE_EXCL).catch(() => {});
}

// Users that entry scripts change to. The packages that make them were not installed.
const users =
  'app git node nginx www-data postgres mysql redis mongodb influxdb telegraf rabbitmq elasticsearch cassandra zookeeper ' +
  'grafana prometheus vault consul couchdb neo4j solr odoo redmine jenkins ghost memcached haproxy kong flink spark kafka ' +
  'sonarqube pihole plex abc nobody';

/** Makes the table of users, which Debian's packages make when they are installed. */
async function addUsers(root: string): Promise<void> {
  const file = join(root, 'etc/passwd');
  await copyFile(join(root, 'usr/share/base-passwd/passwd.master'), file).catch(() => {});
  const known = await readFile(file, 'utf8').catch(() => 'root:x:0:0:root:/root:/bin/sh\n');
  const missing = users.split(' ').filter((name) => !known.includes(`${name}:`));
  const lines = missing.map((name, at) => `${name}:x:${2000 + at}:${2000 + at}::/:/bin/sh\n`);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, known + lines.join(''));
  await writeFile(
    join(root, 'etc/group'),
    (known + lines.join('')).replaceAll(/^([^:]+):x?\*?:\d+:(\d+):.*$/gmu, '$1:x:$2:'),
  );
}

/** Runs an image of one platform. */
export async function trace(entry: CorpusImage, built: BuiltImage, { debian }: Sources): Promise<Trace> {
  const manifest = parse(built.manifests.get(built.digest)?.bytes) as Manifest;
  const { config = {} } = parse(built.blobs.get(manifest.config.digest)) as Config;
  const root = await mkdtemp(join(tmpdir(), 'corpus-trace-'));
  // Users that the image changes to must reach it.
  await chmod(root, 0o755);
  try {
    for (const [at, { digest }] of manifest.layers.entries())
      await unpack(root, built.blobs.get(digest) ?? Buffer.alloc(0), at > 0);
    await addShell(root, debian);
    await addUsers(root);
    await addLibraries(root);
    const env = new Map((config.Env ?? []).map((line) => splitOnce(line)));
    for (const [name, value] of Object.entries(entry.env ?? {})) env.set(name, value);
    const workingDir = entry.workingDir ?? (config.WorkingDir || '/');
    const { argv } = firstInvocation(runConfig(config, workingDir), { command: [], args: [], ...entry });
    return await execute(root, argv, env, workingDir, entry.user);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

const runConfig = ({ Entrypoint, Cmd, Env }: NonNullable<Config['config']>, workingDir: string) => ({
  entrypoint: Entrypoint ?? [],
  cmd: Cmd ?? [],
  env: Env ?? [],
  workingDir,
});

const parse = (bytes: Uint8Array | undefined): unknown => JSON.parse(Buffer.from(bytes ?? []).toString());

const splitOnce = (line: string): [string, string] => {
  const at = line.indexOf('=');
  return [line.slice(0, at), line.slice(at + 1)];
};

/**
 * Unpacks a layer over what is there: takes away what its whiteouts name, and directories in whose place it has a file or link,
 * then lets tar write. The corpus is our own: no entry of it stands behind a link that leads out of the root.
 */
async function unpack(root: string, blob: Buffer, isAbove: boolean): Promise<void> {
  const file = join(root, '.layer');
  await writeFile(file, blob);
  const { stdout } = isAbove ? await run('tar', ['-tf', file], { maxBuffer: 64 << 20 }) : { stdout: '' };
  for (const name of stdout.split('\n').filter((one) => one !== '' && !one.endsWith('/'))) {
    const path = await within(root, dirname(name));
    const base = basename(name);
    const opaque = base === '.wh..wh..opq';
    const place = opaque ? path : join(path, base.replace(/^\.wh\./u, ''));
    if (opaque || base.startsWith('.wh.') || (await isDirectory(place)))
      await rm(place, { recursive: true, force: true });
  }
  await run('tar', ['--exclude=.wh.*', '--no-same-owner', '-C', root, '-xf', file]);
  await rm(file);
}

const isDirectory = (path: string): Promise<boolean> =>
  lstat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

async function execute(
  root: string,
  argv: readonly string[],
  env: ReadonlyMap<string, string>,
  directory: string,
  user: string | undefined,
): Promise<Trace> {
  for (const folder of ['proc', 'tmp', 'dev', directory]) await mkdir(join(root, folder), { recursive: true });
  const log = join(root, '.strace');
  const variables = [...env].map(([name, value]) => `${name}=${value}`);
  const contained = [
    '/usr/bin/env',
    '-i',
    ...variables,
    '/usr/bin/unshare',
    `--root=${root}`,
    `--wd=${directory}`,
    ...(user === undefined ? [] : [`--setuid=${user}`]),
    '--',
    ...argv,
  ];
  const calls = 'trace=execve,chroot,chdir,clone,clone3,vfork,fork';
  const traced = ['strace', '-f', '-q', '-s', '4096', '-e', calls, '-o', log, ...contained];
  const mounts = `mount -t proc proc '${root}/proc' && mount --rbind /dev '${root}/dev' && exec "$@"`;
  const isolated = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--net', '--uts', '--ipc'];
  await run('timeout', ['--signal=KILL', String(SECONDS), ...isolated, 'sh', '-c', mounts, 'sh', ...traced]).catch(
    () => {},
  );
  const { ran, left, ...rest } = readLog(await readFile(log, 'utf8').catch(() => ''));
  // What starts the container itself is not its program.
  const own = ran.filter((path) => path !== '/usr/bin/unshare' && path !== '/usr/bin/env');
  const judged = left.length === 0 && rest.ended !== undefined ? [rest.ended] : left;
  const resolvers = await Promise.all(judged.map((path) => resolverOf(root, path, directory)));
  return { ran: own, left, ...rest, resolvers };
}

interface Processes {
  /** Programs whose start has not been reported as done. */
  readonly begun: Map<string, string>;
  /** Working directories that processes have changed to. */
  readonly directories: Map<string, string>;
  /** Roots that processes have changed to. */
  readonly roots: Map<string, string>;
  readonly programs: Map<string, string>;
  readonly parents: Map<string, string>;
  /** How processes ended, in this order. */
  readonly ended: Map<string, string>;
}

/** Reads strace's log. Lines: `PID execve("path", …) = 0`, `PID clone(…) = CHILD`, `PID +++ exited with N +++`. */
export function readLog(log: string): Omit<Trace, 'resolvers'> {
  const seen: Processes = {
    begun: new Map(),
    directories: new Map(),
    roots: new Map(),
    programs: new Map(),
    parents: new Map(),
    ended: new Map(),
  };
  const ran = new Set<string>();
  for (const line of log.split('\n')) {
    const [, pid = '', rest = ''] = /^(\d+)\s+(.*)$/u.exec(line) ?? [];
    const [, path, end = ''] = /^execve\("((?:[^"\\]|\\.)*)".*( = 0| <unfinished \.\.\.>)$/u.exec(rest) ?? [];
    // Calls of several processes at once stand in two parts.
    if (path !== undefined && end !== ' = 0') seen.begun.set(pid, path);
    const resumed = /^<\.\.\. execve resumed>.* = 0$/u.test(rest) ? seen.begun.get(pid) : undefined;
    const program = end === ' = 0' ? path : resumed;
    if (program !== undefined) ran.add(program);
    readLine(seen, pid, rest, program);
  }
  const alive = [...seen.programs.keys()].filter((pid) => !seen.ended.has(pid));
  const busy = new Set(alive.map((pid) => seen.parents.get(pid)));
  const left = alive.filter((pid) => !busy.has(pid)).map((pid) => seen.programs.get(pid) ?? '');
  return { ran: [...ran], left: [...new Set(left)], ...endOf(seen) };
}

const well = 'exited with 0';

function endOf({ programs, parents, ended }: Processes): Pick<Trace, 'end' | 'ended'> {
  const [first = ''] = programs.keys();
  const end = ended.get(first);
  if (end === undefined) return {};
  const busy = new Set(parents.values());
  const [last = ''] = [...ended].findLast(([pid, how]) => how === well && !busy.has(pid)) ?? [];
  const program = end === well ? programs.get(last) : undefined;
  return { end, ...(program !== undefined && { ended: program }) };
}

function readLine(
  { directories, roots, programs, parents, ended }: Processes,
  pid: string,
  rest: string,
  program: string | undefined,
): void {
  const changed = /^chroot\("([^"]*)"\) += 0$/u.exec(rest)?.[1];
  // The first change is ours, into the image.
  if (changed !== undefined) roots.set(pid, roots.has(pid) ? changed.replace(/^\/$|^\.$/u, '') : '');
  noteProgram({ directories, roots, programs }, pid, rest, program);
  if (program !== undefined) forgetWaitedFor({ parents, ended }, pid);
  const child = /^(?:<\.\.\. )?(?:clone3?|v?fork)\b.* = (\d+)$/u.exec(rest)?.[1];
  if (child !== undefined && !rest.includes('CLONE_THREAD')) {
    parents.set(child, pid);
    roots.set(child, roots.get(pid) ?? '');
    const from = directories.get(pid);
    if (from !== undefined) directories.set(child, from);
    if (!programs.has(child)) programs.set(child, programs.get(pid) ?? '');
  }
  const end = /^\+\+\+ ((?:exited with|killed by) \w+)/u.exec(rest)?.[1];
  if (end !== undefined) ended.set(pid, end);
}

/** A program did not start what the one before it in its process waited for. */
function forgetWaitedFor({ parents, ended }: Pick<Processes, 'parents' | 'ended'>, pid: string): void {
  for (const [child, parent] of parents) if (parent === pid && ended.has(child)) parents.delete(child);
}

function noteProgram(
  { directories, roots, programs }: Pick<Processes, 'directories' | 'roots' | 'programs'>,
  pid: string,
  rest: string,
  program: string | undefined,
): void {
  const directory = /^chdir\("([^"]*)"\) += 0$/u.exec(rest)?.[1];
  if (directory !== undefined) directories.set(pid, resolve(directories.get(pid) ?? '/', directory));
  // busybox runs its applets so.
  if (program !== undefined && program !== '/proc/self/exe') {
    const from = directories.get(pid);
    programs.set(pid, `${roots.get(pid) ?? ''}${from === undefined ? program : behind(from, program)}`);
  }
}

// By the text, `..` would not be the parent of where a link leads.
const behind = (from: string, program: string): string =>
  program.startsWith('/') ? program : `${from}/${program.replace(/^\.\//u, '')}`;

/** Returns where a path of the image is on this machine: links lead within the root. */
async function within(root: string, path: string, links = 40): Promise<string> {
  let at = root;
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  for (const [index, part] of parts.entries()) {
    const target = await readlink(join(at, part)).catch(() => undefined);
    if (target !== undefined && links > 0) {
      const from = target.startsWith('/') ? '' : at.slice(root.length);
      return within(root, [from, target, ...parts.slice(index + 1)].join('/'), links - 1);
    }
    at = part === '..' ? (at === root ? root : dirname(at)) : join(at, part);
  }
  return at;
}

/** Says by readelf and `go version` which resolver a program of the image has; of a script, its interpreter's. */
async function resolverOf(root: string, path: string, directory: string): Promise<string> {
  const inside = path.startsWith('/') ? path : join(directory, path);
  const file = join(await mkdtemp(join(root, '.program-')), 'program');
  const place = await within(root, inside);
  // Others play the shells of the Alpine-shaped base, which are linked to musl.
  if (/^\/bin\/(?:busybox|bash)$/u.test(place.slice(root.length)) && (await isAlpine(root))) return 'musl';
  const bytes = await readFile(place).catch(() => Buffer.alloc(0));
  const [, interpreter, argument] = /^#! ?(\S+)(?: (\S+))?/u.exec(bytes.toString('latin1', 0, 256)) ?? [];
  if (interpreter !== undefined) {
    const next = interpreter.endsWith('/env') && argument !== undefined ? `/usr/local/bin/${argument}` : interpreter;
    return resolverOf(root, next, directory);
  }
  await writeFile(file, bytes);
  return resolverOfElf(root, file, bytes);
}

async function resolverOfElf(root: string, file: string, bytes: Buffer): Promise<string> {
  const { stdout: version } = await run('go', ['version', '-m', file]).catch(() => ({ stdout: '' }));
  // Else the libc's, which its build has chosen (net/conf.go).
  if (/: go\d/u.test(version) && !/build\t(?:-tags=.*\bnetcgo\b|DefaultGODEBUG=.*netdns=cgo)/u.test(version))
    return 'go';
  const { stdout: headers } = await run('readelf', ['-lnW', file]).catch(() => ({ stdout: '' }));
  const loader = /interpreter: ([^\]]+)\]/u.exec(headers)?.[1];
  // A loader of glibc's name may be musl's.
  const text = loader === undefined ? bytes : await readFile(await within(root, loader)).catch(() => Buffer.alloc(0));
  if (text.includes('No error information\0') || text.includes('ndots:\0attempts:\0')) return 'musl';
  if (loader?.includes('ld-linux') === true || headers.includes('NT_GNU_ABI_TAG')) return 'glibc';
  return loader === undefined ? 'not told' : 'other';
}
