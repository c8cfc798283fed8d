import type { Verdict } from '../policy/verdict.ts';
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
 * Verdicts shared between replicas, and those that people declare. It answers from its own memory, for it is asked while a
 * Pod waits, and writes behind the call. What it throws is taken for "not known".
 */
export interface VerdictStore {
  /** What people say of this image, whatever look-ups found or will find: it comes before everything else. */
  declared(query: StoreQuery): Verdict | undefined;
  get(query: StoreQuery): StoredVerdict | undefined;
  /** This verdict was found, or given to a Pod. Often nothing has to be written: the store decides. */
  put(key: StoreKey, verdict: StoredVerdict): void;
  /** Nothing is known of this any more: today's rules do not tell what older ones did. */
  forget(query: StoreQuery): void;
}
