import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Bundles the program as for a release, into a new folder without node_modules. */
export function bundle(): { readonly main: string; readonly remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'libc-dns-bundle-'));
  const main = join(folder, 'main.js');
  execFileSync(process.execPath, ['build.mjs'], { cwd: root });
  const files = ['main.js', 'reader.js', 'otlp.js', 'package.json'];
  for (const file of files) copyFileSync(join(root, 'dist', file), join(folder, file));
  return { main, remove: () => rmSync(folder, { recursive: true }) };
}

/** Like {@link bundle}, with the reader process of `faulty-reader.ts`. */
export function faultyBundle(): ReturnType<typeof bundle> {
  const { main, remove } = bundle();
  const reader = join(dirname(main), 'reader.js');
  renameSync(reader, join(dirname(main), 'sound-reader.js'));
  const faulty = readFileSync(new URL('faulty-reader.ts', import.meta.url), 'utf8');
  writeFileSync(reader, stripTypeScriptTypes(faulty).replace('../../src/reader.ts', './sound-reader.js'));
  return { main, remove };
}
