import type { CorpusImage } from '../corpus-image.ts';
import { casesOf } from './cases.ts';
import { goPrograms, runtimes } from './everyday/runtimes.ts';
import { databases, web } from './everyday/servers.ts';

/** The images that are pulled most, rebuilt in small: see `everyday/shape.ts`. */
export const everyday: readonly CorpusImage[] = casesOf('everyday', [...databases, ...web, ...runtimes, ...goPrograms]);
