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
  /** Takes a slot or waits for one; undefined if too many wait already, and no other tenant has more of them. */
  enter(tenant: Tenant, signal: AbortSignal): Slot | undefined;
  /** Reports whether the tenant would enter without waiting. */
  hasRoom(tenant: Tenant): boolean;
  /** Returns how many slots are charged to the tenant. */
  held(tenant: Tenant): number;
  waiting(): number;
  /** Reports whether no more may wait. */
  isFull(): boolean;
  /** Returns the waiting tenant whose turn it is; undefined if nothing waits. */
  next(): { readonly tenant: Tenant } | undefined;
}

interface FairSlotsOptions {
  readonly places: number;
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
  readonly tenant: () => Tenant;
  /** Charges the slot to another tenant if that one holds fewer. */
  readonly charge: (tenant: Tenant) => void;
  readonly release: Release;
}

interface State {
  readonly options: FairSlotsOptions;
  readonly accounts: Accounts;
  readonly waiters: Set<Waiter>;
  taken: number;
}

export function createFairSlots(options: FairSlotsOptions): FairSlots {
  const state: State = { options, accounts: createAccounts(), waiters: new Set(), taken: 0 };
  const { accounts, waiters } = state;
  return {
    enter(tenant, signal) {
      if (hasRoom(state, tenant)) {
        const { release, charge, tenant: payer } = take(state, tenant);
        return { entered: Promise.resolve(release), isWaiting: () => false, tenant: payer, share: charge };
      }
      return waiters.size < options.queue || displace(state, tenant) ? wait(state, tenant, signal) : undefined;
    },
    hasRoom: (tenant) => hasRoom(state, tenant),
    held: (tenant) => accounts.held(tenant),
    waiting: () => waiters.size,
    isFull: () => waiters.size >= options.queue,
    next: () => best(accounts, accounts.waiting()),
  };
}

function hasRoom({ options, accounts, taken }: State, tenant: Tenant): boolean {
  const free = options.places - taken;
  if (free <= 0 || tenant === undefined) return free > 0;
  const held = accounts.held(tenant);
  return held === 0 || (free > 1 && held < SHARE * free);
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
    const turn = best(
      accounts,
      accounts.waiting().filter((tenant) => hasRoom(state, tenant)),
    );
    const waiter = turn && accounts.queueOf(turn.tenant).at(options.first === 'newest' ? -1 : 0);
    if (turn === undefined || waiter === undefined) return;
    leave(state, waiter);
    waiter.admit(turn.tenant);
  }
}

/** Takes a place in the queue from the tenant with the most of them; false if the newcomer would have as many. */
function displace(state: State, newcomer: Tenant): boolean {
  const { accounts, options } = state;
  const lengthOf = (tenant: Tenant): number => accounts.queueOf(tenant).length;
  const [longest] = accounts.waiting().toSorted((a, b) => lengthOf(b) - lengthOf(a));
  const loser = accounts.queueOf(longest).at(options.first === 'newest' ? 0 : -1);
  if (loser === undefined || lengthOf(longest) <= lengthOf(newcomer) + 1) return false;
  leave(state, loser);
  loser.refuse();
  return true;
}

function take(state: State, tenant: Tenant): Holding {
  const { accounts } = state;
  const since = performance.now();
  let payer = tenant;
  let isHeld = true;
  state.taken += 1;
  accounts.hold(payer, 1);
  return {
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
      state.taken -= 1;
      accounts.hold(payer, -1);
      accounts.use.add(payer, performance.now() - since);
      admitNext(state);
    },
  };
}

function wait(state: State, tenant: Tenant, signal: AbortSignal): Slot {
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
    admit(payer) {
      holding = take(state, payer);
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
