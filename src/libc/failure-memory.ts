import { LRUCache } from 'lru-cache';
import { isPassing, type Failure } from './detection-failure.ts';
import type { DetectionKeys } from './detection-keys.ts';

/** Whose failure it is: an image's for everyone with these logins, or that of one command line in it. */
export interface FailureScope {
  readonly keys: DetectionKeys;
  /** Key of the logins it was met with: others may be let in. */
  readonly login: string;
  /** Absent where the manifest already could not be had: then no command line fares better. */
  readonly run?: string;
}

export interface FailureMemory {
  find(keys: DetectionKeys, login: string): Failure | undefined;
  remember(scope: FailureScope, failure: Failure): void;
  size(): number;
}

export interface FailureMemoryOptions {
  readonly entries: number;
  /** Milliseconds for which a failure is not tried again; a sixth of it where the host's state was the cause. */
  readonly failureTtlMs: number;
  readonly clock: { now(): number };
}

// What our own load or shutdown caused says nothing about the image.
const notRemembered = new Set<Failure['code']>(['deadline', 'shed', 'disabled']);

/** Remembers failures for a while, so that an image that cannot be read costs a request now and then, not one per Pod. */
export function createFailureMemory({ entries, failureTtlMs, clock }: FailureMemoryOptions): FailureMemory {
  // Entries have a bounded size: three hashes for a key, a message that was cut.
  const failures = new LRUCache<string, Failure & { readonly until: number }>({ max: entries });
  const get = (key: string): Failure | undefined => {
    const known = failures.get(key);
    return known !== undefined && known.until > clock.now() ? known : undefined;
  };
  return {
    find(keys, login) {
      const known = get(failureKey({ keys, login })) ?? get(failureKey({ keys, login, run: keys.run }));
      return known === undefined ? undefined : { code: known.code, message: known.message };
    },
    remember(scope, failure) {
      if (notRemembered.has(failure.code)) return;
      // The registry client keeps Retry-After and a breaker by itself; this only spares the queue.
      const life = isPassing(failure.code) ? failureTtlMs / 6 : failureTtlMs;
      failures.set(failureKey(scope), { ...failure, until: clock.now() + life });
    },
    size: () => failures.size,
  };
}

function failureKey({ keys, login, run = '' }: FailureScope): string {
  return `${keys.image} ${login} ${run}`;
}
