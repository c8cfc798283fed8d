import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { helmChart, schema1Image, windowsImage } from '../../support/artifact-builder.ts';
import { sha256Digest } from '../../support/digest.ts';
import { image, index, rootManifest, totalSize } from '../../support/image-builder.ts';
import { layer, type Compression } from '../../support/layer-builder.ts';
import { writeOciLayout } from '../../support/oci-layout.ts';
import { tar, type TarEntry } from '../../support/tar-builder.ts';

const longPath = `opt/${'very-long-directory-name/'.repeat(8)}program`;
const entries: readonly TarEntry[] = [
  { path: 'bin', type: 'dir' },
  { path: 'bin/program', content: Buffer.alloc(70_000, 'abcdefg'), mode: 0o755 },
  { path: 'bin/empty', content: '' },
  { path: 'bin/link', type: 'symlink', target: 'program' },
  { path: 'bin/same', type: 'hardlink', target: 'bin/program' },
  { path: longPath, content: 'far away' },
  { path: 'bin/far', type: 'symlink', target: `/${longPath}` },
];

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'image-builder-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const hasSystemTar = ((): boolean => {
  try {
    return execFileSync('tar', ['--version']).length > 0;
  } catch {
    return false;
  }
})();
if (!hasSystemTar) console.warn('NOT RUN: there is no tar');

describe.skipIf(!hasSystemTar)('tar, read by the system tar', () => {
  it.each(['pax', 'gnu'] as const)('round-trips files, links and %s long names', (longNames) => {
    writeFileSync(join(directory, 'a.tar'), tar(entries, { longNames }));
    execFileSync('tar', ['-xf', 'a.tar'], { cwd: directory });
    expect(readFileSync(join(directory, 'bin/program'))).toEqual(Buffer.alloc(70_000, 'abcdefg'));
    expect(readFileSync(join(directory, longPath), 'utf8')).toBe('far away');
    expect(readlinkSync(join(directory, 'bin/link'))).toBe('program');
    expect(readlinkSync(join(directory, 'bin/far'))).toBe(`/${longPath}`);
    expect(statSync(join(directory, 'bin/same')).ino).toBe(statSync(join(directory, 'bin/program')).ino);
    expect(statSync(join(directory, 'bin/program')).mode & 0o777).toBe(0o755);
  });
});

const inflate: Readonly<Record<Compression, (bytes: Buffer) => Buffer>> = {
  gzip: gunzipSync,
  zstd: zstdDecompressSync,
  none: (bytes) => bytes,
  estargz: gunzipSync,
  'zstd:chunked': zstdDecompressSync,
};

