import type { Config } from '../config/schema.ts';
import type { Detector } from '../detection/detector.ts';
import type { Io } from './io.ts';

export interface OpenDetector {
  /** Absent where look-ups are off. */
  readonly detector?: Detector;
  readonly stats?: () => { readonly underWay: number; readonly queued: number; readonly verdicts: number };
  readonly close: () => Promise<void>;
}

/** What commands that look into images are handed. */
export interface DetectingCommand {
  readonly io: Io;
  /** `images`: those a person names; without, the images are chosen by others. Rejects with `CommandError`. */
  readonly openDetector: (config: Config, options: { readonly images?: readonly string[] }) => Promise<OpenDetector>;
}
