import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A source that this machine does not have: the images that need it are skipped, and listed as such. */
export class MissingSource extends Error {
  override readonly name = 'MissingSource';
}

/** Bytes that are costly to make, kept on disk under a key that names everything they depend on. */
export interface Cache {
  readonly directory: string;
  /** The kept bytes, or those that `make` yields. What `make` throws is thrown each time. */
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
    // Another run may write the same file: a rename is seen whole or not at all.
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
