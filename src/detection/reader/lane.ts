import type { Reporter } from '../../telemetry/reporter.ts';
import { type Backoff, beforeAbort, doublingMs } from '../../util/abort.ts';
import type { Clock } from '../../util/clock.ts';
import { lookupAbort, type Inspection } from '../detector.ts';
import type { LookupContext } from '../image-source.ts';
import { ReaderUnavailable, type ReadOptions, type ReadRequest } from './image-reader.ts';
import { type ReaderProcess, type ReaderProgram, startReader } from './reader-process.ts';

export interface LaneOptions {
  readonly program: ReaderProgram;
  /** Milliseconds without work after which the process is ended. */
  readonly idleMs: number;
  /** The wait after a process that did not start. */
  readonly backoff: Backoff;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly reporter: Reporter;
  readonly onEvent: (event: unknown) => void;
}

/** A reader process, started when there is work and ended when there is none for long. */
export interface Lane {
  /** Starts the process if none runs: a read will come soon. */
  wake(): void;
  /** Rejects like `ReaderProcess`, or with `ReaderUnavailable` while no process can be started. */
  read(request: ReadRequest, context: LookupContext, options: ReadOptions): Promise<Inspection>;
  residentBytes(): number;
  /** Ends the process; from then on every read rejects. */
  close(): Promise<void>;
}

export function createLane(options: LaneOptions): Lane {
  const starter = createStarter(options);
  let current: Promise<ReaderProcess> | undefined;
  let running: ReaderProcess | undefined;
  let work = 0;
  let idle: NodeJS.Timeout | undefined;
  let isClosed = false;
  const forget = (): void => {
    current = undefined;
    running = undefined;
  };
  const start = async (): Promise<ReaderProcess> => {
    const starting = starter.start();
    const started = await starting.catch((error: unknown) => {
      forget();
      throw error;
    });
    running = started;
    void started.ended.then(() => running === started && forget());
    return started;
  };
  const end = async (): Promise<void> => {
    const ending = current;
    forget();
    await (await ending?.catch(() => undefined))?.close();
  };
  const rest = (): void => {
    if (work === 0 && !isClosed) idle = setTimeout(() => void end(), options.idleMs).unref();
  };
  return {
    wake() {
      if (isClosed || current !== undefined) return;
      current = start();
      // The read that comes will be told.
      current.catch(() => {});
      rest();
    },
    async read(request, context, how) {
      if (isClosed) throw lookupAbort.closing();
      work += 1;
      clearTimeout(idle);
      try {
        current ??= start();
        const process = await beforeAbort(current, context.signal);
        if (process === undefined) throw context.signal.reason;
        return await process.read(request, context, how);
      } finally {
        work -= 1;
        rest();
      }
    },
    residentBytes: () => running?.residentBytes() ?? 0,
    async close() {
      isClosed = true;
      clearTimeout(idle);
      await end();
    },
  };
}

/** Starts processes, and reports what becomes of them. After a failed start it waits, and rejects with `ReaderUnavailable` meanwhile. */
function createStarter({ program, backoff, clock, reporter, onEvent }: LaneOptions): {
  start(): Promise<ReaderProcess>;
} {
  const { log, metrics } = reporter;
  const trouble = reporter.trouble('the process that reads images does not start: new images stay unknown');
  const warn = reporter.warnings();
  const none = { starts: 0, at: -Infinity, message: '' };
  let failed = none;
  const report = async ({ ended }: ReaderProcess): Promise<void> => {
    const death = await ended;
    if (death === undefined) return;
    const { end, reads, said } = death;
    metrics.detection.readerEnded(end);
    warn('the process that reads images has ended', { cause: end, reads, said: reasonIn(said) });
  };
  return {
    async start() {
      const wait = failed.starts === 0 ? 0 : doublingMs(backoff, failed.starts - 1);
      if (clock.monotonic() - failed.at < wait) throw new ReaderUnavailable(failed.message);
      try {
        const started = await startReader({ program, clock, onEvent });
        failed = none;
        trouble.recovered();
        log.debug('a process that reads images was started');
        void report(started);
        return started;
      } catch (error) {
        const { message } = error as Error;
        failed = { starts: failed.starts + 1, at: clock.monotonic(), message };
        metrics.detection.readerEnded('start');
        trouble.lost({ code: 'start', message });
        throw error;
      }
    },
  };
}

const MOST_SAID = 300;

/** Returns why a process ended, in one line: V8's stack traces are long, and the reason stands before them. */
function reasonIn(said: string): string {
  const reason = /FATAL ERROR[^\n]*/.exec(said)?.[0];
  const lines = said.split('\n').map((line) => line.trim());
  return (reason ?? lines.filter(Boolean).join(' | ')).slice(0, MOST_SAID);
}
