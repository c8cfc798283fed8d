import { beforeAbort } from './before-abort.ts';
import { runOf, runsOf, type DetectionKeys } from './detection-keys.ts';
import type { Platform } from './image-source.ts';
import type { StoredVerdict, VerdictStore } from './verdict-store.ts';

/** A store with its failures and delays held off: it may help, never harm. */
export interface SharedVerdicts {
  /** What the store knows. Undefined also where it fails or takes longer than 200 ms. Never rejects. */
  find(keys: DetectionKeys, platform: Platform, signal: AbortSignal): Promise<StoredVerdict | undefined>;
  /** Writes in the background, 5 s at most. */
  keep(keys: DetectionKeys, platform: Platform, verdict: StoredVerdict): void;
  /** Ends what is being written and waits for it. */
  close(): Promise<void>;
}

const readMs = 200;
const writeMs = 5000;

export function createSharedVerdicts(
  store: VerdictStore | undefined,
  onError: (error: unknown) => void,
): SharedVerdicts {
  const closing = new AbortController();
  const writes = new Set<Promise<void>>();
  const guarded = async <T>(
    call: (store: VerdictStore, signal: AbortSignal) => Promise<T>,
    milliseconds: number,
    signal: AbortSignal,
  ): Promise<T | undefined> => {
    if (store === undefined) return undefined;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(milliseconds)]);
    try {
      return await beforeAbort(call(store, limit), limit);
    } catch (error) {
      onError(error);
      return undefined;
    }
  };
  return {
    find: async (keys, platform, signal) =>
      await guarded(
        async (open, limit) => await open.get({ image: keys.canonical, platform, runs: runsOf(keys) }, limit),
        readMs,
        signal,
      ),
    keep(keys, platform, verdict) {
      if (store === undefined) return;
      const key = { image: keys.canonical, platform, run: runOf(keys, verdict.inspection) };
      const write = guarded(
        async (open, limit) => await open.put(key, verdict, limit),
        writeMs,
        closing.signal,
      ).finally(() => writes.delete(write));
      writes.add(write);
    },
    async close() {
      closing.abort();
      await Promise.all(writes);
    },
  };
}
