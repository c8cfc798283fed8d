import { rename, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { coreDns } from '../../kubernetes/programs.ts';
import { command } from '../command.ts';

/** Builds CoreDNS for the cache in the Pod into the folder `cache`, once per source. Returns the program's path. */
export async function buildCoreDns(cache: string): Promise<string> {
  const file = join(cache, `coredns-${coreDns.hash}`);
  const kept = await stat(file).catch(() => undefined);
  if (kept !== undefined) return file;
  const draft = `${file}.${process.pid}`;
  const env = { CGO_ENABLED: '0', GOFLAGS: '' };
  await command('go', ['build', '-trimpath', '-ldflags=-s -w', '-o', draft, './sidecar'], { cwd: coreDns.folder, env });
  await rename(draft, file);
  return file;
}
