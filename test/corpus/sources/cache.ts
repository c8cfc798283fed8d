import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Thrown if this machine lacks a source. The images that need it are skipped and listed. */
export class MissingSource extends Error {
  override readonly name = 'MissingSource';
}

/** Caches costly bytes on disk, under a key that names everything they depend on. */
export interface Cache {
  readonly directory: string;
  /** Returns the cached bytes, else the result of `make`. Errors of `make` are not cached. */
  keep(key: string, make: () => Promise<Uint8Array>): Promise<Buffer>;
}

export async function openCache(directory: string): Promise<Cache> {
  await mkdir(directory, { recursive: true });
  const pending = new Map<string, Promise<Buffer>>();
  const load = async (key: string, make: () => Promise<Uint8Array>): Promise<Buffer> => {
    const file = join(directory, createHash('sha256').update(key).digest('hex').slice(0, 32));
    const kept = await readFile(file).catch(() => undefined);
    if (kept !== undefined) return kept;
    const bytes = Buffer.from(await make());
    // Another run may write the same file; a rename is atomic.
    const draft = `${file}.${process.pid}`;
    await writeFile(draft, bytes);
    await rename(draft, file);
    return bytes;
  };
  return {
    directory,
    keep: (key, make) => {
      const known = pending.get(key);
      if (known !== undefined) return known;
      const loading = load(key, make);
      pending.set(key, loading);
      return loading;
    },
  };
}
