import { hash } from 'node:crypto';

import type { DetectRequest, Logins } from '../detection/detector.ts';
import type { Tenant } from '../util/limits/recent-use.ts';

/** An image and the command line that a workload runs in it: a candidate for a look-up. */
export interface WarmUpOffer {
  readonly request: Omit<DetectRequest, 'credentials' | 'dryRun' | 'ahead'>;
  /** How to read the workload's registry logins. Absent: it has none. */
  readonly login?: WarmUpLogin;
  /** Called before the look-up starts: the workload may be gone, or have changed. */
  readonly isWanted: () => boolean;
}

export interface WarmUpLogin {
  /** Two offers with the same scope have the same logins. */
  readonly scope: string;
  /** Called when the look-up starts. */
  readonly read: () => Promise<Logins>;
}

/** An image to look up once, for all workloads that offer it. */
export interface WarmUpItem {
  readonly key: string;
  /** The registry that will be asked. */
  readonly host: string;
  readonly request: WarmUpOffer['request'];
  readonly bytes: number;
  /** The namespace for which it is looked up. */
  tenant: Tenant;
  /** Logins not tried yet, by scope, in the order in which they are tried. */
  readonly logins: Map<string, WarmUpLogin['read']>;
  readonly triedScopes: string[];
  readonly wantedBy: (() => boolean)[];
  /** More workloads want it than `wantedBy` holds: it counts as wanted without asking them. */
  wantedByMany: boolean;
  /** Look-ups that failed for a passing reason. */
  failures: number;
}

/** The images that wait for a look-up: each once, namespaces in turn, and of each its registries. */
export interface WarmUpBacklog {
  /** Returns the items for which there is no room: this one, or some of the namespace that takes the most. */
  add(item: WarmUpItem): readonly WarmUpItem[];
  /** Notes that another namespace wants the item: if it waits, it counts for the one with less in the backlog. */
  share(item: WarmUpItem, tenant: Tenant): void;
  /**
   * Returns the next item for whose registry and namespace `wait` gives 0; if all have to wait, the shortest wait in
   * milliseconds, Infinity for an empty backlog.
   */
  next(wait: (host: string, tenant: Tenant) => number): WarmUpItem | number;
  remove(item: WarmUpItem): void;
  readonly size: number;
  readonly bytes: number;
}

const OWN_BYTES = 500;

/** Most different logins that are tried for an image. */
const MOST_LOGINS = 4;

const MOST_WANTED_BY = 4;

const NO_LOGINS: WarmUpLogin = { scope: '', read: () => Promise.resolve([]) };

/**
 * Returns the registry that a reference names, by Docker's rule: the first part if it has a dot or a port or is localhost,
 * else docker.io. Serves only to rotate between registries; the registry client parses the reference properly.
 */
function registryOf(reference: string): string {
  const [first = '', ...rest] = reference.split('/', 2);
  if (rest.length === 0 || !(/[.:]/.test(first) || first === 'localhost')) return 'docker.io';
  const host = first.toLowerCase();
  return host.endsWith('.docker.io') ? 'docker.io' : host;
}

export const scopeOf = ({ login = NO_LOGINS }: WarmUpOffer): string => login.scope;

/** Makes a new item for an offer, without its workload: see `joinItem`. */
export function warmUpItem({ request }: Pick<WarmUpOffer, 'request'>): WarmUpItem {
  const { reference, platform, command, args, env } = request;
  const words = JSON.stringify([reference, platform, command, args, env]);
  return {
    key: hash('sha256', words, 'base64'),
    host: registryOf(reference),
    request,
    tenant: request.tenant,
    bytes: OWN_BYTES + 2 * words.length,
    logins: new Map(),
    triedScopes: [],
    wantedBy: [],
    wantedByMany: false,
    failures: 0,
  };
}

