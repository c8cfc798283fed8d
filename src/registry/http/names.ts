import { LRUCache } from 'lru-cache';

import { ImageSourceError, type LookupContext } from '../../detection/image-source.ts';
import { beforeAbort, deadlineAfter } from '../../util/abort.ts';
import type { Clock } from '../../util/clock.ts';
import { createFairSlots, type Slot } from '../../util/limits/fair-slots.ts';
import type { Tenant } from '../../util/limits/recent-use.ts';
import type { RegistryLimits } from './limits.ts';
import { describeWireError, isUnknownName } from './wire-error.ts';

/** One result of a name look-up. */
export interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}

/** Looks up every address of a host name. */
export type Resolve = (hostname: string) => Promise<readonly ResolvedAddress[]>;

/**
 * Looks host names up with `getaddrinfo`, which takes a thread of Node's pool until the DNS has answered, or for up to half
 * a minute if it never does, and cannot be stopped. Strangers choose the names, and other work needs the pool too.
 */
export interface Names {
  /**
   * Looks a name up, within `limits.nameMs`. Rejects with `unavailable` if its DNS fails or is silent, with `shed` if it had
   * to wait for others all the time, or with the signal's reason.
   */
  resolve(hostname: string, context: Pick<LookupContext, 'tenant' | 'signal'>): Promise<void>;
  /** Returns the addresses that `resolve` found last. Throws `shed` if they were forgotten. */
  found(hostname: string): readonly ResolvedAddress[];
}

interface NamesOptions {
  readonly getaddrinfo: Resolve;
  /** Threads of Node's pool (`UV_THREADPOOL_SIZE`). */
  readonly threads: number;
  readonly limits: RegistryLimits;
  readonly clock: Pick<Clock, 'monotonic'>;
}

/** Names that wait for a thread. */
const MOST_WAITING = 256;

/** Milliseconds for which addresses are used, and for which a name that failed is not tried again. */
const FRESH_MS = 10_000;

/** Milliseconds for which older addresses serve while the DNS fails, and how long it is waited for then (RFC 8767). */
const STALE_MS = 10 * 60_000;
const STALE_WAIT_MS = 300;

/** What is known of a name. Times on the monotonic clock. */
interface Known {
  readonly addresses?: readonly ResolvedAddress[];
  /** When the addresses were found. */
  readonly at: number;
  /** Absent: the last look-up succeeded. */
  readonly failure?: ImageSourceError;
  /** Until when it is not looked up again. */
  readonly until: number;
}

/** A look-up that waits for a thread or has one. */
interface Looking {
  readonly slot: Slot;
  /** Never rejects. */
  readonly ended: Promise<'done' | 'shed'>;
  /** When it got its thread. */
  began?: number;
  waiters: number;
  /** Gives up waiting for a thread. */
  readonly abandon: () => void;
}

/** Returns how many threads names may take: two stay free for other work of a pool of four, four of sixteen. */
export function threadsForNames(threads: number): number {
  return Math.max(1, threads - Math.max(2, Math.floor(threads / 4)));
}

export function createNames(options: NamesOptions): Names {
  const { limits, clock } = options;
  const memory = createMemory(options);
  const lookUps = createLookUps(options, memory);
  return {
    async resolve(hostname, { tenant, signal }) {
      const known = memory.find(hostname);
      if (known !== undefined && clock.monotonic() < known.until) return answer(known);
      const isStale = known?.addresses !== undefined;
      const looking = lookUps.join(hostname, tenant);
      if (looking !== undefined && !lookUps.isSilent(looking, limits.nameMs)) {
        const ended = await within(looking, isStale ? STALE_WAIT_MS : limits.nameMs, signal);
        const found = ended === 'done' ? memory.find(hostname) : undefined;
        if (found !== undefined) return answer(found);
      }
      if (isStale) return undefined;
      // Had it waited for others most of the time, the name would not be to blame.
      throw looking !== undefined && lookUps.isSilent(looking, limits.nameMs / 2)
        ? silent(hostname, limits)
        : shed(hostname);
    },
    found(hostname) {
      const addresses = memory.find(hostname)?.addresses;
      if (addresses === undefined) throw shed(hostname);
      return addresses;
    },
  };
}

interface Memory {
  /** Returns what is known; without addresses once they are too old to serve. */
  find(hostname: string): Known | undefined;
  found(hostname: string, addresses: readonly ResolvedAddress[]): void;
  failed(hostname: string, error: unknown): void;
}

