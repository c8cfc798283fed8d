import { LRUCache } from 'lru-cache';

import type { Credential } from '../../detection/image-source.ts';
import { beforeAbort } from '../../util/abort.ts';
import type { Clock } from '../../util/clock.ts';
import { createCoalescer } from '../../util/coalesce.ts';

/** A registry login that a cloud has given to our own identity. */
export interface CloudLogin {
  readonly credential: Credential;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** Gets a login. May reject with anything. */
export type GetCloudLogin = (signal: AbortSignal) => Promise<CloudLogin>;

/** Logins while they live. */
export interface CloudLogins {
  /** The login of this key. Undefined where there is none; then nobody asks again for a while. Never rejects. */
  get(key: string, getLogin: GetCloudLogin): Promise<Credential | undefined>;
}

interface CloudLoginsOptions {
  readonly clock: Pick<Clock, 'now'>;
  /** Told each time that a login could not be had, in words that hold none. */
  readonly onProblem: (message: string) => void;
  /** Milliseconds that getting one may take. Default 10,000. */
  readonly timeoutMs?: number;
}

interface Kept {
  readonly credential?: Credential;
  readonly since: number;
  readonly freshUntil: number;
  readonly expiresAt: number;
}

/** Registries, and regions, that are remembered: whoever creates Pods chooses their names. */
const MOST_KEYS = 500;
const RENEW_MS = 5 * 60_000;
/** A login is used this long whatever it says of itself, so that no clock makes us ask for each request. */
const LEAST_MS = 60_000;
const LONGEST_MS = 12 * 3_600_000;
const REFUSED_MS = 30_000;

export function createCloudLogins({ clock, onProblem, timeoutMs = 10_000 }: CloudLoginsOptions): CloudLogins {
  const kept = new LRUCache<string, Kept>({ max: MOST_KEYS });
  const renewals = createCoalescer<Credential | undefined>();
  const renew = async (key: string, getLogin: GetCloudLogin): Promise<Credential | undefined> => {
    const known = kept.get(key);
    const next = await attempt(getLogin, timeoutMs).then(
      (login) => freshly(login, clock.now()),
      (error: unknown) => {
        onProblem(`${key}: ${describeCloudError(error)}`);
        return leftOf(known, clock.now());
      },
    );
    kept.set(key, next);
    return next.credential;
  };
  return {
    async get(key, getLogin) {
      const known = kept.get(key);
      const now = clock.now();
      // A clock that was set back says nothing about when a login ends.
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

function freshly({ credential, expiresAt }: CloudLogin, now: number): Kept {
  const life = Math.min(expiresAt - now, LONGEST_MS);
  const fresh = Math.max(LEAST_MS, life - Math.min(RENEW_MS, life / 4));
  return { credential, since: now, freshUntil: now + fresh, expiresAt: now + life };
}

/** What is left when a renewal fails: the old login while it lives. */
function leftOf(known: Kept | undefined, now: number): Kept {
  const failed = { since: now, freshUntil: now + REFUSED_MS, expiresAt: 0 };
  if (known?.credential === undefined || now >= known.expiresAt) return failed;
  return { ...failed, credential: known.credential, expiresAt: known.expiresAt };
}

/** An SDK's error in one short line: what may be a token in it is left out. */
export function describeCloudError(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  const [line = ''] = error.message.slice(0, 2000).split('\n', 1);
  const words = line.replaceAll(/[\w+/=.~-]{64,}/g, '…').slice(0, 300);
  return error.name === 'Error' ? words : `${error.name}: ${words}`;
}
