import { resolve } from 'node:path';

import {
  type ImageSource,
  ImageSourceError,
  type ImageSources,
  type LookupContext,
} from '../detection/image-source.ts';
import { folderFiles, type LayoutFiles, openOciLayout, parseLayoutReference } from '../registry/oci-layout.ts';
import { type Archive, openArchive } from './archive.ts';
import { openDockerArchive } from './docker-archive.ts';

const TRANSPORT = /^(oci-archive|docker-archive):([^:]*)(?::(.*))?$/s;

/** Reports whether a reference names an image on this disk: `oci:DIR`, `oci-archive:FILE`, `docker-archive:FILE`. */
export const isLocal = (reference: string): boolean => reference.startsWith('oci:') || TRANSPORT.test(reference);

/** Local images, and the archives that hold them, which stay open until `close`. */
export interface LocalImages extends ImageSources {
  close(): Promise<void>;
}

/**
 * Adds images on this disk to a client, by the names that skopeo has for them (containers-transports(5)): `oci:DIR[:TAG]`,
 * `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:IMAGE]`, and `:@N` for the image at that place.
 */
export function withLocalImages(client: ImageSources): LocalImages {
  const archives = new Map<string, Promise<Archive>>();
  const openOnce = (path: string, context: LookupContext): Promise<Archive> => {
    const known = archives.get(path);
    if (known !== undefined) return known;
    const opening = openArchive(path, context);
    archives.set(path, opening);
    // The next look-up tries again: this one may have been given up.
    void opening.catch(() => archives.delete(path));
    return opening;
  };
  return {
    open: (text) => openLocal(text, openOnce) ?? client.open(text),
    canonical: (text) => canonicalLocal(text) ?? client.canonical(text),
    close: async () => {
      const opened = await Promise.allSettled(archives.values());
      for (const one of opened) if (one.status === 'fulfilled') await one.value.close();
    },
  };
}

type OpenOnce = (path: string, context: LookupContext) => Promise<Archive>;

function openLocal(text: string, openOnce: OpenOnce): ImageSource | undefined {
  const layout = parseLayoutReference(text);
  if (layout !== undefined) return openOciLayout(folderFiles(layout.directory), layout.tag);
  const archive = parseArchiveReference(text);
  if (archive === undefined) return undefined;
  const { transport, path, which } = archive;
  if (transport === 'docker-archive') return openDockerArchive((context) => openOnce(path, context), which);
  return openOciLayout(archiveFiles(path, openOnce), which);
}

/** Returns the canonical name of a local image; undefined for other references. */
function canonicalLocal(text: string): string | undefined {
  const layout = parseLayoutReference(text);
  if (layout !== undefined) return `oci:${resolve(layout.directory)}:${layout.tag ?? ''}`;
  const archive = parseArchiveReference(text);
  return archive && `${archive.transport}:${resolve(archive.path)}:${archive.which ?? ''}`;
}

interface ArchiveReference {
  readonly transport: string;
  readonly path: string;
  /** A tag, or `@` and a place; undefined for the only image. */
  readonly which: string | undefined;
}

/** The path ends at the first colon, as for skopeo. Throws `ImageSourceError` `invalid-reference` if it names no file. */
function parseArchiveReference(text: string): ArchiveReference | undefined {
  const match = TRANSPORT.exec(text);
  if (match === null) return undefined;
  const [, transport = '', path = '', which] = match;
  if (path === '' || which === '') {
    throw new ImageSourceError(
      'invalid-reference',
      `${JSON.stringify(text)} names no image: expected ${transport}:FILE[:IMAGE]`,
    );
  }
  return { transport, path, which };
}

function archiveFiles(path: string, openOnce: OpenOnce): LayoutFiles {
  return {
    name: `oci-archive:${path}`,
    async open(names, context) {
      const archive = await openOnce(path, context);
      const span = archive.find(names.join('/'));
      return {
        size: span.length,
        chunks: (range, reading) => archive.chunks(span, range, reading),
        [Symbol.asyncDispose]: async () => {},
      };
    },
  };
}
