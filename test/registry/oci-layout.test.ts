import { execFileSync } from 'node:child_process';
import { truncateSync } from 'node:fs';
import { mkdtemp, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, describe, expect, it } from 'vitest';

import { folderFiles, openOciLayout, parseLayoutReference } from '../../src/registry/oci-layout.ts';
import { image, index } from '../support/image-builder.ts';
import { layer } from '../support/layer-builder.ts';
import { writeOciLayout } from '../support/oci-layout.ts';
import { amd64, collect, lookupContext, sampleImage } from '../support/registry-harness.ts';

const directories: string[] = [];
afterEach(async () => {
  await Promise.all(directories.splice(0).map(async (path) => await rm(path, { recursive: true })));
});

async function layout(images: Parameters<typeof writeOciLayout>[1]): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'layout-'));
  directories.push(directory);
  await writeOciLayout(directory, images);
  return directory;
}

const blobFile = (directory: string, digest: string) => join(directory, 'blobs', ...digest.split(':'));
const built = sampleImage(200_000);

it.each([
  ['oci:/a/b', { directory: '/a/b' }],
  ['oci:/a/b:v1', { directory: '/a/b', tag: 'v1' }],
  ['oci:dir:1.0-rc', { directory: 'dir', tag: '1.0-rc' }],
  ['oci:./a:b/c', { directory: './a:b/c' }],
  ['nginx:1.29', undefined],
])('%s', (text, expected) => {
  expect(parseLayoutReference(text)).toEqual(expected);
});

it.each(['oci:', 'oci::tag', 'oci:dir:'])('%s names no image', (text) => {
  expect(() => parseLayoutReference(text)).toThrow(expect.objectContaining({ code: 'invalid-reference' }));
});

describe('a layout', () => {
  it('gives manifest, configuration and ranges of its one image', async () => {
    const directory = await layout({ v1: built });
    const source = openOciLayout(folderFiles(directory), undefined);
    const context = lookupContext();
    const manifest = await source.manifest(amd64, context);
    expect(manifest.digest).toBe(built.digest);
    expect(await source.config(manifest, context)).toMatchObject({ entrypoint: ['/bin/app'] });
    const blob = manifest.layers[0]!;
    const bytes = await collect(source.read(blob, 1000, 100_000, context));
    expect(bytes.equals(built.blobs.get(blob.digest)!.subarray(1000, 101_000))).toBe(true);
    expect(await collect(source.read(blob, 10_000_000, 10, context))).toHaveLength(0);
    expect(context.meter.requests).toBe(0);
    expect(context.meter.bytes).toBeGreaterThan(100_000);
  });

  it('of several images wants a tag, and says which there are', async () => {
    const other = sampleImage(10, { architecture: 'arm64' });
    const directory = await layout({ v1: built, v2: other });
    await expect(
      openOciLayout(folderFiles(directory), undefined).manifest(amd64, lookupContext()),
    ).rejects.toMatchObject({
      code: 'invalid-reference',
      message: expect.stringContaining('v1, v2'),
    });
    await expect(openOciLayout(folderFiles(directory), 'v3').manifest(amd64, lookupContext())).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('v1, v2'),
    });
    const found = await openOciLayout(folderFiles(directory), 'v2').manifest(amd64, lookupContext());
    expect(found.digest).toBe(other.digest);
  });

  it('chooses by platform in an index', async () => {
    const arm = image({ layers: [layer([{ path: 'a', content: 'x' }])], config: { architecture: 'arm64' } });
    const directory = await layout({ v1: index([arm, built], { attestation: 'first' }) });
    const source = openOciLayout(folderFiles(directory), 'v1');
    expect((await source.manifest(amd64, lookupContext())).digest).toBe(built.digest);
    await expect(source.manifest({ os: 'linux', architecture: 's390x' }, lookupContext())).rejects.toMatchObject({
      code: 'no-platform',
    });
  });

  it('that is none is not-found', async () => {
    await expect(
      openOciLayout(folderFiles('/nonexistent'), undefined).manifest(amd64, lookupContext()),
    ).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('expected an OCI image layout'),
    });
  });

  it('with a changed blob is an invalid answer', async () => {
    const directory = await layout({ v1: built });
    const file = blobFile(directory, built.digest);
    await writeFile(file, `${await readFile(file, 'utf8')} `);
    await expect(
      openOciLayout(folderFiles(directory), undefined).manifest(amd64, lookupContext()),
    ).rejects.toMatchObject({
      code: 'invalid-answer',
      message: expect.stringContaining('does not have that digest'),
    });
  });

  it('with a digest that is a path is an invalid answer', async () => {
    const directory = await layout({ v1: built });
    const file = join(directory, 'index.json');
    await writeFile(file, (await readFile(file, 'utf8')).replace(built.digest, 'sha256:../../../etc/passwd'));
    await expect(
      openOciLayout(folderFiles(directory), undefined).manifest(amd64, lookupContext()),
    ).rejects.toMatchObject({
      code: 'invalid-answer',
    });
    const blob = { mediaType: '', digest: '../../etc/passwd', size: 1 };
    const read = collect(openOciLayout(folderFiles(directory), undefined).read(blob, 0, 10, lookupContext()));
    await expect(read).rejects.toMatchObject({ code: 'invalid-answer' });
  });

  it('may have symbolic links inside, and none that leads out', async () => {
    const directory = await layout({ v1: built });
    const file = blobFile(directory, built.digest);
    await mkdir(join(directory, 'shared'));
    await rename(file, join(directory, 'shared/manifest'));
    await symlink('../../shared/manifest', file);
    await expect(
      openOciLayout(folderFiles(directory), undefined).manifest(amd64, lookupContext()),
    ).resolves.toBeDefined();
    await rm(file);
    const outside = await mkdtemp(join(tmpdir(), 'outside-'));
    directories.push(outside);
    await rename(join(directory, 'shared/manifest'), join(outside, 'manifest'));
    await symlink(join(outside, 'manifest'), file);
    await expect(
      openOciLayout(folderFiles(directory), undefined).manifest(amd64, lookupContext()),
    ).rejects.toMatchObject({
      code: 'invalid-answer',
      message: expect.stringContaining('leads out of the layout'),
    });
  });

  it('with a named pipe or a directory for a blob is an invalid answer, at once', async () => {
    for (const make of [(file: string) => execFileSync('mkfifo', [file]), async (file: string) => await mkdir(file)]) {
      const directory = await layout({ v1: built });
      const file = blobFile(directory, built.digest);
      await rm(file);
      await make(file);
      await expect(
        openOciLayout(folderFiles(directory), undefined).manifest(amd64, lookupContext()),
      ).rejects.toMatchObject({
        code: 'invalid-answer',
        message: expect.stringContaining('not a regular file'),
      });
    }
  });

  it('with an index.json of gigabytes is not read', async () => {
    const directory = await layout({ v1: built });
    truncateSync(join(directory, 'index.json'), 5 * 1024 ** 3);
    const context = lookupContext();
    await expect(openOciLayout(folderFiles(directory), undefined).manifest(amd64, context)).rejects.toMatchObject({
      code: 'invalid-answer',
    });
    expect(context.meter.bytes).toBe(0);
  });

  it('is left when the look-up ends', async () => {
    const directory = await layout({ v1: built });
    const reason = new Error('over');
    const lookup = openOciLayout(folderFiles(directory), undefined).manifest(
      amd64,
      lookupContext([], AbortSignal.abort(reason)),
    );
    await expect(lookup).rejects.toBe(reason);
  });
});
