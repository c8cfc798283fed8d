import type { Verdict } from '../policy/verdict.ts';
import { pinnedName, runOf, runsOf, type DetectionKeys } from './detection-keys.ts';
import type { Platform } from './image-source.ts';
import type { StoredVerdict, StoreQuery, VerdictStore } from './verdict-store.ts';

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
  clock: { now(): number },
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
function createHourly(clock: { now(): number }): (key: string) => boolean {
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
