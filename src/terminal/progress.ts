import type { Detector, DetectRequest } from '../detection/detector.ts';
import type { Clock } from '../util/clock.ts';
import type { Io } from './io.ts';

/** A progress line on standard error. */
export interface Progress {
  readonly step: (what: string) => void;
  readonly images: (done: number, all: number, image: string) => void;
  /** Erases the line. */
  readonly done: () => void;
}

const BAR_WIDTH = 24;

/** Milliseconds between updates of the line: terminals are slow. */
const UPDATE_MS = 100;

const bar = (done: number, all: number): string => {
  const full = all === 0 ? BAR_WIDTH : Math.floor((done / all) * BAR_WIDTH);
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_WIDTH - full)}]`;
};

const quiet = (): void => {};

/** Returns a progress line that writes nothing if standard error is not a terminal. */
export function openProgress(io: Io, clock: Pick<Clock, 'monotonic'>): Progress {
  if (!io.stderrIsTerminal) return { step: quiet, images: quiet, done: quiet };
  let written = -UPDATE_MS;
  const line = (text: string, always: boolean): void => {
    const now = clock.monotonic();
    if (!always && now - written < UPDATE_MS) return;
    written = now;
    io.progress(text);
  };
  return {
    step: (what) => line(`reading ${what} ...`, false),
    images: (done, all, image) => {
      line(`${bar(done, all)} ${done}/${all} images  ${image}`, done === all);
    },
    done: () => io.progress(''),
  };
}

/** Returns the detector, with its look-ups shown. `expected`: how many there will be, if that is known before they begin. */
export function shownLookUps(detector: Detector, progress: Progress, expected = 0): Detector {
  let [begun, done] = [0, 0];
  const show = ({ reference }: DetectRequest): void => progress.images(done, Math.max(begun, expected), reference);
  return {
    ...(detector.peek && { peek: (request) => detector.peek?.(request) }),
    async detect(request, deadline) {
      begun += 1;
      show(request);
      try {
        return await detector.detect(request, deadline);
      } finally {
        done += 1;
        show(request);
      }
    },
  };
}
