import { describe, expect, it } from 'vitest';
import { filler, link, place, sortedByName, withFolders } from '../../corpus/tree.ts';

describe('tree', () => {
  it('places a program with the folders above it, each once', () => {
    const entries = withFolders([...place('usr/bin/a', 'x'), link('usr/bin/b', 'a'), link('usr/lib/c', 'd')]);
    expect(entries.map(({ path }) => path)).toEqual([
      'usr',
      'usr/bin',
      'usr/bin/a',
      'usr/bin/b',
      'usr/lib',
      'usr/lib/c',
    ]);
  });

  it("sorts by name as base images are: a folder's content follows it at once", () => {
    const paths = ['usr/bin-x', 'usr/bin/b', 'usr', 'etc/z', 'usr/bin', 'bin', 'usr/bin/[', 'etc'];
    const sorted = sortedByName(paths.map((path) => ({ path }))).map(({ path }) => path);
    expect(sorted.join(' ')).toBe('bin etc etc/z usr usr/bin usr/bin/[ usr/bin/b usr/bin-x');
  });

  it('fills a folder with the same bytes each time', () => {
    const [entries, again] = [filler('app', 100_000), filler('app', 100_000)];
    expect(entries).toEqual(again);
    expect(entries.reduce((sum, { content }) => sum + (content ?? '').length, 0)).toBeGreaterThanOrEqual(100_000);
  });
});
