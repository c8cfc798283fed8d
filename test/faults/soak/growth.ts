/** What a replica holds at a moment, after garbage collection. */
export interface Sample {
  /** Reviews answered so far. */
  readonly reviews: number;
  /** Bytes held by JavaScript, including buffers but not code. */
  readonly heap: number;
  /** Resident memory, MB. */
  readonly memory: number;
  readonly files: number;
  readonly sockets: number;
  /** Timers, connections and requests that keep the event loop alive. */
  readonly handles: number;
}

/** Growth from the second to the last quarter of the time above which it counts as a leak. */
export const MOST_GROWTH = { memory: 30, files: 20, sockets: 20, handles: 40 } as const;

/** Bytes of heap per Pod above which it counts as a leak. */
export const MOST_BYTES_A_POD = 300;

/** Reviews between two samples that are needed to estimate the cost of one. */
const APART = 500;

interface Growth {
  readonly text: string;
  /** One sentence each; empty if nothing grew too much. */
  readonly problems: readonly string[];
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

const part = (samples: readonly Sample[], from: number, to: number): readonly Sample[] =>
  samples.slice(Math.floor(samples.length * from), Math.ceil(samples.length * to));

/**
 * Returns the bytes of heap that each review leaves behind: the median slope between all pairs of samples (Theil-Sen), which
 * values held only for a while do not affect. undefined if there were too few reviews.
 */
export function bytesEach(samples: readonly Pick<Sample, 'reviews' | 'heap'>[]): number | undefined {
  const slopes = samples.flatMap((one, index) =>
    samples
      .slice(index + 1)
      .filter((other) => other.reviews - one.reviews >= APART)
      .map((other) => (other.heap - one.heap) / (other.reviews - one.reviews)),
  );
  return slopes.length < samples.length ? undefined : median(slopes);
}

/** Compares what was held early, after the warm-up, with what was held late. */
export function growth(samples: readonly Sample[]): Growth {
  const [early, late] = [part(samples, 0.25, 0.5), part(samples, 0.75, 1)];
  const counts = Object.entries(MOST_GROWTH).map(([what, most]) => {
    const [before, after] = [early, late].map((some) => median(some.map((one) => one[what as keyof Sample])));
    return { text: `${what} ${before} to ${after}`, tooMuch: (after ?? 0) - (before ?? 0) > most };
  });
  const each = bytesEach(part(samples, 0.25, 1));
  const reviews = (samples.at(-1)?.reviews ?? 0) - (early[0]?.reviews ?? 0);
  const megabytes = [early, late].map((some) => (median(some.map(({ heap }) => heap)) / 2 ** 20).toFixed(1));
  const heap = {
    text: `heap ${megabytes.join(' to ')} MB, ${each === undefined ? 'too few Pods to say what each leaves' : `${Math.round(each)} bytes a Pod in ${reviews} Pods`}`,
    tooMuch: each !== undefined && each > MOST_BYTES_A_POD,
  };
  const all = [heap, ...counts];
  return {
    text: all.map(({ text }) => text).join('; '),
    problems: all.filter((one) => one.tooMuch).map(({ text }) => text),
  };
}
