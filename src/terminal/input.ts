import { constants, type Stats } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';

/** Bytes of one input. The largest manifests that people keep have a few MiB; parsed, a file takes some fifty times its size. */
const MOST_BYTES = 64 * 1024 * 1024;

/** Thrown if an input is not read, or is no text. The message is a clause about it: `is larger than 64 MiB`. */
class InputError extends Error {
  override readonly name = 'InputError';
  readonly code = 'input';
}

/**
 * Returns the text of a file. Refuses devices, sockets, files over 64 MiB and bytes that are not UTF-8. Reads pipes, which the shell
 * gives for `<(command)`, unless `only` is `regular`. Rejects with {@link InputError} or like node:fs.
 */
export async function readTextFile(path: string, only?: 'regular'): Promise<string> {
  // Looks before it opens: that alone is an act on some devices.
  const seen = check(await stat(path), only);
  // A pipe is waited for; what was a file a moment ago is not.
  const file = await open(path, seen.isFIFO() ? constants.O_RDONLY : constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    check(await file.stat(), only);
    return await readTextStream(file.createReadStream({ autoClose: false }));
  } finally {
    await file.close();
  }
}

function check(about: Stats, only: 'regular' | undefined): Stats {
  const refused = refusalOf(about, only);
  if (refused !== undefined) throw new InputError(refused);
  return about;
}

function refusalOf(about: Stats, only: 'regular' | undefined): string | undefined {
  if (about.isFile()) return undefined;
  if (about.isDirectory()) return 'is a folder';
  if (about.isFIFO()) return only === 'regular' ? 'is a pipe: name it with -f to read it' : undefined;
  return about.isSocket() ? 'is a socket' : 'is a device';
}

/** Returns the text of a stream. Rejects with {@link InputError} after 64 MiB, and for bytes that are not UTF-8. */
export async function readTextStream(stream: AsyncIterable<unknown>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    const bytes = chunk as Buffer;
    size += bytes.length;
    if (size > MOST_BYTES) throw new InputError('is larger than 64 MiB');
    chunks.push(bytes);
  }
  return textOf(Buffer.concat(chunks, size));
}

/**
 * Decodes UTF-8 strictly and keeps a byte order mark, so that the text is the bytes. kubectl would read UTF-16 with a byte order
 * mark, too, and put U+FFFD for other bytes: a patched file would then differ from the one that was given in more than its patch.
 */
function textOf(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new InputError(notUtf8(bytes));
  }
}

function notUtf8(bytes: Buffer): string {
  const mark = bytes.length < 2 ? 0 : bytes.readUInt16BE(0);
  if (mark === 0xfe_ff || mark === 0xff_fe) return 'is UTF-16, not UTF-8: convert it (iconv -f UTF-16 -t UTF-8)';
  return `is not UTF-8 (byte ${firstInvalid(bytes) + 1})`;
}

/** Returns the place of the first byte that is not UTF-8: `toString` puts U+FFFD for it. */
function firstInvalid(bytes: Buffer): number {
  const again = Buffer.from(bytes.toString('utf8'));
  let at = 0;
  while (at < bytes.length && bytes[at] === again[at]) at += 1;
  return at;
}

/** Returns the names in a folder; undefined if `path` is no folder. */
export async function listFolder(path: string): Promise<readonly string[] | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isDirectory() ? await readdir(path) : undefined;
}
