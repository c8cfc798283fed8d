import type { CorpusImage } from '../corpus-image.ts';
import { casesOf } from './cases.ts';
import { applications } from './everyday/applications.ts';
import { dataApplications } from './everyday/data-applications.ts';
import { goPrograms, runtimes } from './everyday/runtimes.ts';
import { databases, web } from './everyday/servers.ts';
import { serversByScript } from './everyday/servers-by-script.ts';
import { startScripts } from './everyday/start-scripts.ts';
import { supervisedServices } from './everyday/supervised.ts';

/** The images that are pulled most, rebuilt in small: see `everyday/shape.ts`. */
export const everyday: readonly CorpusImage[] = [
  ...casesOf('everyday', [...databases, ...web, ...runtimes, ...goPrograms]),
  ...casesOf('entry script', [...startScripts, ...dataApplications, ...applications, ...serversByScript]),
  ...casesOf('supervisor', supervisedServices),
];
