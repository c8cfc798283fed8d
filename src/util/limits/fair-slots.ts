import { createRecentUse, type RecentUse, type Tenant } from './recent-use.ts';

/** Gives a slot back. Later calls do nothing. */
export type Release = () => void;

/** A piece of work that holds a slot or waits for one. */
export interface Slot {
  /**
   * Resolves when the slot is entered; to undefined if the work lost its place in the queue to a tenant with fewer waiting.
   * Rejects with the signal's reason.
   */
  readonly entered: Promise<Release | undefined>;
  isWaiting(): boolean;
  /** Returns the tenant that the slot is charged to. */
  tenant(): Tenant;
  /** Tells that another tenant wants this work too. The slot is charged to the one of them that holds fewer. */
  share(tenant: Tenant): void;
}

/**
 * Bounds how much runs at once, and shares it among tenants. The tenant that holds the fewest slots enters first; of equals
 * the one that used the least slot time lately. One tenant alone gets about three quarters of the slots, so that the next
 * one need not wait until slow work ends.
 */
export interface FairSlots {
  /**
   * Takes a slot or waits for one; undefined if too many wait already, and no other tenant has more of them. `isDoubtful` is
   * asked again and again: it may change.
   */
  enter(tenant: Tenant, signal: AbortSignal, isDoubtful?: IsDoubtful): Slot | undefined;
  /** Reports whether the tenant would enter without waiting. */
  hasRoom(tenant: Tenant, isDoubtful?: boolean): boolean;
  /** Lets in what waits and has room since it is no longer doubtful. */
  admit(): void;
  /** Returns how many slots are charged to the tenant. */
  held(tenant: Tenant): number;
  waiting(): number;
  /** Reports whether no more may wait. */
  isFull(isDoubtful?: boolean): boolean;
  /** Returns the tenant whose turn it is of all that wait with doubtful work, or with other work; undefined if there is none. */
  next(isDoubtful?: boolean): { readonly tenant: Tenant } | undefined;
}

/** Reports whether work may well hold its slot for long and come to nothing. */
type IsDoubtful = () => boolean;

interface FairSlotsOptions {
  readonly places: number;
  /** Most that doubtful work may hold, and tenants share these too. Default: all. Of the queue it gets the same part. */
  readonly doubtful?: number;
  /** Most that wait. */
  readonly queue: number;
  /** Which of a tenant's waiting work enters first. The other end of its queue is the first to lose its place. */
  readonly first: 'oldest' | 'newest';
}

/**
 * A tenant may hold this many times what is free: alone 24 of 32, each of two 13. (Dynamic thresholds: Choudhury and Hahne,
 * IEEE/ACM Transactions on Networking 6(2), 1998.)
 */
const SHARE = 3;

/** Work that waits, for one tenant or several. */
interface Waiter {
  readonly tenants: Set<Tenant>;
  readonly isDoubtful: IsDoubtful;
  readonly admit: (tenant: Tenant) => void;
  readonly refuse: () => void;
}

/** What each tenant holds, waits for and has used. */
interface Accounts {
  held(tenant: Tenant): number;
  hold(tenant: Tenant, count: 1 | -1): void;
  /** Returns the waiters of a tenant, oldest first. */
  queueOf(tenant: Tenant): readonly Waiter[];
  join(waiter: Waiter, tenant: Tenant): void;
  leave(waiter: Waiter): void;
  /** Returns the tenants with waiting work. */
  waiting(): Tenant[];
  /** The slot time of each. */
  readonly use: RecentUse;
}

