import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { code, page, rows } from './pages.ts';

const src = fileURLToPath(new URL('../../../src/', import.meta.url));
const text = page('docs/architecture.md');

describe('docs/architecture.md', () => {
  it('has a line for each folder of the source', () => {
    const folders = readdirSync(src, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ parentPath, name }) => `${join(parentPath, name).slice(src.length)}/`);
    const listed = rows(text).flatMap(([, folder]) => {
      const name = code(folder);
      return name?.endsWith('/') === true ? [name] : [];
    });
    expect(listed.toSorted()).toEqual(folders.toSorted());
  });

  it('names files that are there', () => {
    const named = [...text.matchAll(/`(?:src\/)?([a-z-]+(?:\/[a-z-]+)+\.ts)`/g)].map(([, path = '']) => path);
    const missing = named.filter(
      (path) =>
        !['', 'inspection/', 'registry/'].some((folder) => existsSync(join(src, folder, path))) &&
        !existsSync(join(src, '..', path)),
    );
    expect(named.length).toBeGreaterThan(20);
    expect(missing).toEqual([]);
  });
});
