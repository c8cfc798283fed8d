import type { Io } from '../terminal/io.ts';
import { printable } from '../util/text.ts';

/** One line on standard error that says how far things are. */
export interface AuditProgress {
  readonly step: (what: string) => void;
  readonly images: (done: number, all: number, image: string) => void;
  /** Takes the line away. */
  readonly done: () => void;
}

const BAR = 24;

/** How often the line is written anew, milliseconds: terminals are slow. */
const EVERY_MS = 100;

const bar = (done: number, all: number): string => {
  const full = all === 0 ? BAR : Math.floor((done / all) * BAR);
  return `[${'#'.repeat(full)}${'.'.repeat(BAR - full)}]`;
};

const quiet = (): void => {};

/** Nothing is written where standard error is no terminal: nobody watches. */
export function auditProgress(io: Io, monotonic: () => number): AuditProgress {
  if (!io.stderrIsTerminal) return { step: quiet, images: quiet, done: quiet };
  let written = -EVERY_MS;
  const line = (text: string, always: boolean): void => {
    const now = monotonic();
    if (!always && now - written < EVERY_MS) return;
    written = now;
    io.err(`\r\u001B[K${text.slice(0, Math.max(20, io.columns - 1))}`);
  };
  return {
    step: (what) => line(`reading ${what} ...`, false),
    images: (done, all, image) => {
      line(`${bar(done, all)} ${done}/${all} images  ${printable(image)}`, done === all);
    },
    done: () => io.err('\r\u001B[K'),
  };
}
