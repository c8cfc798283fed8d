import { LRUCache } from 'lru-cache';

import { ImageSourceError } from '../detection/image-source.ts';
import type { Clock } from '../util/clock.ts';
import { parseDigest } from './digest.ts';
import type { RegistryLimits } from './http/limits.ts';
import { discard, statusError } from './http/responses.ts';
import { describe, type RepositoryRequest, type RequestRepository } from './repository.ts';

/** Asks registries by HEAD what tags name: it has no body, and Docker Hub counts GETs alone. */
export interface TagChecks {
  /** Reports whether a HEAD is worth sending to this registry. */
  isUseful(origin: string): boolean;
  /**
   * Sends a request for a manifest as HEAD. Returns the digest in the answer; undefined if only a GET can tell. Rejects with
   * `ImageSourceError` if a GET would do no better, or with the signal's reason.
   */
  ask(request: RepositoryRequest): Promise<string | undefined>;
  /** Notes whether a HEAD's answer was right, by what a GET brought. After three wrong ones, only GETs are useful for an hour. */
  judge(origin: string, isRight: boolean): void;
}

const MOST_WRONG = 3;
const USELESS_MS = 3_600_000;

interface TagChecksOptions {
  readonly send: RequestRepository;
  readonly limits: RegistryLimits;
  readonly clock: Pick<Clock, 'monotonic'>;
}

export function createTagChecks({ send, limits, clock }: TagChecksOptions): TagChecks {
  /** Wrong answers in a row, and when the last one came. */
  const wrong = new LRUCache<string, { readonly count: number; readonly at: number }>({ max: limits.hosts });
  return {
    isUseful(origin) {
      const { count = 0, at = 0 } = wrong.get(origin) ?? {};
      return count < MOST_WRONG || clock.monotonic() - at >= USELESS_MS;
    },
    async ask(request) {
      try {
        const response = await send({ ...request, method: 'HEAD' });
        if (response.status === 429) throw await statusError(response, describe(request), limits);
        await discard(response, limits);
        const digest = response.headers['docker-content-digest'];
        return response.status === 200 && parseDigest(digest ?? '') !== undefined ? digest : undefined;
      } catch (error) {
        if (error instanceof ImageSourceError && !finalCodes.has(error.code)) return undefined;
        throw error;
      }
    },
    judge(origin, isRight) {
      if (isRight) wrong.delete(origin);
      else wrong.set(origin, { count: (wrong.get(origin)?.count ?? 0) + 1, at: clock.monotonic() });
    },
  };
}

/** Errors that a GET would meet, too. */
const finalCodes: ReadonlySet<ImageSourceError['code']> = new Set(['rate-limited', 'shed', 'forbidden-host']);
