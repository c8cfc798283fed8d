import { describe, expect, it } from 'vitest';

import { imageFiles } from '../../../../src/inspection/command/image-files.ts';
import { type LayerIndex, layerIndex } from '../../../../src/inspection/overlay.ts';
import { elf, type Files, layerOf } from '../../../support/followed.ts';

/** A layer of which only the beginning was read. */
function begun(files: Files): LayerIndex {
  const layer = layerOf(files);
  layer.complete = false;
  return layer;
}

describe('paths that PATH names before, and that the rest of the same layer may hold', () => {
  const earlierOf = (layers: readonly LayerIndex[], ...paths: readonly string[]): readonly string[] | undefined => {
    const located = imageFiles(layers).locate(paths);
    return located.status === 'found' ? located.earlier : undefined;
  };
  const local = ['/usr/local/bin/tool', '/usr/bin/tool'] as const;
  const tool = { 'usr/bin/tool': elf };

  it.each<[name: string, layers: readonly LayerIndex[], paths: readonly string[], earlier: readonly string[]]>([
    ['usr/local of the base', [begun(tool)], local, ['usr/local/bin/tool']],
    ['all of the base is known', [layerOf(tool)], local, []],
    [
      'usr/local has no program that distributions link themselves',
      [begun({ 'usr/bin/python3': elf })],
      ['/usr/local/bin/python3', '/usr/bin/python3'],
      [],
    ],
    ['a layer above the base has one directory of programs', [layerOf({}), begun(tool)], local, []],
    [
      'a directory of the image',
      [layerOf({}), begun(tool)],
      ['/opt/app/bin/tool', '/usr/bin/tool'],
      ['opt/app/bin/tool'],
    ],
    ['the distribution has each name once', [begun(tool)], ['/usr/sbin/tool', '/usr/bin/tool'], []],
  ])('%s', (_name, layers, paths, earlier) => {
    expect(earlierOf(layers, ...paths)).toEqual(earlier);
  });

  it('those of other layers are doubts', () => {
    const located = imageFiles([layerOf(tool), layerIndex()]).locate([...local]);
    expect(located).toMatchObject({ status: 'found', layer: 0, doubts: [1], earlier: [] });
  });
});

describe('the services of a directory that are links to directories', () => {
  const services: Files = { 'etc/sv/web/run': 'x', 'etc/service/web': '->/etc/sv/web' };
  const link = { 'etc/service/web': '->/etc/sv/web' };

  it.each<[name: string, layers: readonly LayerIndex[], paths: readonly string[], complete: boolean]>([
    ['are listed by the name of the link', [layerOf(services)], ['/etc/service/web/run'], true],
    ['in another layer', [layerOf({ 'etc/sv/web/run': 'x' }), layerOf(link)], ['/etc/service/web/run'], true],
    ['that lead nowhere', [layerOf(link)], [], true],
  ])('%s', (_name, layers, paths, complete) => {
    expect(imageFiles(layers).list('/etc/service', '/run')).toEqual({ paths, complete });
  });

  it('that lead to what was not read are looked for', () => {
    const unread = layerIndex();
    const files = imageFiles([unread, layerOf(link)], [], {
      named: () => false,
      directory: () => false,
      file: (_, path) => path === 'etc/sv/web/run',
    });
    expect(files.list('/etc/service', '/run')).toEqual({ paths: [], complete: false });
    expect(files.wanted).toEqual([{ status: 'unseen', paths: ['etc/sv/web/run'], layers: [0] }]);
  });
});

describe('what a volume hides', () => {
  const files = { 'etc/app.d/a.conf': 'a', 'etc/other/b.conf': 'b' };
  it.each([
    ['nothing', [], ['/etc/app.d/a.conf'], true],
    ['the directory', ['/etc/app.d'], [], false],
    ['one above it', ['/etc'], [], false],
    ['a file in it', ['/etc/app.d/c.conf'], ['/etc/app.d/a.conf'], false],
    ['another directory', ['/etc/other'], ['/etc/app.d/a.conf'], true],
  ])('%s', (_name, mounts, paths, complete) => {
    expect(imageFiles([layerOf(files)], mounts).list('/etc/app.d', '.conf')).toEqual({ paths, complete });
  });
});
