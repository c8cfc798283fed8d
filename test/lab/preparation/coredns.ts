import { createHash } from 'node:crypto';
import { readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { command } from '../command.ts';

const SOURCE = fileURLToPath(new URL('../programs/coredns/', import.meta.url));

/** Everything that goes into the program: the modules are named by their hashes. */
const FILES = ['main.go', 'go.mod', 'go.sum'] as const;

/** Builds CoreDNS for the cache in the Pod into the folder `cache`, once per source. Returns the program's path. */
export async function buildCoreDns(cache: string): Promise<string> {
  const hash = createHash('sha256');
  for (const name of FILES) hash.update(await readFile(join(SOURCE, name)));
  const file = join(cache, `coredns-${hash.digest('hex').slice(0, 16)}`);
  const kept = await stat(file).catch(() => undefined);
  if (kept !== undefined) return file;
  const draft = `${file}.${process.pid}`;
  const env = { CGO_ENABLED: '0', GOFLAGS: '', GOTOOLCHAIN: 'local' };
  await command('go', ['build', '-trimpath', '-ldflags=-s -w', '-o', draft, '.'], { cwd: SOURCE, env });
  await rename(draft, file);
  return file;
}
