import { LRUCache } from 'lru-cache';

import type { Clock } from '../util/clock.ts';
import type { Inspection } from './detector.ts';
import { createFairSlots } from '../util/limits/fair-slots.ts';
import { createFlights, type Flight } from './flights.ts';
import type { LookupContext, Meter } from './image-source.ts';
import { verdictKey } from './keys.ts';
import type { ScanOutcome, LookupTask } from './look-up.ts';

/** Below this confidence a verdict is a guess from hints, or there is no verdict: reading more of the image may help. */
const SURE = 0.6;

/** Scans run one at a time, with few waiting: creating many Pods must not make us read whole images by the hundred. */
const MOST_WAITING = 16;

/** Most images whose scans are remembered. */
const MOST_REMEMBERED = 2000;

/** A scan that fails this often for passing reasons is not tried again while it is remembered. */
const MOST_TRIES = 5;

export interface BackgroundScans {
  /**
   * Scans an image in the background if `inspection` is uncertain (more of the image is read) or was made by older rules.
   * Cheap for images that were scanned already: it may be called for each Pod.
   */
  scanIfUncertain(task: LookupTask, inspection: Inspection): void;
  /**
   * Waits for the scan of an image, if one is under way, until `deadline`. Returns what it cost; undefined if it did not end
   * in time, or none was under way.
   */
  wait(task: LookupTask, inspection: Inspection, deadline: AbortSignal): Promise<Meter | undefined>;
  close(): Promise<void>;
}

interface BackgroundScanOptions {
  /** Milliseconds for one scan. */
  readonly timeMs: number;
  /** Milliseconds until a scan that failed is tried again; doubled with each further failure. */
  readonly retryMs: number;
  readonly clock: Pick<Clock, 'now'>;
  /** Inspects the image again and remembers what it finds. Never rejects. */
  readonly scan: (task: LookupTask, inspection: Inspection, context: LookupContext) => Promise<ScanOutcome>;
}

type Outcome = ScanOutcome | 'not-begun';

/** The scans of one image so far. */
interface Attempts {
  readonly tries: number;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
}

const keyOf = ({ keys }: LookupTask, { outdated, digest }: Inspection): string =>
  `${outdated === true ? 'rules' : 'bytes'} ${verdictKey(keys, digest, keys.run)}`;

/** Scans images again, in the background, whose first look-up ended without a certain verdict within a Pod's budget. */
export function createBackgroundScans({ timeMs, retryMs, clock, scan }: BackgroundScanOptions): BackgroundScans {
  const flights = createFlights<Outcome>({
    slots: createFairSlots({ places: 1, queue: MOST_WAITING, first: 'newest' }),
    backgroundMs: timeMs,
    notBegun: () => 'not-begun',
  });
  const attempts = new LRUCache<string, Attempts>({ max: MOST_REMEMBERED });
  const note = (key: string, outcome: ScanOutcome): void => {
    const tries = (attempts.get(key)?.tries ?? 0) + 1;
    const isLast = outcome === 'done' || tries >= MOST_TRIES;
    const notBefore = isLast ? Number.POSITIVE_INFINITY : clock.now() + retryMs * 2 ** (tries - 1);
    attempts.set(key, { tries, notBefore });
  };
  const underWay = new Map<string, Flight<Outcome>>();
  const conclude = async (key: string, { result }: Flight<Outcome>): Promise<void> => {
    const outcome = await result;
    underWay.delete(key);
    if (outcome !== 'not-begun') note(key, outcome);
  };
  return {
    scanIfUncertain(task, inspection) {
      const { outdated, verdict } = inspection;
      if (outdated !== true && verdict.evidence.confidence >= SURE) return;
      const key = keyOf(task, inspection);
      if (underWay.has(key) || (attempts.get(key)?.notBefore ?? 0) > clock.now()) return;
      const flight = flights.join(key, (context) => scan(task, inspection, context), task.request);
      if (flight === undefined) return;
      underWay.set(key, flight);
      flight.leave();
      void conclude(key, flight);
    },
    async wait(task, inspection, deadline) {
      const flight = underWay.get(keyOf(task, inspection));
      return flight !== undefined && (await flight.wait(deadline)) === 'done' ? flight.meter : undefined;
    },
    close: () => flights.close(),
  };
}
