import { ImageSourceError } from '../image-source.ts';

/**
 * Who goes first: look-ups whose process ended under them, then images that are suspected already, then those of namespaces that
 * are distrusted, then scans.
 */
export type Rank = 'innocent' | 'suspect' | 'distrusted' | 'scan';

const RANKS: readonly Rank[] = ['innocent', 'suspect', 'distrusted', 'scan'];

interface OneByOneOptions {
  /** Milliseconds that a look-up may take while others wait. */
  readonly mostMs: number;
}

/** Runs one piece of work at a time. */
interface OneByOne {
  /**
   * Runs `work` when its turn comes; rejects with the signal's reason if that comes first. A scan gives way to look-ups, and is
   * begun anew after them.
   */
  run<T>(rank: Rank, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T>;
}

interface Job {
  readonly rank: Rank;
  readonly start: () => Promise<'done' | 'again'>;
  /** Ends its current run. */
  end: (reason: unknown) => void;
}

const GAVE_WAY = Symbol('gave way');

const tookLong = (ms: number): ImageSourceError =>
  new ImageSourceError('unavailable', `the look-up took more than ${ms} ms while others waited for their turn`);

export function createOneByOne({ mostMs }: OneByOneOptions): OneByOne {
  const waiting: Job[] = [];
  let running: Job | undefined;
  let isLong = false;
  let timer: NodeJS.Timeout | undefined;
  const relieve = (): void => {
    if (running === undefined || !waiting.some(({ rank }) => rank !== 'scan')) return;
    if (running.rank === 'scan') running.end(GAVE_WAY);
    else if (isLong) running.end(tookLong(mostMs));
  };
  const turn = async (): Promise<void> => {
    for (;;) {
      const next = takeFirst(waiting);
      if (next === undefined) return;
      running = next;
      isLong = false;
      timer = setTimeout(() => {
        isLong = true;
        relieve();
      }, mostMs).unref();
      const how = await next.start();
      clearTimeout(timer);
      running = undefined;
      if (how === 'again') waiting.push(next);
    }
  };
  return {
    run(rank, signal, work) {
      const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<typeof work>>>();
      const job: Job = {
        rank,
        end: () => {},
        async start() {
          const own = new AbortController();
          job.end = (reason) => own.abort(reason);
          try {
            signal.throwIfAborted();
            resolve(await work(AbortSignal.any([signal, own.signal])));
          } catch (error) {
            if (own.signal.reason === GAVE_WAY && error === GAVE_WAY && !signal.aborted) return 'again';
            reject(error);
          }
          return 'done';
        },
      };
      const abandon = (): void => {
        const place = waiting.indexOf(job);
        if (place < 0) return;
        waiting.splice(place, 1);
        reject(signal.reason);
      };
      signal.addEventListener('abort', abandon, { once: true });
      waiting.push(job);
      if (running === undefined) void turn();
      else relieve();
      return promise.finally(() => signal.removeEventListener('abort', abandon));
    },
  };
}

/** Removes and returns the first job of the best rank. */
function takeFirst(jobs: Job[]): Job | undefined {
  const best = RANKS.find((rank) => jobs.some((job) => job.rank === rank));
  const place = jobs.findIndex(({ rank }) => rank === best);
  return place < 0 ? undefined : jobs.splice(place, 1)[0];
}
