import { expect, it } from 'vitest';
import { debianTree } from '../../corpus/bases.ts';

it.each([true, false])("a tree of Debian's packages has each path once (merged: %s)", (merged) => {
  const entries = debianTree(
    [
      { path: 'bin', type: 'dir' },
      { path: 'bin/dash', content: 'dash' },
      { path: 'bin/sh', type: 'symlink', target: 'dash' },
      { path: 'usr/bin', type: 'dir' },
      { path: 'usr/bin/env', content: 'env' },
      { path: 'usr/share/doc/dash/copyright', content: '' },
    ],
    merged,
  );
  const paths = entries.map(({ path }) => path);
  expect(paths).toEqual([...new Set(paths)]);
  expect(paths).toContain(merged ? 'usr/bin/sh' : 'bin/sh');
  expect(paths.some((path) => path.includes('share/doc'))).toBe(false);
});
