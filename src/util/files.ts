import { open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { messageOf } from './text.ts';

/** Says why a file could not be read or written. node:fs names its own call and path, too: the path may be a temporary file's. */
export function fileProblem(error: unknown): string {
  const { code, syscall } = error as NodeJS.ErrnoException;
  const message = messageOf(error);
  return syscall === undefined ? message : message.replace(`${code}: `, '').replace(/, \w+( '.*)?$/s, '');
}

/** Returns where a link leads; the path itself if there is nothing yet. */
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
 * Replaces the whole file or leaves it as it was: writes a file beside it and renames that. Writes straight to pipes and
 * devices. Rejects as node:fs does.
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