function createAccounts(): Accounts {
  const holds = new Map<Tenant, number>();
  const queues = new Map<Tenant, Waiter[]>();
  const held = (tenant: Tenant): number => holds.get(tenant) ?? 0;
  return {
    held,
    hold(tenant, count) {
      const now = held(tenant) + count;
      if (now > 0) holds.set(tenant, now);
      else holds.delete(tenant);
    },
    queueOf: (tenant) => queues.get(tenant) ?? [],
    join(waiter, tenant) {
      waiter.tenants.add(tenant);
      const queue = queues.get(tenant);
      if (queue === undefined) queues.set(tenant, [waiter]);
      else queue.push(waiter);
    },
    leave(waiter) {
      for (const tenant of waiter.tenants) {
        const left = queues.get(tenant)?.filter((other) => other !== waiter) ?? [];
        if (left.length > 0) queues.set(tenant, left);
        else queues.delete(tenant);
      }
    },
    waiting: () => [...queues.keys()],
    use: createRecentUse(),
  };
}

/** A slot in use. */
interface Holding {
  readonly isDoubtful: IsDoubtful;
  readonly tenant: () => Tenant;
  /** Charges the slot to another tenant if that one holds fewer. */
  readonly charge: (tenant: Tenant) => void;
  readonly release: Release;
}

interface State {
  readonly options: FairSlotsOptions;
  readonly accounts: Accounts;
  readonly waiters: Set<Waiter>;
  readonly holdings: Set<Holding>;
}

export function createFairSlots(options: FairSlotsOptions): FairSlots {
  const state: State = { options, accounts: createAccounts(), waiters: new Set(), holdings: new Set() };
  const { accounts, waiters } = state;
  return {
    enter(tenant, signal, isDoubtful = () => false) {
      const doubtful = isDoubtful();
      if (hasRoom(state, tenant, doubtful)) {
        const { release, charge, tenant: payer } = take(state, tenant, isDoubtful);
        return { entered: Promise.resolve(release), isWaiting: () => false, tenant: payer, share: charge };
      }
      const hasPlace = !isFull(state, doubtful) || displace(state, tenant, doubtful);
      return hasPlace ? wait(state, { tenant, signal, isDoubtful }) : undefined;
    },
    hasRoom: (tenant, isDoubtful = false) => hasRoom(state, tenant, isDoubtful),
    admit: () => admitNext(state),
    held: (tenant) => accounts.held(tenant),
    waiting: () => waiters.size,
    isFull: (isDoubtful = false) => isFull(state, isDoubtful),
    next: (isDoubtful = false) =>
      best(
        accounts,
        accounts.waiting().filter((tenant) => accounts.queueOf(tenant).some((one) => one.isDoubtful() === isDoubtful)),
      ),
  };
}

/** Reports whether there is room for the tenant's work, in all slots and in those that doubtful work may hold. */
function hasRoom(
  state: State,
  tenant: Tenant,
  isDoubtful: boolean,
  doubts = isDoubtful ? doubtsIn(state) : [],
): boolean {
  const { places, doubtful = places } = state.options;
  if (!isRoom(tenant, places - state.holdings.size, state.accounts.held(tenant))) return false;
  return !isDoubtful || isRoom(tenant, doubtful - doubts.length, doubts.filter((payer) => payer === tenant).length);
}

/** Returns the tenant of each slot that doubtful work holds. */
function doubtsIn({ holdings }: State): readonly Tenant[] {
  return [...holdings].filter((one) => one.isDoubtful()).map(({ tenant }) => tenant());
}

function isRoom(tenant: Tenant, free: number, held: number): boolean {
  if (free <= 0 || tenant === undefined || held === 0) return free > 0;
  return free > 1 && held < SHARE * free;
}

function isFull({ options, waiters }: State, isDoubtful: boolean): boolean {
  const { places, queue, doubtful = places } = options;
  if (waiters.size >= queue || !isDoubtful) return waiters.size >= queue;
  return (
    waiters
      .values()
      .filter((one) => one.isDoubtful())
      .toArray().length >=
    (queue * doubtful) / places
  );
}

function best(accounts: Accounts, tenants: readonly Tenant[]): { readonly tenant: Tenant } | undefined {
  return tenants
    .map((tenant) => ({ tenant, held: accounts.held(tenant), used: accounts.use.of(tenant) }))
    .toSorted((a, b) => a.held - b.held || a.used - b.used)[0];
}

