import { LRUCache } from 'lru-cache';

/** For whom work is done: a namespace. Undefined: for a person, who shares with nobody. */
export type Tenant = string | undefined;

/** What each tenant used lately, in milliseconds: of slots, or of a thread. */
export interface RecentUse {
  add(tenant: Tenant, ms: number): void;
  of(tenant: Tenant): number;
}

/** Tenants that are remembered. */
export const MOST_TENANTS = 1000;

/** Returns an empty record. `halfLifeMs`: after so long what was used counts half. */
export function createRecentUse(halfLifeMs = 10_000): RecentUse {
  const uses = new LRUCache<string, { readonly ms: number; readonly at: number }>({
    maxSize: MOST_TENANTS,
    sizeCalculation: () => 1,
  });
  const of = (tenant: Tenant): number => {
    const known = uses.get(tenant ?? '');
    return known === undefined ? 0 : known.ms * 0.5 ** ((performance.now() - known.at) / halfLifeMs);
  };
  return {
    of,
    add: (tenant, ms) => void uses.set(tenant ?? '', { ms: of(tenant) + ms, at: performance.now() }),
  };
}
