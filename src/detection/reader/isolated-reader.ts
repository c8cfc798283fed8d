import { LRUCache } from 'lru-cache';

import { type Reporter, silentReporter } from '../../telemetry/reporter.ts';
import type { Backoff } from '../../util/abort.ts';
import type { Clock } from '../../util/clock.ts';
import type { Inspection } from '../detector.ts';
import { ImageSourceError, type LookupContext } from '../image-source.ts';
import { createDistrust } from './distrust.ts';
import { type ImageReader, ReaderEnded, type ReadOptions, type ReadRequest, ReadStopped } from './image-reader.ts';
import { createLane, type Lane } from './lane.ts';
import { createOneByOne, type Rank } from './one-by-one.ts';
import { ReaderGone, type ReaderProgram } from './reader-process.ts';

interface IsolatedReaderOptions {
  readonly program: ReaderProgram;
  /** Returns the canonical name of a reference; throws `ImageSourceError`. */
  readonly canonical: (reference: string) => string;
  /** Receives what the program's features tell. */
  readonly onEvent?: (event: unknown) => void;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly reporter?: Reporter;
  /** Milliseconds without work after which a process is ended. Default five minutes. */
  readonly idleMs?: number;
  /** The wait after a process that did not start. */
  readonly backoff?: Backoff;
  /** Milliseconds that a look-up may have a process to itself while others wait for it. Default 5000. */
  readonly aloneMs?: number;
}

/** Most images that are remembered as suspects. */
const MOST_SUSPECTS = 1000;

/** Milliseconds for which an image is read alone that was under way when a process ended, unless it ends well before. */
const SUSPECTED_MS = 10 * 60_000;

/** Times that a look-up is tried again because another ended its process for certain. */
const MOST_TRIES = 3;

/**
 * Reads images in processes of their own, so that no image can take the memory or the time of this one. Look-ups share one
 * process. If it ends, each of them may have been the cause: they are read again, one by one, in a second process, which
 * tells who it was. Scans that read more run there too, and for a while all look-ups of a namespace whose images end processes.
 */
export function createIsolatedReader(options: IsolatedReaderOptions): ImageReader {
  const { canonical, clock, reporter = silentReporter, aloneMs = 5000 } = options;
  const [shared, single] = [openLane(options), openLane(options)];
  const oneByOne = createOneByOne({ mostMs: aloneMs });
  const suspects = new LRUCache<string, true>({ max: MOST_SUSPECTS, ttl: SUSPECTED_MS });
  const distrust = createDistrust(clock, reporter);
  reporter.metrics.detection.readers(() => shared.residentBytes() + single.residentBytes());

  const readAlone = async (rank: Rank, request: ReadRequest, context: LookupContext, how: ReadOptions) =>
    await oneByOne.run(rank, context.signal, async (signal) => {
      try {
        return await single.read(request, { ...context, signal }, how);
      } catch (error) {
        throw error instanceof ReaderGone ? new ReaderEnded(error.end) : error;
      }
    });
  const lookUp = async (request: ReadRequest, context: LookupContext, how: ReadOptions): Promise<Inspection> => {
    const { alone = false } = how;
    const name = canonical(request.reference);
    const isDistrusted = distrust.has(context.tenant);
    if (!alone && !isDistrusted && !suspects.has(name)) {
      const inspection = await readShared(shared, request, context, how);
      if (inspection !== 'suspect') return inspection;
      reporter.metrics.detection.suspected(1);
      suspects.set(name, true);
    }
    context.signal.throwIfAborted();
    const rank = alone ? 'suspect' : 'innocent';
    try {
      const inspection = await readAlone(isDistrusted ? 'distrusted' : rank, request, context, how);
      suspects.delete(name);
      return inspection;
    } catch (error) {
      if (endedWell(error)) suspects.delete(name);
      throw error;
    }
  };
  return {
    readsMore: true,
    canonical,
    wake: () => shared.wake(),
    async read(request, context, how = {}) {
      try {
        return await (how.more === true ? readAlone('scan', request, context, how) : lookUp(request, context, how));
      } catch (error) {
        if (error instanceof ReaderEnded && how.again?.() !== true) distrust.blame(context.tenant);
        throw error;
      }
    },
    async close() {
      await Promise.all([shared.close(), single.close()]);
    },
  };
}

const openLane = (options: IsolatedReaderOptions): Lane =>
  createLane({
    ...options,
    reporter: options.reporter ?? silentReporter,
    idleMs: options.idleMs ?? 5 * 60_000,
    backoff: options.backoff ?? { first: 1000, most: 60_000 },
    onEvent: options.onEvent ?? ((): void => {}),
  });

/** Reports whether a read that failed was not cut short: it has done no harm. */
const endedWell = (error: unknown): boolean =>
  error instanceof ReadStopped ||
  (error instanceof ImageSourceError && error.code !== 'unavailable' && error.code !== 'shed');

/** Reads an image in the process that look-ups share. Returns `suspect` if the process ended and this image may be the cause. */
async function readShared(
  lane: Lane,
  request: ReadRequest,
  context: LookupContext,
  options: ReadOptions,
): Promise<Inspection | 'suspect'> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await lane.read(request, context, options);
    } catch (error) {
      if (!(error instanceof ReaderGone)) throw error;
      if (error.guilty === true) throw new ReaderEnded(error.end);
      if (error.guilty === undefined || tries >= MOST_TRIES) return 'suspect';
      context.signal.throwIfAborted();
    }
  }
}
