import { LRUCache } from 'lru-cache';

import type { LookupTask } from './look-up.ts';
import { createSlots } from './lookup-slots.ts';
import { createFlights } from './single-flight.ts';
import type { Inspection } from './detector.ts';
import { verdictKey } from './detection-keys.ts';
import type { LookupContext } from './image-source.ts';

/** Below this a verdict is a stand-in or a hint, or there is none: reading on may tell more. */
const SURE = 0.5;

/** One at a time and few waiting: whoever creates Pods must not make us read whole images by the hundred. */
const WAITING = 16;

/** Images that are not scanned a second time. */
const REMEMBERED = 2000;

export interface FullScans {
  /** Reads more of an image in the background where `inspection` is not sure. */
  follow(task: LookupTask, inspection: Inspection): void;
  close(): Promise<void>;
}

export interface FullScanOptions {
  /** Milliseconds for one scan. */
  readonly timeMs: number;
  /** Looks the task up with wider limits and remembers what it finds. Never rejects. */
  readonly scan: (task: LookupTask, context: LookupContext) => Promise<void>;
}

/** Second looks at images whose first look, bounded as a Pod's creation wants it, did not tell. */
export function createFullScans({ timeMs, scan }: FullScanOptions): FullScans {
  const flights = createFlights<void>({
    slots: createSlots(1, WAITING),
    backgroundMs: timeMs,
    notBegun: () => {},
  });
  const done = new LRUCache<string, true>({ max: REMEMBERED });
  return {
    follow(task, inspection) {
      if (inspection.verdict.evidence.confidence >= SURE) return;
      const key = verdictKey(task.keys, inspection.digest, task.keys.run);
      if (done.has(key)) return;
      const flight = flights.join(key, (context) => scan(task, context));
      if (flight === undefined) return;
      done.set(key, true);
      flight.leave();
    },
    close: () => flights.close(),
  };
}
