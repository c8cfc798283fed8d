import { sleep } from './abort.ts';
import type { Tenant } from './limits/recent-use.ts';

/** What came of taking bytes: `share`: more than this user may hold; `pool`: more than all users together may. */
type Taken = 'taken' | 'share' | 'pool';

/** The part of a pool that one user may hold. */
interface Share {
  /** Counts bytes as held until `close`. Counts nothing unless it returns `taken`. */
  take(bytes: number): Taken;
  /** Counts bytes as given back. */
  give(bytes: number): void;
  /**
   * Waits until the pool is less than three quarters full, or the tenant holds less than its part of these. Returns false if that
   * takes more than `ms` milliseconds. Rejects with the signal's reason.
   */
  room(ms: number, signal: AbortSignal): Promise<boolean>;
  /** Aborts if the bytes were taken for another tenant, which holds fewer: they count as given back then. */
  readonly lost: AbortSignal;
  /** Gives all bytes back. */
  close(): void;
}

/**
 * A bound on the bytes that all users hold together. One tenant alone may hold them all. Once they do not suffice, the tenant that
 * holds the most loses its largest share to one that holds fewer.
 */
export interface BytePool {
  readonly held: number;
  share(bytes: number, tenant?: Tenant): Share;
}

/** What one user holds. */
interface Holding {
  readonly tenant: Tenant;
  bytes: number;
  readonly losing: AbortController;
}

/** What all users of a pool hold. */
interface Ledger {
  readonly bytes: number;
  readonly holdings: Set<Holding>;
  held: number;
}

const fullAt = 0.75;
const pauseMs = 20;

export function createBytePool(bytes: number): BytePool {
  const ledger: Ledger = { bytes, holdings: new Set(), held: 0 };
  return {
    get held() {
      return ledger.held;
    },
    share(most, tenant) {
      const own: Holding = { tenant, bytes: 0, losing: new AbortController() };
      const lost = own.losing.signal;
      ledger.holdings.add(own);
      return {
        lost,
        take(wanted) {
          if (own.bytes + wanted > most) return 'share';
          if (lost.aborted || !makeRoom(ledger, wanted, tenant)) return 'pool';
          own.bytes += wanted;
          ledger.held += wanted;
          return 'taken';
        },
        give(back) {
          if (lost.aborted) return;
          own.bytes -= back;
          ledger.held -= back;
        },
        async room(ms, signal) {
          const end = performance.now() + ms;
          while (isFull(ledger, tenant)) {
            if (performance.now() >= end) return false;
            await sleep(pauseMs, signal);
          }
          return true;
        },
        close: () => drop(ledger, own),
      };
    },
  };
}

function drop(ledger: Ledger, holding: Holding): void {
  ledger.holdings.delete(holding);
  ledger.held -= holding.bytes;
  holding.bytes = 0;
}

/** Takes shares from the richest tenant until there is room. Returns false if it would be poorer than `tenant` then. */
function makeRoom(ledger: Ledger, wanted: number, tenant: Tenant): boolean {
  const { holdings } = ledger;
  while (ledger.held + wanted > ledger.bytes) {
    const sums = heldByTenant(holdings);
    const [richest] = byMost(sums, ([, held]) => held);
    if (richest === undefined || richest[0] === tenant || richest[1] <= (sums.get(tenant) ?? 0) + wanted) return false;
    const theirs = [...holdings].filter((each) => each.tenant === richest[0]);
    const [largest] = byMost(theirs, (each) => each.bytes);
    if (largest === undefined) return false;
    drop(ledger, largest);
    largest.losing.abort();
  }
  return true;
}

/** Reports whether a new look-up of the tenant has to wait. */
function isFull({ held, bytes, holdings }: Ledger, tenant: Tenant): boolean {
  if (held < bytes * fullAt) return false;
  const sums = heldByTenant(holdings);
  return (sums.get(tenant) ?? 0) >= (bytes * fullAt) / Math.max(1, sums.size);
}

/** Returns what each tenant holds that holds anything. */
function heldByTenant(holdings: ReadonlySet<Holding>): Map<Tenant, number> {
  const sums = new Map<Tenant, number>();
  for (const { tenant, bytes } of holdings) if (bytes > 0) sums.set(tenant, (sums.get(tenant) ?? 0) + bytes);
  return sums;
}

function byMost<T>(all: Iterable<T>, size: (one: T) => number): T[] {
  return [...all].toSorted((a, b) => size(b) - size(a));
}

/** Returns the bytes that V8 keeps for a text: one a character if all are Latin-1, else two, and a header. */
export function textBytes(text: string): number {
  return 16 + (/[\u0100-\uFFFF]/.test(text) ? 2 * text.length : text.length);
}

/**
 * Makes V8 collect its garbage now and give unused pages back to the system. Without it, a server that has read ten thousand
 * objects at its start keeps their garbage: a third of its memory. Does nothing if Node runs without `--expose-gc`, which the
 * chart sets. The ways to reach `gc` without that flag make a second V8 context, which slows every request down by a fifth.
 */
export function collectGarbage(): void {
  globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
