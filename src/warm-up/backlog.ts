import { hash } from 'node:crypto';

import type { DetectRequest } from '../detection/detector.ts';

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
  readonly read: () => Promise<NonNullable<DetectRequest['credentials']>>;
}

/** An image to look up once, for all workloads that offer it. */
export interface WarmUpItem {
  readonly key: string;
  /** The registry that will be asked. */
  readonly host: string;
  readonly request: WarmUpOffer['request'];
  readonly bytes: number;
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
  /** Returns false, and does not keep the item, if there is no room. */
  add(item: WarmUpItem): boolean;
  /**
   * Returns the next item of a registry for which `wait` gives 0; if all have to wait, the shortest wait in milliseconds,
   * Infinity for an empty backlog.
   */
  next(wait: (host: string) => number): WarmUpItem | number;
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

export function createWarmUpBacklog(most: { readonly items: number; readonly bytes: number }): WarmUpBacklog {
  const byTenant = new Map<string, Map<string, Set<WarmUpItem>>>();
  let size = 0;
  let bytes = 0;
  return {
    add(item) {
      if (size >= most.items || bytes + item.bytes > most.bytes) return false;
      const { host, request } = item;
      const { tenant = '' } = request;
      const byHost = byTenant.get(tenant) ?? new Map<string, Set<WarmUpItem>>();
      byTenant.set(tenant, byHost);
      byHost.set(host, (byHost.get(host) ?? new Set()).add(item));
      size += 1;
      bytes += item.bytes;
      return true;
    },
    next(wait) {
      let least = Number.POSITIVE_INFINITY;
      for (const [host, [item]] of byTenant.values().flatMap((byHost) => byHost.entries())) {
        const ms = wait(host);
        least = Math.min(least, ms);
        if (ms === 0 && item !== undefined) return item;
      }
      return least;
    },
    remove(item) {
      const { host, request } = item;
      const { tenant = '' } = request;
      const byHost = byTenant.get(tenant);
      const waiting = byHost?.get(host);
      if (byHost === undefined || waiting?.delete(item) !== true) return;
      // Re-inserting puts this namespace behind the others, and this registry behind its others.
      byHost.delete(host);
      if (waiting.size > 0) byHost.set(host, waiting);
      byTenant.delete(tenant);
      if (byHost.size > 0) byTenant.set(tenant, byHost);
      size -= 1;
      bytes -= item.bytes;
    },
    get size() {
      return size;
    },
    get bytes() {
      return bytes;
    },
  };
}
