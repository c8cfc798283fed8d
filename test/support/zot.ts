import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { freePort, launch, push, stop } from './debian-registry.ts';
import type { ImageContent } from './registry-server.ts';

/**
 * The program of zot (`go build -tags containers_image_openpgp ./cmd/zot` of github.com/project-zot/zot), which Debian does not have:
 * LIBC_DNS_TEST_ZOT names it; undefined if that is not set.
 */
export const zotBinary = process.env['LIBC_DNS_TEST_ZOT'] || undefined;
if (zotBinary === undefined) console.warn('NOT RUN: zot: LIBC_DNS_TEST_ZOT does not name its program');

interface ZotOptions {
  readonly images: Readonly<Record<string, ImageContent>>;
  /** Lines of an htpasswd file, hashed with bcrypt. Repositories below `private/` are alice's alone, others everybody's. */
  readonly htpasswd?: string;
}

/** Runs zot on loopback with its own directory; images are pushed before logins are required. */
export async function startZot({ images, htpasswd }: ZotOptions) {
  const directory = await mkdtemp(join(tmpdir(), 'zot-'));
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const run = async (http: object) => {
    const config = join(directory, 'config.json');
    const settings = {
      distSpecVersion: '1.0.1',
      storage: { rootDirectory: join(directory, 'data'), dedupe: false, gc: false },
      http: { address: '127.0.0.1', port: String(port), ...http },
      log: { level: 'error' },
    };
    await writeFile(config, JSON.stringify(settings));
    return await launch(zotBinary ?? 'zot', config, port);
  };
  const open = await run({});
  const pushed = new Map<string, string>();
  for (const [name, image] of Object.entries(images)) await push(host, name, image, pushed);
  await stop(open);
  const path = join(directory, 'htpasswd');
  await writeFile(path, htpasswd ?? '');
  const guard = {
    auth: { htpasswd: { path } },
    accessControl: {
      '**': { anonymousPolicy: ['read'] },
      'private/**': { policies: [{ users: ['alice'], actions: ['read'] }] },
    },
  };
  const guarded = await run(htpasswd === undefined ? {} : guard);
  const close = async (): Promise<void> => {
    await stop(guarded);
    await rm(directory, { recursive: true });
  };
  return { host, close };
}
