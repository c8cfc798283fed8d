import { hash } from 'node:crypto';

import type { DetectRequest } from '../detection/detector.ts';

/** An image, as a workload runs it, that may have to be looked up. */
export interface WarmUpOffer {
  readonly request: Omit<DetectRequest, 'credentials' | 'dryRun' | 'ahead'>;
  /** Where the workload's logins come from. Absent: there are none. */
  readonly login?: WarmUpLogin;
  /** Asked before the look-up begins: the workload may be gone, or have changed. */
  readonly isWanted: () => boolean;
}

export interface WarmUpLogin {
  /** Two offers of the same scope have the same logins. */
  readonly scope: string;
  /** Read when the look-up begins. */
  readonly read: () => Promise<NonNullable<DetectRequest['credentials']>>;
}

/** What is to be looked up once, whoever wants it. */
export interface WarmUpItem {
  readonly key: string;
  /** The registry that will be asked. */
  readonly host: string;
  readonly request: WarmUpOffer['request'];
  readonly bytes: number;
  /** By scope; the first is tried first, and taken out then. */
  readonly logins: Map<string, WarmUpLogin['read']>;
  readonly triedScopes: string[];
  readonly wantedBy: (() => boolean)[];
  /** More want it than are noted: it is not asked whether they still do. */
  wantedByMany: boolean;
  /** Times that a passing failure came out. */
  failures: number;
}

/** What waits to be looked up, each image once, registries in turn. */
export interface WarmUpBacklog {
  /** Begins to wait. False where there is no room: it is forgotten. */
  add(item: WarmUpItem): boolean;
  /** The next one, with those of registries that have to wait left out: else the milliseconds the first of them has to wait. */
  next(wait: (host: string) => number): WarmUpItem | number;
  remove(item: WarmUpItem): void;
  readonly size: number;
  readonly bytes: number;
}

const OWN_BYTES = 500;

/** Different logins that are tried for an image. */
const MOST_LOGINS = 4;

const MOST_WANTED_BY = 4;

const NO_LOGINS: WarmUpLogin = { scope: '', read: () => Promise.resolve([]) };

/**
 * The registry that a reference names, by Docker's rule: a first part with a dot or a port, or localhost. Only for taking
 * turns: the registry client reads the reference properly.
 */
function registryOf(reference: string): string {
  const [first = '', ...rest] = reference.split('/', 2);
  if (rest.length === 0 || !(/[.:]/.test(first) || first === 'localhost')) return 'docker.io';
  const host = first.toLowerCase();
  return host.endsWith('.docker.io') ? 'docker.io' : host;
}

export const scopeOf = ({ login = NO_LOGINS }: WarmUpOffer): string => login.scope;

/** The item that an offer begins. */
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

/** Notes who else wants it. */
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
  const byHost = new Map<string, Set<WarmUpItem>>();
  let size = 0;
  let bytes = 0;
  return {
    add(item) {
      if (size >= most.items || bytes + item.bytes > most.bytes) return false;
      const waiting = byHost.get(item.host) ?? new Set();
      byHost.set(item.host, waiting.add(item));
      size += 1;
      bytes += item.bytes;
      return true;
    },
    next(wait) {
      let least = Number.POSITIVE_INFINITY;
      for (const [host, waiting] of byHost) {
        const ms = wait(host);
        least = Math.min(least, ms);
        const [item] = waiting;
        if (ms === 0 && item !== undefined) return item;
      }
      return least;
    },
    remove(item) {
      const waiting = byHost.get(item.host);
      if (waiting?.delete(item) !== true) return;
      byHost.delete(item.host);
      // Behind the other registries.
      if (waiting.size > 0) byHost.set(item.host, waiting);
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
