import { LRUCache } from 'lru-cache';

import type { Credential } from '../../detection/image-source.ts';
import { beforeAbort } from '../../util/abort.ts';
import type { Clock } from '../../util/clock.ts';
import { createCoalescer } from '../../util/coalesce.ts';

/** A registry login that a cloud gave to our own identity. */
export interface CloudLogin {
  readonly credential: Credential;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** Gets a login. May reject with anything. */
export type GetCloudLogin = (signal: AbortSignal) => Promise<CloudLogin>;

/** Keeps logins until they expire. */
export interface CloudLogins {
  /** Returns the login of a key; undefined if `getLogin` fails, which is not tried again for a while. Never rejects. */
  get(key: string, getLogin: GetCloudLogin): Promise<Credential | undefined>;
}

interface CloudLoginsOptions {
  readonly clock: Pick<Clock, 'now'>;
  /** Reports each failure to get a login, in words that hold no secret. */
  readonly onProblem: (message: string) => void;
  /** Milliseconds until `getLogin` counts as failed. Default 10,000. */
  readonly timeoutMs?: number;
}

interface Kept {
  readonly credential?: Credential;
  readonly since: number;
  readonly freshUntil: number;
  readonly expiresAt: number;
}

/** Most registries and regions kept, because Pods can name any number of them. */
const MOST_KEYS = 500;
const RENEW_MS = 5 * 60_000;
/** Shortest use of a login, whatever its expiry: a wrong clock must not cause a renewal for each request. */
const LEAST_MS = 60_000;
const LONGEST_MS = 12 * 3_600_000;
const REFUSED_MS = 30_000;

export function createCloudLogins({ clock, onProblem, timeoutMs = 10_000 }: CloudLoginsOptions): CloudLogins {
  const kept = new LRUCache<string, Kept>({ max: MOST_KEYS });
  const renewals = createCoalescer<Credential | undefined>();
  const renew = async (key: string, getLogin: GetCloudLogin): Promise<Credential | undefined> => {
    const known = kept.get(key);
    const next = await attempt(getLogin, timeoutMs).then(
      (login) => afterSuccess(login, clock.now()),
      (error: unknown) => {
        onProblem(`${key}: ${describeCloudError(error)}`);
        return afterFailure(known, clock.now());
      },
    );
    kept.set(key, next);
    return next.credential;
  };
  return {
    async get(key, getLogin) {
      const known = kept.get(key);
      const now = clock.now();
      // Renews if the clock was set back: the expiry tells nothing then.
      if (known !== undefined && now >= known.since && now < known.freshUntil) return known.credential;
      return await renewals.run(key, async () => await renew(key, getLogin));
    },
  };
}

async function attempt(getLogin: GetCloudLogin, timeoutMs: number): Promise<CloudLogin> {
  const limit = AbortSignal.timeout(timeoutMs);
  const login = await beforeAbort(getLogin(limit), limit);
  if (login === undefined) throw new Error(`no answer within ${timeoutMs / 1000} s`);
  return login;
}

function afterSuccess({ credential, expiresAt }: CloudLogin, now: number): Kept {
  const life = Math.min(expiresAt - now, LONGEST_MS);
  const fresh = Math.max(LEAST_MS, life - Math.min(RENEW_MS, life / 4));
  return { credential, since: now, freshUntil: now + fresh, expiresAt: now + life };
}

/** Returns the entry to keep after a failed renewal: the old login until it expires. */
function afterFailure(known: Kept | undefined, now: number): Kept {
  const failed = { since: now, freshUntil: now + REFUSED_MS, expiresAt: 0 };
  if (known?.credential === undefined || now >= known.expiresAt) return failed;
  return { ...failed, credential: known.credential, expiresAt: known.expiresAt };
}

/** Describes an SDK's error in one short line; leaves out anything that may be a token. */
export function describeCloudError(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  const [line = ''] = error.message.slice(0, 2000).split('\n', 1);
  const words = line.replaceAll(/[\w+/=.~-]{64,}/g, '…').slice(0, 300);
  return error.name === 'Error' ? words : `${error.name}: ${words}`;
}
