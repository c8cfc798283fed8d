import type { CorpusImage } from './corpus-image.ts';
import { artifacts } from './images/artifacts.ts';
import { commands } from './images/commands.ts';
import { distributions } from './images/distributions.ts';
import { entrypoints } from './images/entrypoints.ts';
import { everyday } from './images/everyday.ts';
import { files } from './images/files.ts';
import { handingOver } from './images/handing-over.ts';
import { layers } from './images/layers.ts';
import { linking } from './images/linking.ts';
import { platforms } from './images/platforms.ts';
import { scripts } from './images/scripts.ts';
import { startPrograms } from './images/start-programs.ts';
import { surroundings } from './images/surroundings.ts';

/** The corpus: one image for each known trap of detection. */
export const corpusImages: readonly CorpusImage[] = [
  ...everyday,
  ...distributions,
  ...linking,
  ...entrypoints,
  ...commands,
  ...scripts,
  ...surroundings,
  ...handingOver,
  ...startPrograms,
  ...layers,
  ...files,
  ...platforms,
  ...artifacts,
];