function leave({ waiters, accounts }: State, waiter: Waiter): void {
  waiters.delete(waiter);
  accounts.leave(waiter);
}

function admitNext(state: State): void {
  const { accounts, options } = state;
  for (;;) {
    const doubts = doubtsIn(state);
    const first = new Map<Tenant, Waiter>();
    for (const tenant of accounts.waiting().filter((one) => hasRoom(state, one, false))) {
      const mayEnter = (one: Waiter): boolean => !one.isDoubtful() || hasRoom(state, tenant, true, doubts);
      const queue = accounts.queueOf(tenant);
      const waiter = options.first === 'newest' ? queue.findLast(mayEnter) : queue.find(mayEnter);
      if (waiter !== undefined) first.set(tenant, waiter);
    }
    const turn = best(accounts, [...first.keys()]);
    const waiter = turn && first.get(turn.tenant);
    if (turn === undefined || waiter === undefined) return;
    leave(state, waiter);
    waiter.admit(turn.tenant);
  }
}

/**
 * Takes a place in the queue from the tenant with the most of them; false if the newcomer would have as many. Doubtful work takes only
 * the place of doubtful work.
 */
function displace(state: State, newcomer: Tenant, isDoubtful: boolean): boolean {
  const { accounts, options } = state;
  const placesOf = (tenant: Tenant): readonly Waiter[] =>
    accounts.queueOf(tenant).filter((one) => !isDoubtful || one.isDoubtful());
  const [longest] = accounts.waiting().toSorted((a, b) => placesOf(b).length - placesOf(a).length);
  const places = placesOf(longest);
  const loser = places.at(options.first === 'newest' ? 0 : -1);
  if (loser === undefined || places.length <= placesOf(newcomer).length + 1) return false;
  leave(state, loser);
  loser.refuse();
  return true;
}

function take(state: State, tenant: Tenant, isDoubtful: IsDoubtful): Holding {
  const { accounts, holdings } = state;
  const since = performance.now();
  let payer = tenant;
  let isHeld = true;
  accounts.hold(payer, 1);
  const holding: Holding = {
    isDoubtful,
    tenant: () => payer,
    charge(other) {
      if (!isHeld || accounts.held(other) + 1 >= accounts.held(payer)) return;
      accounts.hold(payer, -1);
      payer = other;
      accounts.hold(payer, 1);
      admitNext(state);
    },
    release() {
      if (!isHeld) return;
      isHeld = false;
      holdings.delete(holding);
      accounts.hold(payer, -1);
      accounts.use.add(payer, performance.now() - since);
      admitNext(state);
    },
  };
  holdings.add(holding);
  return holding;
}

interface Newcomer {
  readonly tenant: Tenant;
  readonly signal: AbortSignal;
  readonly isDoubtful: IsDoubtful;
}

function wait(state: State, { tenant, signal, isDoubtful }: Newcomer): Slot {
  const { accounts, waiters } = state;
  const { promise, resolve, reject } = Promise.withResolvers<Release | undefined>();
  let holding: Holding | undefined;
  const abandon = (): void => {
    leave(state, waiter);
    reject(signal.reason as Error);
  };
  const settle = (release: Release | undefined): void => {
    signal.removeEventListener('abort', abandon);
    resolve(release);
  };
  const waiter: Waiter = {
    tenants: new Set(),
    isDoubtful,
    admit(payer) {
      holding = take(state, payer, isDoubtful);
      settle(holding.release);
    },
    refuse: () => settle(undefined),
  };
  waiters.add(waiter);
  accounts.join(waiter, tenant);
  signal.addEventListener('abort', abandon, { once: true });
  return {
    entered: promise,
    isWaiting: () => waiters.has(waiter),
    tenant: () => (holding === undefined ? tenant : holding.tenant()),
    share(other) {
      if (holding !== undefined) holding.charge(other);
      if (!waiters.has(waiter) || waiter.tenants.has(other)) return;
      accounts.join(waiter, other);
      admitNext(state);
    },
  };
}
