import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OCI_INDEX, rootManifest, type BuiltImage } from './image-builder.ts';

/** Writes images as an OCI image layout (image-spec image-layout.md), keyed by tag. */
export async function writeOciLayout(directory: string, images: Readonly<Record<string, BuiltImage>>): Promise<void> {
  await mkdir(join(directory, 'blobs/sha256'), { recursive: true });
  for (const built of Object.values(images)) {
    for (const [digest, bytes] of built.blobs) await writeBlob(directory, digest, bytes);
    for (const [digest, { bytes }] of built.manifests) await writeBlob(directory, digest, bytes);
  }
  const manifests = Object.entries(images).map(([tag, built]) => ({
    mediaType: built.mediaType,
    digest: built.digest,
    size: rootManifest(built).bytes.length,
    annotations: { 'org.opencontainers.image.ref.name': tag },
  }));
  await writeFile(join(directory, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  await writeFile(
    join(directory, 'index.json'),
    JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }, null, 2),
  );
}

async function writeBlob(directory: string, digest: string, bytes: Buffer): Promise<void> {
  await writeFile(join(directory, 'blobs', ...digest.split(':')), bytes);
}