/** Adds an offer's workload and logins to an item. */
export function joinItem(item: WarmUpItem, { isWanted, login = NO_LOGINS }: WarmUpOffer): void {
  if (item.wantedBy.length < MOST_WANTED_BY) item.wantedBy.push(isWanted);
  else item.wantedByMany = true;
  const isKnown = item.logins.has(login.scope) || item.triedScopes.includes(login.scope);
  if (!isKnown && item.logins.size + item.triedScopes.length < MOST_LOGINS) item.logins.set(login.scope, login.read);
}

export function isStillWanted({ wantedBy, wantedByMany }: WarmUpItem): boolean {
  return wantedByMany || wantedBy.some((isWanted) => isWanted());
}

/** What one namespace has in the backlog. */
interface Share {
  readonly byHost: Map<string, Set<WarmUpItem>>;
  bytes: number;
}

export function createWarmUpBacklog(most: { readonly items: number; readonly bytes: number }): WarmUpBacklog {
  const shares = new Map<Tenant, Share>();
  let size = 0;
  let bytes = 0;
  const bytesOf = (tenant: Tenant): number => shares.get(tenant)?.bytes ?? 0;
  const put = (item: WarmUpItem): void => {
    const { host, tenant } = item;
    const share = shares.get(tenant) ?? { byHost: new Map<string, Set<WarmUpItem>>(), bytes: 0 };
    shares.set(tenant, share);
    share.byHost.set(host, (share.byHost.get(host) ?? new Set()).add(item));
    share.bytes += item.bytes;
    size += 1;
    bytes += item.bytes;
  };
  const remove = (item: WarmUpItem): boolean => {
    const { host, tenant } = item;
    const share = shares.get(tenant);
    const waiting = share?.byHost.get(host);
    if (share === undefined || waiting?.delete(item) !== true) return false;
    // Re-inserting puts this namespace behind the others, and this registry behind its others.
    share.byHost.delete(host);
    if (waiting.size > 0) share.byHost.set(host, waiting);
    shares.delete(tenant);
    if (share.byHost.size > 0) shares.set(tenant, share);
    share.bytes -= item.bytes;
    size -= 1;
    bytes -= item.bytes;
    return true;
  };
  return {
    add(item) {
      const dropped: WarmUpItem[] = [];
      while (size >= most.items || bytes + item.bytes > most.bytes) {
        const other = displaced(shares, item);
        if (other === undefined) return [...dropped, item];
        remove(other);
        dropped.push(other);
      }
      put(item);
      return dropped;
    },
    share(item, tenant) {
      if (bytesOf(tenant) + item.bytes >= bytesOf(item.tenant) || !remove(item)) return;
      item.tenant = tenant;
      put(item);
    },
    next: (wait) => nextOf(shares, wait),
    remove: (item) => void remove(item),
    get size() {
      return size;
    },
    get bytes() {
      return bytes;
    },
  };
}

/** Returns an item of the namespace that takes the most, if that is more than the newcomer's would take. */
function displaced(shares: ReadonlyMap<Tenant, Share>, newcomer: WarmUpItem): WarmUpItem | undefined {
  let largest: Share | undefined;
  for (const share of shares.values()) if (share.bytes > (largest?.bytes ?? 0)) largest = share;
  const own = shares.get(newcomer.tenant)?.bytes ?? 0;
  if (largest === undefined || largest.bytes <= own + newcomer.bytes) return undefined;
  const [waiting] = largest.byHost.values();
  let last: WarmUpItem | undefined;
  for (const item of waiting ?? []) last = item;
  return last;
}

function nextOf(shares: ReadonlyMap<Tenant, Share>, wait: Parameters<WarmUpBacklog['next']>[0]): WarmUpItem | number {
  let least = Number.POSITIVE_INFINITY;
  for (const [tenant, { byHost }] of shares) {
    for (const [host, [item]] of byHost) {
      const ms = wait(host, tenant);
      least = Math.min(least, ms);
      if (ms === 0 && item !== undefined) return item;
    }
  }
  return least;
}
