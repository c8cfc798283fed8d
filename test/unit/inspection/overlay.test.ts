import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  isInOrder,
  layerIndex,
  type LayerIndex,
  type LayerNode,
  normalizePath,
  resolvePath,
  shownName,
} from '../../../src/inspection/overlay.ts';

const file: LayerNode = { type: 'file', content: { kind: 'plain' }, executable: true };
const directory: LayerNode = { type: 'directory' };

/** A layer of files, `a -> b` links, `a => b` hard links and `a/` directories; read to its end unless it has an ellipsis. */
function layerOf(...lines: readonly string[]): LayerIndex {
  const index = layerIndex();
  for (const line of lines) {
    const [name = '', arrow, target = ''] = line.split(' ');
    if (name === '…') continue;
    if (arrow === '->') index.add(name, { type: 'symlink', target });
    else if (arrow === '=>') index.add(name, { type: 'hard-link', target });
    else index.add(name, name.endsWith('/') ? directory : file);
  }
  index.complete = !lines.includes('…');
  return index;
}

describe('layers are put together as a runtime does', () => {
  const found = (path: string, layer: number) => ({ status: 'found', path, layer });
  const rows: readonly [string, readonly (readonly string[])[], string, object][] = [
    ['the newest wins', [['bin/x'], ['bin/x']], '/bin/x', found('bin/x', 1)],
    ['a whiteout removes', [['bin/x'], ['bin/.wh.x']], '/bin/x', { status: 'absent' }],
    ['a whiteout of its directory removes', [['opt/a/x'], ['.wh.opt']], '/opt/a/x', { status: 'absent' }],
    ['a whiteout removes from older layers only', [['bin/.wh.x'], ['bin/x']], '/bin/x', found('bin/x', 1)],
    ['a whiteout in the same layer spares the new', [['a/x'], ['.wh.a', 'a/', 'a/y']], '/a/y', found('a/y', 1)],
    ['opaque directories hide', [['opt/x'], ['opt/', 'opt/.wh..wh..opq', 'opt/y']], '/opt/x', { status: 'absent' }],
    ['opaque directories hide deeply', [['opt/a/x'], ['opt/.wh..wh..opq', 'opt/a/']], '/opt/a/x', { status: 'absent' }],
    ['opaque directories keep their own', [['o/x'], ['o/.wh..wh..opq', 'o/x']], '/o/x', found('o/x', 1)],
    ['relative links', [['usr/bin/x', 'usr/sbin/y -> ../bin/x']], '/usr/sbin/y', found('usr/bin/x', 0)],
    ['absolute links', [['x', 'a/y -> /x']], '/a/y', found('x', 0)],
    ['merged /usr', [['bin -> usr/bin', 'usr/bin/x']], '/bin/x', found('usr/bin/x', 0)],
    ['merged /usr across layers', [['bin -> usr/bin'], ['usr/bin/x']], '/bin/x', found('usr/bin/x', 1)],
    ['chains across layers', [['c'], ['b -> c'], ['a -> b']], '/a', found('c', 0)],
    ['links that climb above the root', [['x', 'a -> ../../../x']], '/a', found('x', 0)],
    ['paths that climb', [['x']], '/a/../../x', found('x', 0)],
    ['.. is the parent of where a link led', [['a/b/', 'a/x', 'l -> a/b', 'x']], '/l/../x', found('a/x', 0)],
    ['.. inside a link', [['a/b/', 'a/x', 'l -> a/b', 'k -> l/../x', 'x']], '/k', found('a/x', 0)],
    ['a file in the place of a directory', [['a/x'], ['a'], ['.wh.a', 'a/']], '/a/x', { status: 'absent' }],
    ['a link in the place of a directory', [['a/x'], ['a -> b'], ['a/']], '/a/x', { status: 'absent' }],
    ['a directory deleted and made anew', [['a/x'], ['.wh.a'], ['a/', 'a/y']], '/a/x', { status: 'absent' }],
    ['the last of two entries of one path', [['x -> a', 'x', 'a']], '/x', found('x', 0)],
    ['a link to itself', [['a -> a']], '/a', { status: 'absent' }],
    ['a cycle', [['a -> b', 'b -> c/d', 'c -> a']], '/a', { status: 'absent' }],
    ['a link to the root', [['a -> /', 'x']], '/a/x', found('x', 0)],
    ['hard links', [['a/x', 'b/y => a/x']], '/b/y', { ...found('b/y', 0), origin: 'a/x' }],
    ['a hard link to a hard link', [['x', 'y => x', 'z => y']], '/z', { ...found('z', 0), origin: 'x' }],
    ['a hard link to an older layer', [['x'], ['y => x']], '/y', { ...found('y', 0), origin: 'x' }],
    ['a hard link whose target is replaced', [['x', 'y => x'], ['x']], '/y', { ...found('y', 0), origin: 'x' }],
    ['a hard link whose target is deleted', [['x', 'y => x'], ['.wh.x']], '/y', { ...found('y', 0), origin: 'x' }],
    ['a hard link before a second entry', [['x', 'y => x', 'x']], '/y', { ...found('y', 0), origin: 'y' }],
    ['the second entry', [['x', 'y => x', 'x -> z', 'z']], '/x', found('z', 0)],
    ['two hard links before it', [['x', 'y => x', 'z => x', 'x']], '/z', { ...found('z', 0), origin: 'y' }],
    ['a hard link that was replaced before', [['x', 'y => x', 'y', 'x']], '/y', { ...found('y', 0), origin: 'y' }],
    [
      'a link to a link, and all replaced',
      [['x', 'y => x', 'z => y', 'y', 'x']],
      '/z',
      { ...found('z', 0), origin: 'z' },
    ],
    ['a hard link itself deleted', [['x', 'y => x'], ['.wh.y']], '/y', { status: 'absent' }],
    ['a hard link replaced', [['x', 'y => x'], ['y']], '/y', { ...found('y', 1), origin: 'y' }],
    ['a hard link to a file behind a link', [['d/x', 'e -> d', 'y => e/x']], '/y', { ...found('y', 0), origin: 'd/x' }],
    ['a hard link to nothing', [['y => x'], ['x']], '/y', { status: 'absent' }],
    ['names with dots', [['./bin/./x']], '/bin/x', found('bin/x', 0)],
    ['a directory', [['bin/']], '/bin', found('bin', 0)],
    ['not there', [['x']], '/y', { status: 'absent' }],
  ];
  it.each(rows)('%s', (_name, layers, path, expected) => {
    expect(
      resolvePath(
        layers.map((lines) => layerOf(...lines)),
        path,
      ),
    ).toMatchObject(expected);
  });
});

