import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { containerArgv } from '../../src/inspection/command/invocation.ts';
import type { BuiltImage } from '../support/image-builder.ts';
import type { CorpusImage } from './corpus-image.ts';

/**
 * Judges images by running them: unpacks an image as a runtime does, runs its entry point under strace in namespaces of its own,
 * and names the programs that ran and the one that is left. Needs root, and Linux with strace, unshare, chroot and tar.
 */

const run = promisify(execFile);
const SECONDS = 3;

export interface Trace {
  /** Paths in the image, in the order in which they first ran. */
  readonly ran: readonly string[];
  /** Paths of the processes that were left at the end and had no child left; empty if all had ended. */
  readonly left: readonly string[];
  /** Why nothing ran; undefined if something did. */
  readonly failure?: string;
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

/** Runs an image of one platform. */
export async function trace(entry: CorpusImage, built: BuiltImage): Promise<Trace> {
  const manifest = parse<Manifest>(built.manifests.get(built.digest)?.bytes);
  const { config = {} } = parse<Config>(built.blobs.get(manifest.config.digest));
  const root = await mkdtemp(join(tmpdir(), 'corpus-trace-'));
  try {
    for (const { digest } of manifest.layers) await unpack(root, built.blobs.get(digest) ?? Buffer.alloc(0));
    const argv = containerArgv(
      { entrypoint: config.Entrypoint ?? [], cmd: config.Cmd ?? [] },
      { command: entry.command ?? [], args: entry.args ?? [] },
    );
    const env = new Map((config.Env ?? []).map((line) => splitOnce(line)));
    for (const [name, value] of Object.entries(entry.env ?? {})) env.set(name, value);
    const words = argv.map((word) => word.replaceAll(/\$\((\w+)\)/gu, (whole, name: string) => env.get(name) ?? whole));
    return await execute(root, words, env, config.WorkingDir ?? '/');
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

const parse = <T>(bytes: Uint8Array | undefined): T => JSON.parse(Buffer.from(bytes ?? []).toString()) as T;

const splitOnce = (line: string): [string, string] => {
  const at = line.indexOf('=');
  return [line.slice(0, at), line.slice(at + 1)];
};

/** Unpacks a layer over what is there: takes away what its whiteouts name, then lets tar write. */
async function unpack(root: string, blob: Buffer): Promise<void> {
  const file = join(root, '.layer');
  await writeFile(file, blob);
  const { stdout } = await run('tar', ['-atf', file], { maxBuffer: 64 << 20 }).catch(() => run('tar', ['-tf', file]));
  const whiteouts = stdout.split('\n').filter((name) => /(?:^|\/)\.wh\.[^/]+$/u.test(name));
  for (const name of whiteouts) {
    const folder = name.slice(0, name.lastIndexOf('.wh.'));
    const base = name.slice(name.lastIndexOf('.wh.') + 4);
    await rm(join(root, folder, base === '.wh..opq' ? '' : base), { recursive: true, force: true });
  }
  // A file in a directory's place, or the other way, replaces it, as in an overlay.
  const flags = ['--exclude=.wh.*', '--recursive-unlink', '--unlink-first', '--no-same-owner', '-C', root];
  await run('tar', [...flags, '-xf', file]).catch(() => run('tar', [...flags.slice(0, 1), '-C', root, '-xf', file]));
  await rm(file);
}

async function execute(
  root: string,
  argv: readonly string[],
  env: ReadonlyMap<string, string>,
  directory: string,
): Promise<Trace> {
  for (const folder of ['proc', 'tmp', 'dev', directory]) await mkdir(join(root, folder), { recursive: true });
  const log = join(root, '.strace');
  const variables = [...env].map(([name, value]) => `${name}=${value}`);
  const program = ['env', '-i', '-C', directory, ...variables, ...argv];
  const inside = ['chroot', root, ...program];
  // The image may lack env: the program is looked up in its PATH by chroot's own env where it has one.
  const traced = [
    'strace',
    '-f',
    '-qq',
    '-s',
    '4096',
    '-e',
    'trace=execve,exit_group,clone,clone3,vfork,fork',
    '-o',
    log,
  ];
  const script = `mount -t proc proc ${root}/proc; mount --bind /dev ${root}/dev; exec "$@"`;
  const isolated = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--net', '--uts', '--ipc', '--'];
  await run(
    'timeout',
    ['--signal=KILL', String(SECONDS), ...isolated, 'sh', '-c', script, 'sh', ...traced, ...inside],
    {
      env: { PATH: process.env['PATH'] ?? '' },
    },
  ).catch(() => {});
  const text = await readFile(log, 'utf8').catch(() => '');
  return judge(text, argv);
}

/** Reads strace's log. Lines: `PID execve("path", …) = 0`, `PID clone(…) = CHILD`, `PID +++ exited with N +++`. */
export function judge(log: string, argv: readonly string[]): Trace {
  const programs = new Map<string, string>();
  const parents = new Map<string, string>();
  const ended = new Set<string>();
  const ran: string[] = [];
  // What strace, chroot and env of the machine exec comes before the program itself.
  let started = false;
  for (const line of log.split('\n')) {
    const [, pid = '', rest = ''] = /^(\d+)\s+(.*)$/u.exec(line) ?? [];
    const execed = /^execve\("((?:[^"\\]|\\.)*)", \[(?:"((?:[^"\\]|\\.)*)")?.*\) = 0/u.exec(rest);
    if (execed !== null) {
      started ||= execed[2] === argv[0];
      programs.set(pid, execed[1] ?? '');
      if (started && !ran.includes(execed[1] ?? '')) ran.push(execed[1] ?? '');
    }
    const child = /^(?:<\.\.\. )?(?:clone3?|v?fork)\b.* = (\d+)$/u.exec(rest)?.[1];
    if (child !== undefined) {
      parents.set(child, pid);
      if (!programs.has(child)) programs.set(child, programs.get(pid) ?? '');
    }
    if (/^\+\+\+ (?:exited|killed by (?!SIGKILL))/u.test(rest)) ended.add(pid);
  }
  const alive = [...programs.keys()].filter((pid) => !ended.has(pid));
  const busy = new Set(alive.map((pid) => parents.get(pid)));
  const left = started ? alive.filter((pid) => !busy.has(pid)).map((pid) => programs.get(pid) ?? '') : [];
  return { ran, left: [...new Set(left)], ...(!started && { failure: 'its program could not be run here' }) };
}
