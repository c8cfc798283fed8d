import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RegistryServer } from '../support/registry-server.ts';
import { totalSize, type BuiltImage } from '../support/image-builder.ts';
import type { CorpusImage } from './corpus-image.ts';
import type { Sources } from './sources.ts';
import { command } from './sources/command.ts';

/** The cost of a copy of the whole image. */
export interface FullCopy {
  readonly bytes: number;
  /** undefined if nothing was copied; `bytes` is then the sum of the image's blobs and manifests. */
  readonly milliseconds?: number;
  readonly by: 'skopeo' | 'sum';
}

/** Measures `skopeo copy` into an empty folder. Caches the result by digest, because the bytes are always the same. */
export async function fullCopy(
  registry: RegistryServer,
  entry: CorpusImage,
  image: BuiltImage,
  { cache }: Sources,
): Promise<FullCopy> {
  const { os = 'linux', architecture = 'amd64', variant = '' } = entry.platform ?? {};
  const sum: FullCopy = { bytes: totalSize(image), by: 'sum' };
  const key = `skopeo 1 ${image.digest} ${os}/${architecture}/${variant}`;
  const kept = await cache.keep(key, () => copy(registry, entry, [os, architecture, variant])).catch(() => undefined);
  return kept === undefined ? sum : (JSON.parse(kept.toString()) as FullCopy);
}

async function copy(
  registry: RegistryServer,
  { name }: CorpusImage,
  [os, architecture, variant]: readonly [string, string, string],
): Promise<Buffer> {
  const directory = await mkdtemp(join(tmpdir(), 'corpus-copy-'));
  const before = registry.bytesSent();
  const started = performance.now();
  try {
    const chosen = ['--override-os', os, '--override-arch', architecture];
    const from = `docker://${registry.host}/${name}:latest`;
    await command('skopeo', [
      ...chosen,
      ...(variant === '' ? [] : ['--override-variant', variant]),
      'copy',
      '--quiet',
      '--src-tls-verify=false',
      from,
      `dir:${directory}`,
    ]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const milliseconds = Math.round(performance.now() - started);
  const result: FullCopy = { bytes: registry.bytesSent() - before, milliseconds, by: 'skopeo' };
  return Buffer.from(JSON.stringify(result));
}