describe('layer', () => {
  it.each(Object.keys(inflate) as Compression[])(
    '%s: inflates to what its diffId names, the same each time',
    (kind) => {
      const built = layer(entries, kind);
      expect(sha256Digest(inflate[kind](built.bytes))).toBe(built.diffId);
      expect(built.descriptor).toMatchObject({ digest: sha256Digest(built.bytes), size: built.bytes.length });
      expect(layer(entries, kind).descriptor).toEqual(built.descriptor);
    },
  );

  it('eStargz: the footer leads to the table of contents, which leads to each payload', () => {
    const { bytes, descriptor } = layer(entries, 'estargz');
    const footer = bytes.subarray(-51);
    expect(footer.subarray(38 - 6, 38).toString()).toBe('STARGZ');
    const tocArchive = gunzipSync(bytes.subarray(Number.parseInt(footer.subarray(16, 32).toString(), 16)));
    const size = Number.parseInt(tocArchive.subarray(124, 135).toString(), 8);
    const toc = tocArchive.subarray(512, 512 + size);
    expect(descriptor.annotations?.['containerd.io/snapshot/stargz/toc.digest']).toBe(sha256Digest(toc));
    const listed = (JSON.parse(toc.toString()) as { entries: { name: string; offset: number; size: number }[] })
      .entries;
    const program = listed.find(({ name }) => name === 'bin/program');
    expect(gunzipSync(bytes.subarray(program?.offset)).subarray(0, program?.size)).toEqual(entries[1]?.content);
    expect(listed.map(({ name }) => name)).toEqual([
      '.no.prefetch.landmark',
      'bin/',
      ...entries.slice(1).map((e) => e.path),
    ]);
  });

  it('zstd:chunked: the annotation leads to the manifest, which leads to each chunk; the footer repeats it', () => {
    const holed = Buffer.concat([Buffer.from('head'), Buffer.alloc(4096), Buffer.alloc(150_000, 'x')]);
    const { bytes, descriptor } = layer([{ path: 'holed', content: holed }, ...entries], 'zstd:chunked');
    const place = descriptor.annotations?.['io.github.containers.zstd-chunked.manifest-position'] ?? '';
    const [offset = 0, length = 0, plainLength = 0] = place.split(':').map(Number);
    const compressed = bytes.subarray(offset, offset + length);
    expect(descriptor.annotations?.['io.github.containers.zstd-chunked.manifest-checksum']).toBe(
      sha256Digest(compressed),
    );
    const manifest = zstdDecompressSync(compressed);
    expect(manifest.length).toBe(plainLength);
    type Entry = { name: string; type: string; offset: number; endOffset?: number; chunkSize?: number };
    const listed = (JSON.parse(manifest.toString()) as { entries: Entry[] }).entries;
    const [first, ...others] = listed.filter(({ name }) => name === 'holed');
    expect(zstdDecompressSync(bytes.subarray(first?.offset, first?.endOffset))).toEqual(holed);
    expect([first, ...others].map((entry) => entry?.chunkSize)).toEqual([4, 4096, 65_536, 65_536, 18_928]);
    expect(bytes.subarray(-8).toString()).toBe('GNUlInUx');
    expect(bytes.readBigUInt64LE(bytes.length - 64)).toBe(BigInt(offset));
  });
});

describe('image', () => {
  it('holds a config and layers that the manifest names, under OCI or Docker media types', () => {
    const oci = image({ layers: [layer(entries), layer(entries, 'none')], config: { entrypoint: ['/bin/program'] } });
    const docker = image({ layers: [layer(entries), layer(entries, 'none')], mediaTypes: 'docker' });
    const layersOf = (built: typeof oci): { mediaType: string; digest: string }[] =>
      (JSON.parse(rootManifest(built).bytes.toString()) as { layers: { mediaType: string; digest: string }[] }).layers;
    expect(layersOf(oci).every(({ digest }) => oci.blobs.has(digest))).toBe(true);
    expect(layersOf(oci).map(({ mediaType }) => mediaType)).toEqual([
      'application/vnd.oci.image.layer.v1.tar+gzip',
      'application/vnd.oci.image.layer.v1.tar',
    ]);
    expect(layersOf(docker).map(({ mediaType }) => mediaType)).toEqual([
      'application/vnd.docker.image.rootfs.diff.tar.gzip',
      'application/vnd.docker.image.rootfs.diff.tar',
    ]);
    expect(totalSize(oci)).toBeGreaterThan(70_000);
  });

  it('stands in an index behind an attestation', () => {
    const built = index([image({ layers: [layer(entries)] }), windowsImage()], { attestation: 'first' });
    const { manifests } = JSON.parse(rootManifest(built).bytes.toString()) as {
      manifests: { digest: string; platform: { os: string } }[];
    };
    expect(manifests.map(({ platform }) => platform.os)).toEqual(['unknown', 'linux', 'windows']);
    expect(manifests.every(({ digest }) => built.manifests.has(digest))).toBe(true);
  });

  it('may be an artifact that is no image', () => {
    expect(rootManifest(helmChart('nginx')).bytes.toString()).toContain('application/vnd.cncf.helm.config.v1+json');
    expect(JSON.parse(rootManifest(schema1Image([layer(entries)])).bytes.toString())).toMatchObject({
      schemaVersion: 1,
    });
  });

  it('is written as an OCI layout', async () => {
    const built = image({ layers: [layer(entries)] });
    await writeOciLayout(directory, { latest: built });
    const blob = readFileSync(join(directory, 'blobs', built.digest.replace(':', '/')));
    expect(blob).toEqual(rootManifest(built).bytes);
    expect(readFileSync(join(directory, 'index.json'), 'utf8')).toContain(
      '"org.opencontainers.image.ref.name": "latest"',
    );
  });
});
