import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { image, index, type BuiltImage } from '../support/image-builder.ts';
import { layer } from '../support/layer-builder.ts';

/** Detection reads the first kilobytes; a whole Node (150 MB) would only cost time here. */
const MOST_BYTES = 16 * 1024 * 1024;

/** Real executables that `npm ci` has put into node_modules. */
const PROGRAMS = {
  glibc: 'node/bin/node',
  musl: 'sass-embedded-linux-musl-x64/dart-sass/src/dart',
  'static Go': '@esbuild/linux-x64/bin/esbuild',
  'static musl': '@vscode/ripgrep-linux-x64/bin/rg',
} as const;

function program(name: keyof typeof PROGRAMS): Buffer {
  const path = fileURLToPath(new URL(`../../node_modules/${PROGRAMS[name]}`, import.meta.url));
  if (!existsSync(path)) {
    throw new Error(
      `${PROGRAMS[name]} is not in node_modules: run npm ci on linux/x64 without --omit=optional, for the demo's images are made of it`,
    );
  }
  const file = openSync(path, 'r');
  const bytes = Buffer.alloc(MOST_BYTES);
  const length = readSync(file, bytes, 0, MOST_BYTES, 0);
  closeSync(file);
  return bytes.subarray(0, length);
}

function oneLayer(
  name: keyof typeof PROGRAMS,
  path: string,
  entrypoint: readonly string[],
  architecture = 'amd64',
): BuiltImage {
  const content = layer([{ path, content: program(name), mode: 0o755 }], 'gzip');
  return image({ layers: [content], config: { os: 'linux', architecture, entrypoint: [...entrypoint] } });
}

export interface DemoImage {
  readonly name: string;
  readonly about: string;
  readonly image: BuiltImage;
}

/** The images of the demo's registry. Nothing in their names, labels or files says which libc they have. */
export function demoImages(): DemoImage[] {
  return [
    { name: 'shop/web', about: 'a glibc program', image: oneLayer('glibc', 'app/server', ['/app/server']) },
    { name: 'shop/search', about: 'a musl program', image: oneLayer('musl', 'usr/bin/search', ['/usr/bin/search']) },
    { name: 'shop/gateway', about: 'a static Go program', image: oneLayer('static Go', 'gateway', ['/gateway']) },
    { name: 'shop/grep', about: 'a static musl program', image: oneLayer('static musl', 'rg', ['/rg']) },
    {
      name: 'shop/wrapped',
      about: 'a musl program behind tini and env',
      image: oneLayer('musl', 'opt/app', ['/sbin/tini', '--', 'env', 'MODE=fast', '/opt/app']),
    },
    {
      name: 'shop/both',
      about: 'glibc on amd64, musl on arm64',
      image: index(
        [oneLayer('glibc', 'app/run', ['/app/run'], 'amd64'), oneLayer('musl', 'app/run', ['/app/run'], 'arm64')],
        { attestation: 'first' },
      ),
    },
  ];
}
