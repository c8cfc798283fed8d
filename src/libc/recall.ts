import type { DetectionKeys } from './detection-keys.ts';
import type { Inspection } from './detector.ts';
import type { Platform } from './image-source.ts';
import { surer, type LookupParts } from './look-up.ts';
import type { Remembered } from './verdict-memory.ts';

export interface Recalled extends Remembered {
  readonly from: 'memory' | 'store';
}

type RecallParts = Pick<LookupParts, 'memory' | 'shared' | 'clock'>;

/**
 * What is known without asking a registry. Where our own memory has nothing, or nothing that is fresh and certain, the
 * store may have what another replica has found out since.
 */
export function recall(
  { memory, shared, clock }: RecallParts,
  keys: DetectionKeys,
  platform: Platform,
): Recalled | undefined {
  const known = memory.find(keys);
  if (known?.fresh === true && isSettled(known.inspection)) return { ...known, from: 'memory' };
  const stored = shared.find(keys, platform);
  if (stored !== undefined) {
    const inspection = surer(memory.ofManifest(keys, stored.inspection.digest), stored.inspection);
    // Another replica's clock may be ahead of ours.
    memory.remember(keys, inspection, Math.min(stored.checkedAt, clock.now()));
  }
  const found = stored === undefined ? known : memory.find(keys);
  return found && { ...found, from: known === undefined ? 'store' : 'memory' };
}

function isSettled({ verdict, outdated }: Inspection): boolean {
  return verdict.resolver !== 'unknown' && outdated !== true;
}
