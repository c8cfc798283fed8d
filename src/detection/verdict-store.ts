import type { Verdict } from '../policy/verdict.ts';
import type { Clock } from '../util/clock.ts';
import type { Inspection } from './detector.ts';
import type { Platform } from './image-source.ts';
import { type DetectionKeys, pinnedName, runOf, runsOf } from './keys.ts';
import type { ReaderEnd } from './reader/image-reader.ts';

/** What a stored verdict is about. */
export interface StoreKey {
  /** The reference's canonical name, tag or digest included. */
  readonly image: string;
  readonly platform: Platform;
  /** Hash of the part of the command line that decided the verdict. */
  readonly run: string;
}

/** What a request looks for: a verdict with any of these run keys answers it. */
export interface StoreQuery extends Omit<StoreKey, 'run'> {
  readonly runs: readonly string[];
}

export interface StoredVerdict {
  readonly inspection: Inspection;
  /** When the reference was seen to stand for `inspection.digest`; milliseconds since 1970. */
  readonly checkedAt: number;
  /** Digest of what the reference named then (see `SeenTag`); undefined if nobody knows. */
  readonly named?: string | undefined;
}

/** The reading of an image that ended a reader process. */
export interface QuarantineSubject {
  /** The canonical name by the manifest's digest; as the Pod gave it if the process ended before the digest was known. */
  readonly image: string;
  readonly platform: Platform;
  /** Hash of the Pod's command line; empty if the digest was not known yet: then no command line has been looked at. */
  readonly run: string;
  /** Whether more was read than a Pod can wait for. If that alone is fatal, what Pods wait for is still read. */
  readonly more: boolean;
}

/** What is remembered of a subject. Times are milliseconds since 1970. */
export interface QuarantineEntry {
  /** How many reader processes it has ended. */
  readonly ends: number;
  /** Why the last one ended. */
  readonly cause: ReaderEnd;
  readonly seenAt: number;
  /** It is not read again before. */
  readonly until: number;
}

/**
 * Holds the verdicts that replicas share and those that people declare. It answers from its own memory, for a Pod waits
 * meanwhile, and writes in the background. What it throws counts as "not known".
 */
export interface VerdictStore {
  /** Returns the verdict that a person declared for this image; it takes precedence over all others. */
  declared(query: StoreQuery): Verdict | undefined;
  get(query: StoreQuery): StoredVerdict | undefined;
  /** Notes that a verdict was found, or given to a Pod. The store decides whether it has to write anything. */
  put(key: StoreKey, verdict: StoredVerdict): void;
  /** Drops verdicts of older rules: the current rules find none. */
  forget(query: StoreQuery): void;
  /** Returns what replicas know of a reading that ended a reader process. */
  quarantined(subject: QuarantineSubject): QuarantineEntry | undefined;
  /** Notes that a reading ended a reader process. */
  quarantine(subject: QuarantineSubject, entry: QuarantineEntry): void;
  /** Drops what is known of a reading: it ended well. */
  release(subject: QuarantineSubject): void;
}

/** A verdict store that takes a request's keys and never throws: a failing store must not harm a Pod. */
export interface GuardedStore extends Pick<VerdictStore, 'quarantined' | 'quarantine' | 'release'> {
  /** Returns what a person declared for the reference, or for the image by the digest of its manifest. */
  declared(keys: DetectionKeys, platform: Platform, manifestDigest?: string): Verdict | undefined;
  find(keys: DetectionKeys, platform: Platform): StoredVerdict | undefined;
  /** Stores what a look-up found. */
  keep(keys: DetectionKeys, platform: Platform, verdict: StoredVerdict): void;
  /** Notes that a Pod was given this from memory; passed on to the store once an hour. */
  used(keys: DetectionKeys, platform: Platform, verdict: StoredVerdict): void;
}

const REWRITE_MS = 3_600_000;
const MOST_WRITTEN = 20_000;

const none: GuardedStore = {
  declared: () => undefined,
  find: () => undefined,
  keep: () => {},
  used: () => {},
  quarantined: () => undefined,
  quarantine: () => {},
  release: () => {},
};

const queryOf = (keys: DetectionKeys, platform: Platform): StoreQuery => ({
  image: keys.canonical,
  platform,
  runs: runsOf(keys),
});

export function createGuardedStore(
  store: VerdictStore | undefined,
  clock: Pick<Clock, 'now'>,
  onError: (error: unknown) => void,
): GuardedStore {
  if (store === undefined) return none;
  const guarded = <T>(call: () => T): T | undefined => {
    try {
      return call();
    } catch (error) {
      onError(error);
      return undefined;
    }
  };
  const keep: GuardedStore['keep'] = (keys, platform, verdict) => {
    const { inspection } = verdict;
    guarded(() => {
      // Unknown is not stored: another replica may find a verdict.
      if (inspection.verdict.resolver === 'unknown') store.forget(queryOf(keys, platform));
      else store.put({ image: keys.canonical, platform, run: runOf(keys, inspection) }, verdict);
    });
  };
  const isDue = createHourlyCheck(clock);
  return {
    declared: (keys, platform, digest) =>
      guarded(() => {
        const image = digest === undefined ? keys.canonical : pinnedName(keys, digest);
        return store.declared({ image, platform, runs: runsOf(keys) });
      }),
    find: (keys, platform) => guarded(() => store.get(queryOf(keys, platform))),
    keep,
    used(keys, platform, verdict) {
      if (isDue(`${keys.image} ${runOf(keys, verdict.inspection)}`)) keep(keys, platform, verdict);
    },
    quarantined: (subject) => guarded(() => store.quarantined(subject)),
    quarantine: (subject, entry) => guarded(() => store.quarantine(subject, entry)),
    release: (subject) => guarded(() => store.release(subject)),
  };
}

/** Returns a check that is true for a key about once an hour. */
function createHourlyCheck(clock: Pick<Clock, 'now'>): (key: string) => boolean {
  const written = new Set<string>();
  let since = clock.now();
  return (key) => {
    const now = clock.now();
    if (now - since >= REWRITE_MS || written.size >= MOST_WRITTEN) {
      written.clear();
      since = now;
    }
    if (written.has(key)) return false;
    written.add(key);
    return true;
  };
}
