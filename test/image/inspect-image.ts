import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What an image's configuration says of how it runs (OCI image-spec config.md). */
interface ImageConfig {
  readonly architecture: string;
  readonly created?: string;
  readonly config: {
    readonly User?: string;
    readonly Entrypoint?: readonly string[];
    readonly Cmd?: readonly string[];
    readonly WorkingDir?: string;
    readonly Labels?: Readonly<Record<string, string>>;
    readonly ExposedPorts?: Readonly<Record<string, object>>;
  };
}

interface Descriptor {
  readonly digest: string;
  readonly size: number;
}

export interface BuiltImage {
  /** Of the manifest. */
  readonly digest: string;
  readonly config: ImageConfig;
  /** Layers on top of the base image's: path of the file and bytes, compressed. */
  readonly own: readonly { readonly path: string; readonly size: number }[];
}

/** Reads an OCI layout of one image; `baseLayers` of its layers are the base image's. */
export function readLayout(folder: string, baseLayers: number): BuiltImage {
  const blob = (digest: string): string => join(folder, 'blobs', digest.replace(':', '/'));
  const json = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));
  const { manifests } = json(join(folder, 'index.json')) as { manifests: readonly Descriptor[] };
  const digest = manifests[0]?.digest ?? '';
  const manifest = json(blob(digest)) as { config: Descriptor; layers: readonly Descriptor[] };
  return {
    digest,
    config: json(blob(manifest.config.digest)) as ImageConfig,
    own: manifest.layers.slice(baseLayers).map((layer) => ({ path: blob(layer.digest), size: layer.size })),
  };
}

/** The entries of a layer as tar lists them: `-rwxr-xr-x 0/0 … app/main.js`, without sizes and times. */
export function entriesOf(layer: string): string[] {
  const listed = execFileSync('tar', ['--list', '--verbose', '--numeric-owner', '--file', layer], { encoding: 'utf8' });
  return listed
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(/\s+/))
    .map(([mode = '', owner = '', _size, _day, _time, ...path]) => `${mode} ${owner} ${path.join(' ')}`);
}

export function extract(layer: string, path: string, folder: string): string {
  execFileSync('tar', ['--extract', '--file', layer, '--directory', folder, '--strip-components', '1', path]);
  return join(folder, path.split('/').at(-1) ?? '');
}
