import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cache } from './cache.ts';
import { command } from './command.ts';

/** Returns one file of a pinned package (`name@version`) from the npm registry, cut to its first `limit` bytes if given. */
export function npmFile(cache: Cache, pinned: string, path: string, limit = Number.POSITIVE_INFINITY): Promise<Buffer> {
  return cache.keep(`npm ${pinned} ${path} ${limit}`, async () => {
    const directory = await mkdtemp(join(cache.directory, 'npm-'));
    try {
      const packed = await command('npm', ['pack', '--silent', '--pack-destination', directory, pinned], {
        cwd: directory,
      });
      const file = packed.toString().trim().split('\n').at(-1) ?? '';
      const content = await command('tar', ['-xzOf', join(directory, file), `package/${path}`]);
      return content.subarray(0, limit);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
}
