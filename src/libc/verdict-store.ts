import type { Inspection } from './detector.ts';
import type { Platform } from './image-source.ts';

/** What a stored verdict is about. */
export interface StoreKey {
  /** The reference's canonical name, tag or digest included. */
  readonly image: string;
  readonly platform: Platform;
  /** Hash of the words of the Pod's own command line that count. */
  readonly run: string;
}

/** What a request looks for: the verdict of any of these runs answers it. */
export interface StoreQuery extends Omit<StoreKey, 'run'> {
  readonly runs: readonly string[];
}

export interface StoredVerdict {
  readonly inspection: Inspection;
  /** When the reference was seen to stand for `inspection.digest`; milliseconds since 1970. */
  readonly checkedAt: number;
}

/**
 * Verdicts shared between replicas. Asked once per look-up, before the registry. A rejection is taken for "not known":
 * a store that fails costs requests, never an answer. Both calls end when their signal does.
 */
export interface VerdictStore {
  get(query: StoreQuery, signal: AbortSignal): Promise<StoredVerdict | undefined>;
  put(key: StoreKey, verdict: StoredVerdict, signal: AbortSignal): Promise<void>;
}
