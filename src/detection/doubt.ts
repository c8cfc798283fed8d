import { LRUCache } from 'lru-cache';

import { createRecentUse, type Tenant } from '../util/limits/recent-use.ts';
import type { DetectionFailure } from './detector.ts';

/** For whom a look-up is, and which registry it asks. */
interface Party {
  readonly host: string;
  readonly tenant: Tenant;
}

/** How a look-up ended: the failure's code, or `none`. */
type LookupEnd = DetectionFailure | 'none';

/** Remembers which look-ups may hold a slot in vain. */
export interface Doubt {
  /**
   * Reports whether the host has never answered or hung when it was asked last, or whether look-ups of the tenant lately hung at hosts
   * that had answered. Of look-ups for a person, who shares with nobody, nothing is doubtful.
   */
  of(party: Party): boolean;
  /** Notes how a look-up ended that held its slot for so many milliseconds. */
  ended(party: Party, end: LookupEnd, ms: number): void;
  /** Notes that another replica has read images of the host. Does not clear a host that hung. */
  vouch(host: string): void;
}

/** Hosts that are remembered. */
const MOST_HOSTS = 2000;

/** Milliseconds in vain from which on a look-up hung. */
const HUNG_MS = 1000;

/** Milliseconds after which what a tenant's look-ups took in vain counts half. */
const FORGIVEN_MS = 60_000;

/** What a look-up ends with that was in vain; `deadline`: it had to give way. */
const VAIN: ReadonlySet<LookupEnd> = new Set(['unavailable', 'deadline', 'invalid-answer']);

/** What a look-up ends with whose host has answered. */
const ANSWERED: ReadonlySet<LookupEnd> = new Set([
  'none',
  'not-found',
  'unauthorized',
  'no-platform',
  'not-an-image',
  'rate-limited',
  'invalid-answer',
]);

/** The time of a host that hung since it answered. */
const HUNG = -1;

/** `now` returns milliseconds of a monotonic clock. */
export function createDoubt(now = (): number => performance.now()): Doubt {
  /** When each host answered last. */
  const answers = new LRUCache<string, number>({ maxSize: MOST_HOSTS, sizeCalculation: () => 1 });
  const vain = createRecentUse(FORGIVEN_MS);
  const hasAnswered = (host: string): boolean => (answers.get(host) ?? HUNG) !== HUNG;
  return {
    of: ({ host, tenant }) => tenant !== undefined && (!hasAnswered(host) || vain.of(tenant) >= HUNG_MS),
    ended({ host, tenant }, end, ms) {
      const isVain = VAIN.has(end) && ms >= HUNG_MS;
      if (!isVain && ANSWERED.has(end)) answers.set(host, now());
      if (!isVain || !hasAnswered(host)) return;
      // Many hosts may answer once to hang later: what they have in common is the tenant.
      vain.add(tenant, ms);
      if ((answers.get(host) ?? HUNG) <= now() - ms) answers.set(host, HUNG);
    },
    vouch(host) {
      if (!answers.has(host)) answers.set(host, now());
    },
  };
}
