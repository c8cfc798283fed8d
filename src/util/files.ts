import { open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Where a link leads; the path itself where there is nothing yet. */
async function target(path: string): Promise<string> {
  return await realpath(path).catch(() => path);
}

async function isSpecial(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && !found.isFile() && !found.isDirectory();
}

async function writeTo(path: string, flags: string, text: string): Promise<void> {
  const file = await open(path, flags);
  try {
    await file.writeFile(text);
    if (flags === 'wx') await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Replaces a file whole, or leaves it as it was: the text goes to a file beside it, which is then renamed. Pipes and devices are
 * written to. Rejects as node:fs does.
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const file = await target(path);
  if (await isSpecial(file)) {
    await writeTo(file, 'w', text);
    return;
  }
  const beside = join(dirname(file), `.${basename(file)}.${process.pid}.tmp`);
  try {
    await writeTo(beside, 'wx', text);
    await rename(beside, file);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}
