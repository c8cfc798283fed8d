import type { CorpusImage } from './corpus-image.ts';
import { artifacts } from './images/artifacts.ts';
import { distributions } from './images/distributions.ts';
import { entrypoints } from './images/entrypoints.ts';
import { layers } from './images/layers.ts';
import { linking } from './images/linking.ts';
import { platforms } from './images/platforms.ts';

/** The corpus: one image for each known trap of detection. */
export const corpusImages: readonly CorpusImage[] = [
  ...distributions,
  ...linking,
  ...entrypoints,
  ...layers,
  ...platforms,
  ...artifacts,
];