describe('what was not seen is not absent', () => {
  it('names the layers that may have it, newest first', () => {
    const layers = [layerOf('…'), layerOf('x'), layerOf('…')];
    expect(resolvePath(layers, '/y')).toEqual({ status: 'unseen', path: 'y', layers: [2, 0] });
  });

  it('names the newer layers that may have another', () => {
    const layers = [layerOf('x'), layerOf('…'), layerOf('…')];
    expect(resolvePath(layers, '/x')).toMatchObject({ status: 'found', layer: 0, doubts: [2, 1] });
  });

  it('a hard link is doubted by layers above it, and by layers between it and its target', () => {
    const layers = [layerOf('x'), layerOf('…'), layerOf('y => x'), layerOf('…')];
    expect(resolvePath(layers, '/y')).toMatchObject({ status: 'found', layer: 0, doubts: [3, 1] });
    expect(resolvePath([layerOf('…'), layerOf('y => x')], '/y')).toEqual({ status: 'unseen', path: 'x', layers: [0] });
  });

  it('does not look below a layer that hides it', () => {
    expect(resolvePath([layerOf('…'), layerOf('.wh.x')], '/x')).toMatchObject({ status: 'absent' });
    expect(resolvePath([layerOf('…'), layerOf('.wh.x'), layerOf('…')], '/x')).toMatchObject({ layers: [2] });
  });

  it('follows a link to where it cannot be seen', () => {
    const layers = [layerOf('…'), layerOf('bin -> usr/bin')];
    expect(resolvePath(layers, '/bin/x')).toEqual({ status: 'unseen', path: 'usr/bin/x', layers: [0] });
  });

  it('.. behind a name that a layer not seen may make a link', () => {
    expect(resolvePath([layerOf('…'), layerOf('a/x')], '/a/l/../x')).toEqual({
      status: 'unseen',
      path: 'a/l',
      layers: [0],
    });
    expect(resolvePath([layerOf('…'), layerOf('a/l/', 'a/x')], '/a/l/../x')).toMatchObject({ path: 'a/x', layer: 1 });
    expect(resolvePath([layerOf('…'), layerOf('a/y -> ../x', 'x')], '/a/y')).toMatchObject({ path: 'x', layer: 1 });
  });

  it('knows that a layer in order has nothing more before where it was read to', () => {
    const names = Array.from({ length: 30 }, (_, index) => `m${String(index).padStart(2, '0')}`);
    const ordered = layerOf(...names, '…');
    expect(ordered.isKnown('a')).toBe(true);
    expect(ordered.isKnown('m11/x')).toBe(true);
    expect(ordered.isKnown('z')).toBe(false);
    expect(ordered.isKnown('m29/x')).toBe(false);
    expect(layerOf(...names.toReversed(), '…').isKnown('a')).toBe(false);
    expect(layerOf('b', 'c', '…').isKnown('a')).toBe(false);
  });
});

describe('paths', () => {
  it.each([
    ['usr/bin', 'usr/bin/x', true],
    ['usr/bin/x', 'usr/bin', false],
    ['usr/bin/z', 'usr/bin.d', true],
    ['usr/bin.d', 'usr/bin/z', false],
    ['a', 'b', true],
    ['a', 'a', true],
  ])('%s before %s: %s', (one, other, expected) => {
    expect(isInOrder(one, other)).toBe(expected);
  });

  it('never leave the root', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('..', '.', '', 'a', 'b'), { maxLength: 200 }), (parts) => {
        const normal = normalizePath(parts.join('/'));
        expect(normal.split('/')).not.toContain('..');
        expect(normal.startsWith('/')).toBe(false);
      }),
    );
  });

  it('are shown without control and direction characters, and cut', () => {
    expect(shownName('/bin/\u001B[31mx\u202Etxt\n')).toBe('/bin/\\u{1b}[31mx\\u{202e}txt\\u{a}');
    expect(shownName('x'.repeat(1000)).length).toBe(201);
  });

  it('any set of links resolves, or does not, in bounded time', () => {
    const name = fc.constantFrom('a', 'b', 'c', 'a/b', 'b/c', 'c/a/b');
    const target = fc.constantFrom('a', '/b', '../c', 'a/../b', '/', '.', 'b/c/a', '/a/b/c', 'x/'.repeat(200));
    const link = fc.tuple(name, target, fc.boolean());
    fc.assert(
      fc.property(fc.array(fc.array(link, { maxLength: 6 }), { maxLength: 4 }), name, (layers, path) => {
        const built = layers.map((links) =>
          layerOf(...links.map(([from, to, hard]) => `${from} ${hard ? '=>' : '->'} ${to}`)),
        );
        expect(['found', 'absent', 'unseen']).toContain(resolvePath(built, path).status);
      }),
      { numRuns: 1000 },
    );
  });
});
