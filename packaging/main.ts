import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { buildExecutable, THIS_PLATFORM } from './executable.ts';
import { homebrewFormula, krewManifest, readChecksums } from './manifests.ts';

/**
 * `node packaging/main.ts`: builds dist/libc-dns, an executable for this machine that needs no Node.
 * `--release PLATFORM...`: archives of executables (linux-x64, darwin-arm64, ...) and their SHA256SUMS in dist/release.
 * `--manifests FOLDER`: from the archives there, a krew manifest and a Homebrew formula beside them.
 */

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const RELEASE = join(ROOT, 'dist/release');
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };

function bundle(): string {
  execFileSync(process.execPath, ['build.mjs', 'executable'], { cwd: ROOT });
  return join(ROOT, 'dist/executable.js');
}

function notices(): string {
  return execFileSync(process.execPath, ['test/supply-chain/main.ts', '--notices'], { cwd: ROOT, encoding: 'utf8' });
}

/** Packs a folder so that the same files give the same archive. */
function archive(folder: string, names: readonly string[], output: string): void {
  const time = new Date(Number(process.env['SOURCE_DATE_EPOCH'] ?? 0) * 1000);
  for (const name of names) utimesSync(join(folder, name), time, time);
  const owner = process.platform === 'darwin' ? ['--uid', '0', '--gid', '0'] : ['--owner=0', '--group=0'];
  const flags = ['--format', 'ustar', '--numeric-owner', ...owner];
  execFileSync('tar', [...flags, '-czf', output, '-C', folder, ...names]);
}

function release(platforms: readonly string[]): void {
  const program = bundle();
  const licences = notices();
  for (const platform of platforms) {
    const folder = join(RELEASE, platform);
    buildExecutable(program, platform, join(folder, 'libc-dns'));
    copyFileSync(join(ROOT, 'LICENSE'), join(folder, 'LICENSE'));
    writeFileSync(join(folder, 'THIRD-PARTY-NOTICES.txt'), licences);
    const name = `libc-dns-${version}-${platform}.tar.gz`;
    archive(folder, ['LICENSE', 'THIRD-PARTY-NOTICES.txt', 'libc-dns'], join(RELEASE, name));
    rmSync(folder, { recursive: true });
    console.log(`package: dist/release/${name}`);
  }
  checksums(RELEASE);
}

/** Writes SHA256SUMS, as `sha256sum --check` reads it. */
function checksums(folder: string): string {
  const archives = readdirSync(folder).filter((name) => name.endsWith('.tar.gz'));
  const lines = archives.toSorted().map(
    (name) =>
      `${createHash('sha256')
        .update(readFileSync(join(folder, name)))
        .digest('hex')}  ${name}\n`,
  );
  writeFileSync(join(folder, 'SHA256SUMS'), lines.join(''));
  return lines.join('');
}

function manifests(folder: string): void {
  const made = { version, archives: readChecksums(checksums(folder)) };
  writeFileSync(join(folder, 'libc-dns.yaml'), krewManifest(made));
  writeFileSync(join(folder, 'libc-dns.rb'), homebrewFormula(made));
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { release: { type: 'boolean' }, manifests: { type: 'string' } },
});
if (values.manifests !== undefined) manifests(values.manifests);
else if (values.release === true) {
  mkdirSync(RELEASE, { recursive: true });
  release(positionals.length > 0 ? positionals : [THIS_PLATFORM]);
} else {
  buildExecutable(bundle(), THIS_PLATFORM, join(ROOT, 'dist/libc-dns'));
  console.log('package: dist/libc-dns');
}
