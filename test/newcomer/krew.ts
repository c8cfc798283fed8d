import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

import { krewManifest, readChecksums } from '../../packaging/manifests.ts';

/** What was tried with krew: did it hold, and what was it? */
export type Tried = readonly [isSo: boolean, what: string];

const PLATFORM = 'linux-x64';

/** What a command of krew printed, in one line, if it failed. */
function tried(what: string, command: string, args: readonly string[], env: NodeJS.ProcessEnv, says = /./s): Tried {
  const { status, stdout, stderr, error } = spawnSync(command, args, { env, encoding: 'utf8', stdio: 'pipe' });
  const printed = error?.message ?? stdout + stderr;
  const isSo = status === 0 && says.test(printed);
  return [isSo, isSo ? what : `${what}  (exit status ${status}\n${printed})`];
}

/**
 * Installs the archive of a release for this platform as krew does for `kubectl krew install libc-dns`, and runs the plugin: with the
 * real `krew`, and `validate-krew-manifest`, which krew-index runs on each manifest that it is given.
 * @param clone a clone in which `npm ci` ran
 * @param home a folder that the caller deletes
 * @returns undefined where krew is not installed or there is no archive for this machine
 */
export function tryWithKrew(clone: string, home: string, version: string): readonly Tried[] | undefined {
  const isHere = ['krew', 'validate-krew-manifest'].every((name) => spawnSync(name, ['--help']).error === undefined);
  if (!isHere || `${process.platform}-${process.arch}` !== PLATFORM) return undefined;
  execFileSync('npm', ['run', '-s', 'package', '--', '--release', PLATFORM], { cwd: clone, stdio: 'ignore' });
  const release = join(clone, 'dist/release');
  const archives = readChecksums(readFileSync(join(release, 'SHA256SUMS'), 'utf8'));
  const manifest = join(home, 'libc-dns.yaml');
  writeFileSync(manifest, krewManifest({ version, archives }));

  const root = join(home, 'krew');
  mkdirSync(root);
  const path = [join(root, 'bin'), process.env['PATH']].join(delimiter);
  const env = { ...process.env, HOME: home, KREW_ROOT: root, PATH: path };
  return [
    tried(
      'krew-index would take the manifest',
      'validate-krew-manifest',
      ['-manifest', manifest, '-skip-install'],
      env,
    ),
    tried(
      'krew install',
      'krew',
      ['install', `--manifest=${manifest}`, `--archive=${join(release, archives[0]?.file ?? '')}`],
      env,
    ),
    tried('kubectl libc-dns version --client', 'kubectl-libc_dns', ['version', '--client'], env, /^client {3}/),
  ];
}
