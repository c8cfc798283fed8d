import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { command } from '../command.ts';

/**
 * Gets several releases of Debian's musl: downloads and unpacks them into the lab's cache, with apt's state in a folder there.
 * Installs nothing.
 */

export interface Musl {
  readonly version: string;
  /** musl's loader, which is also its libc. */
  readonly loader: string;
  /** The arguments that musl-gcc passes to gcc. */
  readonly gcc: readonly string[];
}

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Downloads musl and musl-dev of a Debian suite into `folder`. */
async function download(suite: string, folder: string): Promise<void> {
  if (!(await exists(KEYRING))) throw new Error(`${KEYRING} is not here: not a Debian machine`);
  const draft = await mkdtemp(`${folder}-`);
  try {
    await mkdir(join(draft, 'lists/partial'), { recursive: true });
    await mkdir(join(draft, 'archives/partial'), { recursive: true });
    await writeFile(join(draft, 'sources'), `deb [signed-by=${KEYRING}] http://deb.debian.org/debian ${suite} main\n`);
    const settings = [
      `Dir::State::Lists "${draft}/lists";`,
      `Dir::Cache "${draft}";`,
      `Dir::Etc::sourcelist "${draft}/sources";`,
      'Dir::Etc::sourceparts "-";',
      'APT::Sandbox::User "root";',
      'Acquire::Languages "none";',
      'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";',
    ];
    await writeFile(join(draft, 'apt.conf'), `${settings.join('\n')}\n`);
    const options = { cwd: draft, env: { APT_CONFIG: join(draft, 'apt.conf') } };
    await command('apt-get', ['--quiet', 'update'], options);
    await command('apt-get', ['--quiet', 'download', 'musl', 'musl-dev'], options);
    const packages = (await readdir(draft)).filter((file) => file.endsWith('.deb'));
    for (const file of packages) await command('dpkg-deb', ['-x', join(draft, file), join(draft, 'files')]);
    // Another run may have been faster; both results are equal.
    await rename(join(draft, 'files'), folder).catch(() => {});
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function one(folder: string, matches: (name: string) => boolean): Promise<string> {
  const found = (await readdir(folder)).find(matches);
  if (found === undefined) throw new Error(`${folder} holds nothing that was looked for`);
  return join(folder, found);
}

/** Unpacks the musl of a Debian suite below `cache`, once. Rejects if it is not available. */
export async function fetchMusl(cache: string, suite: string): Promise<Musl> {
  const folder = join(cache, `musl-${suite}`);
  if (!(await exists(folder))) await download(suite, folder);
  const isMusl = (name: string): boolean => name.endsWith('-linux-musl');
  const libraries = await one(join(folder, 'usr/lib'), isMusl);
  const headers = await one(join(folder, 'usr/include'), isMusl);
  const shared = await one(join(folder, 'lib'), isMusl).catch(() => libraries);
  const loader = join(shared, 'libc.so');
  // Without a program, the loader prints its version and fails.
  const words = await command(loader, []).catch((error: Error) => String((error.cause as { stderr?: string }).stderr));
  const version = /Version (\S+)/.exec(words)?.[1];
  if (version === undefined) throw new Error(`${loader} does not say which version of musl it is`);

  const specs = await readFile(join(libraries, 'musl-gcc.specs'), 'utf8');
  const moved = specs
    .replaceAll(/\/usr\/include\/\S+-linux-musl/g, headers)
    .replaceAll(/\/usr\/lib\/\S+-linux-musl/g, libraries);
  const file = join(cache, `musl-${suite}.specs`);
  await writeFile(file, moved);
  return { version, loader, gcc: ['-specs', file, `-L${shared}`] };
}
