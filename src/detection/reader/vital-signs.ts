import { readFileSync } from 'node:fs';

import type { Clock } from '../../util/clock.ts';

/** What the system tells of a process; undefined where it does not (no /proc). */
export interface VitalSigns {
  /** Bytes of resident memory that belong to no file. */
  memory(): number | undefined;
  /** Milliseconds of processor time used so far. */
  processorMs(): number | undefined;
}

const read = (path: string): string => {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
};

const kilobytes = (status: string, field: string): number | undefined => {
  const digits = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1];
  return digits === undefined ? undefined : Number(digits) * 1024;
};

/** Reads the vital signs of a process from /proc (proc_pid_status(5), proc_pid_stat(5)). */
export function vitalSignsOf(pid: number): VitalSigns {
  return {
    memory() {
      const status = read(`/proc/${pid}/status`);
      // gVisor tells only the sum.
      return kilobytes(status, 'RssAnon') ?? kilobytes(status, 'VmRSS');
    },
    processorMs() {
      const stat = read(`/proc/${pid}/stat`);
      // Fields 14 and 15, in ticks of 10 ms (USER_HZ); the second field, the name, may hold spaces.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const ticks = Number(fields[11]) + Number(fields[12]);
      return Number.isNaN(ticks) ? undefined : ticks * 10;
    },
  };
}

/** Milliseconds between two looks at a process. Short: what allocates without end fills hundreds of MB in a second. */
export const LOOK_MS = 50;

/** Milliseconds between two looks at a process that has had no work for long. Each look wakes us and reads a file. */
export const IDLE_LOOK_MS = 60_000;

/** Milliseconds after the last work in which looks stay frequent: what a read has left behind may go on. */
const RESTLESS_MS = 10_000;

interface Looks {
  /** Call this when work begins. */
  hurry(): void;
  stop(): void;
}

/**
 * Calls `look` every {@link LOOK_MS}; every {@link IDLE_LOOK_MS} once `isBusy` has returned false for ten seconds. Passes the
 * milliseconds that were to lie between this look and the last.
 */
export function lookRegularly(
  look: (pauseMs: number) => void,
  isBusy: () => boolean,
  clock: Pick<Clock, 'monotonic'>,
): Looks {
  let busyAt = clock.monotonic();
  let pause = LOOK_MS;
  const run = (): void => {
    const now = clock.monotonic();
    if (isBusy()) busyAt = now;
    const last = pause;
    pause = now - busyAt < RESTLESS_MS ? LOOK_MS : IDLE_LOOK_MS;
    timer = setTimeout(run, pause).unref();
    look(last);
  };
  let timer = setTimeout(run, pause).unref();
  return {
    hurry() {
      busyAt = clock.monotonic();
      if (pause === LOOK_MS) return;
      clearTimeout(timer);
      run();
    },
    stop: () => clearTimeout(timer),
  };
}

const PING_MS = 500;

/** Milliseconds without an answer, and of processor time meanwhile, after which a process counts as hanging. */
const SILENT = { ms: 2000, processorMs: 1000 };

/** Milliseconds without an answer after which it hangs although it did not use the processor: it sleeps, or the machine is far too busy. */
const ASLEEP_MS = 10_000;

interface WatchOptions {
  readonly vitals: VitalSigns;
  /** Most bytes of resident memory. */
  readonly memoryBytes: number;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Sends a ping. */
  readonly ping: () => void;
}

/** Judges whether a process is well. */
export interface Watch {
  /** Returns what is wrong; undefined if nothing is. `pauseMs`: when the look was due, in milliseconds after the last. */
  look(pauseMs: number): 'memory' | 'unresponsive' | undefined;
  /** Notes the answer to a ping. */
  pong(): void;
  /** Reports whether no ping waits for its answer. */
  answered(): boolean;
}

export function createWatch({ vitals, memoryBytes, clock, ping }: WatchOptions): Watch {
  let lastLook = clock.monotonic();
  let pingedAt = -Infinity;
  let waiting: { since: number; readonly processorMs: number } | undefined;
  const isSilent = (now: number): boolean => {
    if (waiting === undefined) return false;
    const silent = now - waiting.since;
    if (silent < SILENT.ms) return false;
    const used = (vitals.processorMs() ?? 0) - waiting.processorMs;
    return used >= SILENT.processorMs || silent >= ASLEEP_MS;
  };
  return {
    look(pauseMs) {
      const now = clock.monotonic();
      const stalled = now - lastLook - pauseMs;
      lastLook = now;
      // We were held up ourselves: its answer may wait to be read.
      if (waiting !== undefined && stalled > 10 * LOOK_MS) waiting.since += stalled;
      if ((vitals.memory() ?? 0) > memoryBytes) return 'memory';
      if (isSilent(now)) return 'unresponsive';
      if (waiting === undefined && now - pingedAt >= PING_MS) {
        pingedAt = now;
        waiting = { since: now, processorMs: vitals.processorMs() ?? 0 };
        ping();
      }
      return undefined;
    },
    pong: () => {
      waiting = undefined;
    },
    answered: () => waiting === undefined,
  };
}