function createMemory({ limits, clock }: NamesOptions): Memory {
  const names = new LRUCache<string, Known>({ maxSize: limits.hosts, sizeCalculation: () => 1 });
  const find = (hostname: string): Known | undefined => {
    const known = names.get(hostname);
    if (known?.addresses === undefined || clock.monotonic() - known.at < STALE_MS) return known;
    const { addresses: _tooOld, ...rest } = known;
    return rest;
  };
  return {
    find,
    found(hostname, addresses) {
      const at = clock.monotonic();
      names.set(hostname, { addresses, at, until: at + FRESH_MS });
    },
    failed(hostname, error) {
      const now = clock.monotonic();
      const last = isUnknownName(error) ? undefined : find(hostname);
      const failure = describeWireError(hostname, error);
      names.set(hostname, { at: now, ...last, failure, until: now + FRESH_MS });
    },
  };
}

interface LookUps {
  /** Returns the look-up of this name, or a new one; undefined if there are too many, or more would wait in vain. */
  join(hostname: string, tenant: Tenant): Looking | undefined;
  /** Reports whether a look-up has had its thread for so many milliseconds. */
  isSilent(looking: Looking, ms: number): boolean;
}

function createLookUps({ getaddrinfo, threads, limits, clock }: NamesOptions, memory: Memory): LookUps {
  const slots = createFairSlots({ places: threadsForNames(threads), queue: MOST_WAITING, first: 'oldest' });
  const underWay = new Map<string, Looking>();
  const isSilent = ({ began }: Looking, ms: number): boolean => began !== undefined && clock.monotonic() - began >= ms;
  /** Reports whether all threads that the tenant may have are taken by its own names that do not answer. */
  const isStuck = (tenant: Tenant): boolean => {
    if (slots.hasRoom(tenant) || slots.held(tenant) === 0) return false;
    const own = underWay.values().filter(({ slot }) => !slot.isWaiting() && slot.tenant() === tenant);
    return own.every((looking) => isSilent(looking, limits.nameMs));
  };
  const begin = (hostname: string, tenant: Tenant): Looking | undefined => {
    const leaving = new AbortController();
    const slot = slots.enter(tenant, leaving.signal);
    if (slot === undefined) return undefined;
    const forget = (): void => {
      if (underWay.get(hostname) === looking) underWay.delete(hostname);
    };
    const run = async (): Promise<'done' | 'shed'> => {
      const release = await slot.entered.catch(() => undefined);
      if (release === undefined) return 'shed';
      looking.began = clock.monotonic();
      await getaddrinfo(hostname)
        .then((addresses) => memory.found(hostname, addresses))
        .catch((error: unknown) => memory.failed(hostname, error));
      release();
      return 'done';
    };
    const abandon = (): void => {
      if (!slot.isWaiting()) return;
      forget();
      leaving.abort();
    };
    const looking: Looking = { slot, ended: run().finally(forget), waiters: 0, abandon };
    underWay.set(hostname, looking);
    return looking;
  };
  return {
    join(hostname, tenant) {
      const known = underWay.get(hostname);
      known?.slot.share(tenant);
      return known ?? (isStuck(tenant) ? undefined : begin(hostname, tenant));
    },
    isSilent,
  };
}

function answer({ addresses, failure }: Known): void {
  if (addresses === undefined && failure !== undefined) throw failure;
}

/** Waits for a look-up; undefined if that takes longer. Rejects with the signal's reason. */
async function within(looking: Looking, ms: number, signal: AbortSignal): Promise<'done' | 'shed' | undefined> {
  const late = deadlineAfter(ms, signal);
  looking.waiters += 1;
  try {
    const ended = await beforeAbort(looking.ended, late.signal);
    signal.throwIfAborted();
    return ended;
  } finally {
    late.stop();
    looking.waiters -= 1;
    if (looking.waiters === 0) looking.abandon();
  }
}

function shed(hostname: string): ImageSourceError {
  return new ImageSourceError('shed', `${hostname} was not looked up: other names that do not answer were before it`);
}

function silent(hostname: string, { nameMs }: RegistryLimits): ImageSourceError {
  return new ImageSourceError(
    'unavailable',
    `${hostname} could not be looked up: its DNS was silent for ${nameMs / 1000} s`,
  );
}
