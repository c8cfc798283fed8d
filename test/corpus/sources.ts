import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { MissingSource, openCache, type Cache } from './sources/cache.ts';
import { compilers, type Compilers } from './sources/compilers.ts';
import { debian, type Debian } from './sources/debian.ts';
import { npmFile } from './sources/npm.ts';

/** Outside node_modules, which `npm ci` deletes. */
export const CACHE_DIRECTORY: string = join(
  process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'),
  'libc-dns-webhook',
  'corpus',
);

/** Downloaded together, because apt takes seconds to start. */
const DEBIAN_PROGRAMS = `
  musl musl-dev dietlibc-dev libklibc-dev klibc-utils busybox busybox-static libc6 tini dumb-init catatonit gosu
  python3.11-minimal patchelf mold lld-14 libllvm14 libedit2 libbsd0 libz3-4 busybox:s390x busybox:i386 busybox-static:armhf
`
  .trim()
  .split(/\s+/);

/**
 * The sources of the corpus' executables. Everything is fetched or built once, into `~/.cache/libc-dns-webhook/corpus`.
 *
 * The whole corpus needs the following; images that need a missing part are skipped with a message:
 * - network: the npm registry and deb.debian.org, at the first run only (about 200 MB);
 * - Debian packages on the machine: apt dpkg tar gcc libc6-dev binutils skopeo docker-registry;
 * - Go (1.22 or later) and rustc.
 * musl, dietlibc, klibc, busybox and the init wrappers are taken from Debian packages without installing them.
 */
export interface Sources {
  readonly cache: Cache;
  readonly debian: Debian;
  readonly compile: Compilers;
  /** Returns a file of a pinned npm package, cut to its first `limit` bytes if given. Rejects with `MissingSource`. */
  npm(pinned: string, path: string, limit?: number): Promise<Buffer>;
  /** Returns a file of this project's own dependencies, such as `esbuild/package.json`. Rejects with `MissingSource`. */
  installed(path: string, limit?: number): Promise<Buffer>;
}

export async function openSources(directory: string): Promise<Sources> {
  const cache = await openCache(directory);
  const packages = debian(cache);
  // The image that needs a missing package reports it.
  await packages.download(DEBIAN_PROGRAMS).catch(() => {});
  return {
    cache,
    debian: packages,
    compile: compilers(cache, packages),
    npm: (pinned, path, limit) => npmFile(cache, pinned, path, limit),
    installed: async (path, limit) => {
      try {
        const content = await readFile(createRequire(import.meta.url).resolve(path));
        return content.subarray(0, limit);
      } catch (error) {
        throw new MissingSource(`${path} is not installed`, { cause: error });
      }
    },
  };
}
