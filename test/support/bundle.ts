import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Bundles the program as for a release, into a new folder without node_modules. */
export function bundle(): { readonly main: string; readonly remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'libc-dns-bundle-'));
  const main = join(folder, 'main.js');
  execFileSync(process.execPath, ['build.mjs'], { cwd: root });
  copyFileSync(join(root, 'dist', 'main.js'), main);
  return { main, remove: () => rmSync(folder, { recursive: true }) };
}
