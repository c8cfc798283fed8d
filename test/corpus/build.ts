import type { BuiltImage } from '../support/image-builder.ts';
import type { CorpusImage } from './corpus-image.ts';
import type { Sources } from './sources.ts';
import { MissingSource } from './sources/cache.ts';

export interface Corpus {
  readonly built: readonly { readonly entry: CorpusImage; readonly image: BuiltImage }[];
  /** Images that this machine cannot build, with the reason. */
  readonly skipped: readonly { readonly entry: CorpusImage; readonly reason: string }[];
}

/** Builds all images that can be built here. Rejects on any failure but a missing source: it is a defect of the corpus. */
export async function buildCorpus(
  entries: readonly CorpusImage[],
  sources: Sources,
  progress: (name: string) => void = () => {},
): Promise<Corpus> {
  const built: Corpus['built'][number][] = [];
  const skipped: Corpus['skipped'][number][] = [];
  for (const entry of entries) {
    progress(entry.name);
    try {
      built.push({ entry, image: await entry.build(sources) });
    } catch (error) {
      if (!(error instanceof MissingSource)) throw error;
      skipped.push({ entry, reason: error.message });
    }
  }
  return { built, skipped };
}
