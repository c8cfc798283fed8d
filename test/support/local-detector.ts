import type { Inspect } from '../../src/detection/detector.ts';
import {
  createImageDetector,
  type ImageDetector,
  type ImageDetectorOptions,
} from '../../src/detection/image-detector.ts';
import type { ImageSources } from '../../src/detection/image-source.ts';
import { createImageReader } from '../../src/detection/reader/image-reader.ts';
import type { VerdictStore } from '../../src/detection/verdict-store.ts';

export interface LocalDetectorOptions extends Omit<ImageDetectorOptions, 'reader'> {
  readonly sources: ImageSources;
  readonly inspect: Inspect;
  readonly inspectMore?: Inspect;
}

/** A detector that reads images in this process, as on the command line. */
export function localDetector({ sources, inspect, inspectMore, ...options }: LocalDetectorOptions): ImageDetector {
  const reader = createImageReader({ ...options, sources, inspect, ...(inspectMore && { inspectMore }) });
  return createImageDetector({ ...options, reader });
}

/** For stores in tests that are not about images in quarantine. */
export const noQuarantine: Pick<VerdictStore, 'quarantined' | 'quarantine' | 'release'> = {
  quarantined: () => undefined,
  quarantine: () => {},
  release: () => {},
};
