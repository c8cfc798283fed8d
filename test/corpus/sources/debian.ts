import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TarEntry } from '../../support/tar-builder.ts';
import { MissingSource, type Cache } from './cache.ts';
import { command } from './command.ts';

/**
 * Downloads and unpacks Debian packages without installing them, with apt's state in the cache. So other architectures are
 * available without changes to the machine, and root is not needed.
 */

const SUITE = 'bookworm';
const ARCHITECTURES = ['amd64', 'i386', 'armhf', 'arm64', 's390x'] as const;

type DebianArchitecture = (typeof ARCHITECTURES)[number];

export interface Debian {
  /** Downloads packages (`name` or `name:architecture`) at once, which is faster. Rejects with `MissingSource`. */
  download(packages: readonly string[]): Promise<void>;
  /** Returns the folder with the package's files. Rejects with `MissingSource`. */
  unpack(name: string, architecture?: DebianArchitecture): Promise<string>;
  /** Returns one file of a package; follows symbolic links inside the package. Rejects with `MissingSource`. */
  file(name: string, path: string, architecture?: DebianArchitecture): Promise<Buffer>;
  /** Returns all files of a package as tar entries, parents first, names sorted. Rejects with `MissingSource`. */
  entries(name: string): Promise<TarEntry[]>;
}

export function debian(cache: Cache): Debian {
  const root = join(cache.directory, `debian-${SUITE}`);
  let last: Promise<unknown> = Promise.resolve();
  const download = (packages: readonly string[]): Promise<void> => {
    // One at a time: apt gives up if another apt holds the lock.
    const next = last.then(() => downloadMissing(root, packages));
    last = next.catch(() => {});
    return next;
  };
  const unpack = async (name: string, architecture: DebianArchitecture = 'amd64'): Promise<string> => {
    await download([`${name}:${architecture}`]);
    return folderOf(root, `${name}:${architecture}`);
  };
  return {
    download,
    unpack,
    file: async (name, path, architecture) => readWithin(await unpack(name, architecture), path),
    entries: async (name) => walk(await unpack(name), ''),
  };
}

function folderOf(root: string, pinned: string): string {
  const [name = '', architecture = 'amd64'] = pinned.split(':');
  return join(root, `${name}_${architecture}`);
}

async function downloadMissing(root: string, packages: readonly string[]): Promise<void> {
  const there = await Promise.all(packages.map((pinned) => exists(folderOf(root, pinned))));
  const missing = packages.filter((_, index) => there[index] !== true);
  if (missing.length === 0) return;
  await mkdir(root, { recursive: true });
  const env = { APT_CONFIG: await aptConfig(root) };
  const draft = await mkdtemp(join(root, 'draft-'));
  try {
    await command('apt-get', ['--quiet', 'download', ...missing], { cwd: draft, env });
    for (const file of await readdir(draft)) await unpackFile(root, draft, file);
    for (const pinned of missing) {
      if (!(await exists(folderOf(root, pinned)))) throw new MissingSource(`apt-get downloaded no ${pinned}`);
    }
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** Unpacks `name_version_architecture.deb` into a folder named after package and architecture. */
async function unpackFile(root: string, draft: string, file: string): Promise<void> {
  const [name = '', , architecture = ''] = file.replace(/\.deb$/, '').split('_');
  const files = join(draft, `${file}.files`);
  await command('dpkg-deb', ['-x', join(draft, file), files]);
  await rename(files, folderOf(root, `${name}:${architecture === 'all' ? 'amd64' : architecture}`));
}

/** Writes apt's configuration into the cache and fetches the package lists once. */
async function aptConfig(root: string): Promise<string> {
  const file = join(root, 'apt-without-installed.conf');
  if (await exists(file)) return file;
  const draft = `${file}.draft`;
  const [sources, status] = [join(root, 'sources.list'), join(root, 'installed')];
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  if (!(await exists(keyring))) throw new MissingSource(`${keyring} is not here: not a Debian machine`);
  await mkdir(join(root, 'lists/partial'), { recursive: true });
  await mkdir(join(root, 'archives/partial'), { recursive: true });
  await writeFile(status, '');
  await writeFile(sources, `deb [signed-by=${keyring}] http://deb.debian.org/debian ${SUITE} main\n`);
  const settings = [
    '#clear APT::Architectures;',
    `APT::Architectures { ${ARCHITECTURES.map((name) => `"${name}";`).join(' ')} };`,
    `Dir::State::Lists "${join(root, 'lists')}";`,
    // Without what this machine has installed: a newer version from elsewhere could not be downloaded from these lists.
    `Dir::State::status "${status}";`,
    `Dir::Cache "${root}";`,
    `Dir::Etc::sourcelist "${sources}";`,
    'Dir::Etc::sourceparts "-";',
    'APT::Sandbox::User "root";',
    'Acquire::Languages "none";',
  ];
  await writeFile(draft, `${settings.join('\n')}\n`);
  await command('apt-get', ['--quiet', 'update'], { env: { APT_CONFIG: draft } });
  await rename(draft, file);
  return file;
}

async function readWithin(root: string, path: string, hops = 8): Promise<Buffer> {
  const file = join(root, path);
  const status = await lstat(file).catch(() => undefined);
  if (status === undefined || hops === 0) throw new MissingSource(`${path} is not in ${root}`);
  if (!status.isSymbolicLink()) return readFile(file);
  const target = await readlink(file);
  return readWithin(root, target.startsWith('/') ? target : join(path, '..', target), hops - 1);
}

/** Returns entries depth first with names in byte order, like `tar --sort=name`. */
async function walk(root: string, folder: string): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  for (const name of (await readdir(join(root, folder))).toSorted(byBytes)) {
    const path = folder === '' ? name : `${folder}/${name}`;
    const status = await lstat(join(root, path));
    const mode = status.mode & 0o7777;
    if (status.isSymbolicLink()) entries.push({ path, type: 'symlink', target: await readlink(join(root, path)) });
    else if (status.isDirectory()) entries.push({ path, type: 'dir', mode }, ...(await walk(root, path)));
    else if (status.isFile()) entries.push({ path, content: await readFile(join(root, path)), mode });
  }
  return entries;
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}
