import type { Verdict } from '../policy/verdict.ts';
import type { Clock } from '../util/clock.ts';
import type { Inspection } from './detector.ts';
import type { Platform } from './image-source.ts';
import { type DetectionKeys, pinnedName, runOf, runsOf } from './keys.ts';

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

/** A store with its failures held off, in terms of a request's keys: it may help, never harm. Nothing throws. */
export interface SharedVerdicts {
  /** What a person says of the reference, or of the image by the digest of its manifest. */
  declared(keys: DetectionKeys, platform: Platform, manifestDigest?: string): Verdict | undefined;
  find(keys: DetectionKeys, platform: Platform): StoredVerdict | undefined;
  /** A look-up found this. */
  keep(keys: DetectionKeys, platform: Platform, verdict: StoredVerdict): void;
  /** A Pod was given this from memory. The store is told once an hour. */
  used(keys: DetectionKeys, platform: Platform, verdict: StoredVerdict): void;
}

const tellEveryMs = 3_600_000;
const mostTold = 20_000;

const none: SharedVerdicts = {
  declared: () => undefined,
  find: () => undefined,
  keep: () => {},
  used: () => {},
};

const queryOf = (keys: DetectionKeys, platform: Platform): StoreQuery => ({
  image: keys.canonical,
  platform,
  runs: runsOf(keys),
});

export function createSharedVerdicts(
  store: VerdictStore | undefined,
  clock: Pick<Clock, 'now'>,
  onError: (error: unknown) => void,
): SharedVerdicts {
  if (store === undefined) return none;
  const guarded = <T>(call: () => T): T | undefined => {
    try {
      return call();
    } catch (error) {
      onError(error);
      return undefined;
    }
  };
  const keep: SharedVerdicts['keep'] = (keys, platform, verdict) => {
    const { inspection } = verdict;
    guarded(() => {
      // Others may have more luck with what we could not tell.
      if (inspection.verdict.resolver === 'unknown') store.forget(queryOf(keys, platform));
      else store.put({ image: keys.canonical, platform, run: runOf(keys, inspection) }, verdict);
    });
  };
  const isNews = createHourly(clock);
  return {
    declared: (keys, platform, digest) =>
      guarded(() => {
        const image = digest === undefined ? keys.canonical : pinnedName(keys, digest);
        return store.declared({ image, platform, runs: runsOf(keys) });
      }),
    find: (keys, platform) => guarded(() => store.get(queryOf(keys, platform))),
    keep,
    used(keys, platform, verdict) {
      if (isNews(`${keys.image} ${runOf(keys, verdict.inspection)}`)) keep(keys, platform, verdict);
    },
  };
}

/** Whether something was not asked about within about an hour. */
function createHourly(clock: Pick<Clock, 'now'>): (key: string) => boolean {
  const told = new Set<string>();
  let since = clock.now();
  return (key) => {
    const now = clock.now();
    if (now - since >= tellEveryMs || told.size >= mostTold) {
      told.clear();
      since = now;
    }
    if (told.has(key)) return false;
    told.add(key);
    return true;
  };
}
