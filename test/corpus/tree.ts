import type { TarEntry } from '../support/tar-builder.ts';

/** Returns the entries of an executable and its parent folders, like a layer of `COPY program /path`. */
export function place(path: string, content: Uint8Array | string, mode = 0o755): TarEntry[] {
  return withFolders([{ path, content, mode }]);
}

export function link(path: string, target: string): TarEntry {
  return { path, type: 'symlink', target };
}

/** Adds each missing folder before the first entry inside it. */
export function withFolders(entries: readonly TarEntry[]): TarEntry[] {
  const seen = new Set(entries.filter(({ type }) => type === 'dir').map(({ path }) => path));
  return entries.flatMap((entry) => {
    const names = entry.path.split('/');
    const missing = names
      .slice(0, -1)
      .map((_, depth) => names.slice(0, depth + 1).join('/'))
      .filter((path) => !seen.has(path));
    for (const path of missing) seen.add(path);
    return [...missing.map((path): TarEntry => ({ path, type: 'dir' })), entry];
  });
}

/**
 * Sorts like `tar --sort=name`, which builds base images: a folder's content follows the folder, and `/` sorts before every
 * other character.
 */
export function sortedByName(entries: readonly TarEntry[]): TarEntry[] {
  return entries
    .map((entry) => ({ entry, key: Buffer.from(entry.path.replaceAll('/', '\u0000')) }))
    .toSorted((a, b) => Buffer.compare(a.key, b.key))
    .map(({ entry }) => entry);
}

/** Returns about `bytes` of text in many files under `folder`. It compresses like source code and is the same each time. */
export function filler(folder: string, bytes: number): TarEntry[] {
  const fileSize = 12_000;
  let state = 1;
  const word = (): string => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8).toString(36);
  };
  return Array.from({ length: Math.ceil(bytes / fileSize) }, (_, index) => {
    const words: string[] = [];
    for (let size = 0; size < fileSize; size += 10) words.push(`const ${word()}`);
    const path = `${folder}/package-${String(index % 97).padStart(2, '0')}/lib/module-${index}.js`;
    return { path, content: words.join(';\n').slice(0, fileSize), mode: 0o644 };
  });
}
