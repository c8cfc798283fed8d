import { LRUCache } from 'lru-cache';

import type { Clock } from '../util/clock.ts';
import type { Inspection } from './detector.ts';
import { createFlights, createSlots, type Flight } from './flights.ts';
import type { LookupContext } from './image-source.ts';
import { verdictKey } from './keys.ts';
import type { LookAgain, LookupTask } from './look-up.ts';

/** Below this a verdict is a stand-in or a hint, or there is none: reading on may tell more. */
const SURE = 0.5;

/** One at a time and few waiting: whoever creates Pods must not make us read whole images by the hundred. */
const WAITING = 16;

/** Images that are not looked at again. */
const REMEMBERED = 2000;

/** A look that fails for passing reasons this often is not tried again while it is remembered. */
const TRIES = 5;

export interface FullScans {
  /**
   * Looks at an image again in the background where `inspection` is not sure (more of it is read) or was made by older
   * rules. Cheap for what was looked at already: it may be called for each Pod.
   */
  follow(task: LookupTask, inspection: Inspection): void;
  close(): Promise<void>;
}

interface FullScanOptions {
  /** Milliseconds for one look. */
  readonly timeMs: number;
  /** Milliseconds until a look that failed is tried again; doubled with each further one. */
  readonly retryMs: number;
  readonly clock: Pick<Clock, 'now'>;
  /** Looks again and remembers what it finds. Never rejects. */
  readonly scan: (task: LookupTask, inspection: Inspection, context: LookupContext) => Promise<LookAgain>;
}

type Outcome = LookAgain | 'not-begun';

interface Looked {
  readonly tries: number;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
}

/** Second looks at images whose first look, bounded as a Pod's creation wants it, did not tell. */
export function createFullScans({ timeMs, retryMs, clock, scan }: FullScanOptions): FullScans {
  const flights = createFlights<Outcome>({
    slots: createSlots(1, WAITING),
    backgroundMs: timeMs,
    notBegun: () => 'not-begun',
  });
  const looked = new LRUCache<string, Looked>({ max: REMEMBERED });
  const note = (key: string, outcome: LookAgain): void => {
    const tries = (looked.get(key)?.tries ?? 0) + 1;
    const isLast = outcome === 'done' || tries >= TRIES;
    const notBefore = isLast ? Number.POSITIVE_INFINITY : clock.now() + retryMs * 2 ** (tries - 1);
    looked.set(key, { tries, notBefore });
  };
  const underWay = new Set<string>();
  const conclude = async (key: string, { result }: Flight<Outcome>): Promise<void> => {
    const outcome = await result;
    underWay.delete(key);
    if (outcome !== 'not-begun') note(key, outcome);
  };
  return {
    follow(task, inspection) {
      const { outdated, digest, verdict } = inspection;
      if (outdated !== true && verdict.evidence.confidence >= SURE) return;
      const key = `${outdated === true ? 'rules' : 'bytes'} ${verdictKey(task.keys, digest, task.keys.run)}`;
      if (underWay.has(key) || (looked.get(key)?.notBefore ?? 0) > clock.now()) return;
      const flight = flights.join(key, (context) => scan(task, inspection, context));
      if (flight === undefined) return;
      underWay.add(key);
      flight.leave();
      void conclude(key, flight);
    },
    close: () => flights.close(),
  };
}
