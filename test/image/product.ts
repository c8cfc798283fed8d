import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Buildah } from './buildah.ts';
import { standIn } from './stand-ins.ts';

/** What the Dockerfile is built from: used by the tests of the image, and by the e2e. */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const read = (name: string): string => readFileSync(join(ROOT, name), 'utf8');

/** What a builder is handed, as it is now: others may change the tree while two images are built. */
export function copyContext(folder: string): string {
  const context = join(folder, 'context');
  mkdirSync(context);
  const allowed = read('.dockerignore').matchAll(/^!(.+)$/gm);
  for (const [, path = ''] of [...allowed, ['', 'Dockerfile'], ['', '.dockerignore']]) {
    cpSync(join(ROOT, path), join(context, path), { recursive: true });
  }
  return context;
}

/** The images that the Dockerfile names, or what stands in for those that no registry gives us: build arguments. */
export async function findBases(buildah: Buildah, folder: string): Promise<Record<string, string>> {
  const named = [...read('Dockerfile').matchAll(/^ARG (\w+_IMAGE)=(\S+)$/gm)];
  const found: Record<string, string> = {};
  for (const [, name = '', image = ''] of named) {
    try {
      // By digest alone: some versions refuse a tag beside it.
      const pinned = image.replace(/:[^:@/]+@/, '@');
      await buildah(['pull', '--quiet', '--retry', '0', pinned], 300_000);
      found[name] = pinned;
      console.log(`image: ${name} is ${image}`);
    } catch (error) {
      const why = (error as Error).message.split('\n').at(-1)?.trim();
      found[name] = await standIn(buildah, name, folder);
      console.error(`\n!! ${name} IS NOT THE PINNED ONE: Node of this machine stands in for it. ${image}: ${why}\n`);
    }
  }
  return found;
}
