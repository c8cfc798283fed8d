import { beforeAbort } from '../util/abort.ts';
import type { FairSlots, Slot } from '../util/limits/fair-slots.ts';
import type { Tenant } from '../util/limits/recent-use.ts';
import { lookupAbort } from './detector.ts';
import type { LookupContext, Meter } from './image-source.ts';

/** A look-up under way, shared by its waiters. Each waiter leaves at its own deadline; the flight goes on. */
export interface Flight<T> {
  /** Never rejects. */
  readonly result: Promise<T>;
  readonly meter: Meter;
  /** Resolves to the result, or to undefined when `deadline` comes first. */
  wait(deadline: AbortSignal): Promise<T | undefined>;
  /** Lets the flight go on without a waiter, for at most `backgroundMs`. */
  leave(): void;
}

/** For whom a flight is. */
interface Passenger {
  readonly tenant?: Tenant;
  /** Reports whether the flight may well end without an answer. It may change. Default: it is not expected to. */
  readonly isDoubtful?: () => boolean;
}

export interface Flights<T> {
  /**
   * Returns the flight of this key, or a new one; undefined if there are too many already, or after `close`. `work` must not
   * reject. A flight that several tenants have joined counts for the one with the fewest.
   */
  join(key: string, work: (context: LookupContext) => Promise<T>, passenger?: Passenger): Flight<T> | undefined;
  count(): number;
  /** Aborts all flights and waits until they have ended. */
  close(): Promise<void>;
}

interface FlightsOptions<T> {
  readonly slots: FairSlots;
  /** Milliseconds for which a flight may go on after its first waiter has left. */
  readonly backgroundMs: number;
  /** Most flights that may be slow or doubtful before one has to give way early. Default: any number. */
  readonly slow?: number;
  /** Returns the result of a flight that was aborted while it waited for a slot. */
  readonly notBegun: (signal: AbortSignal) => T;
}

interface OwnFlight<T> extends Flight<T> {
  readonly slot: Slot;
  /** Milliseconds since it entered its slot; undefined while it waits for one, and once it was ended. */
  ran(): number | undefined;
  /** Reports whether nobody waits for it: of a flight that runs, not for a sixth of its time already. */
  isAbandoned(): boolean;
  isDoubtful(): boolean;
  end(reason: unknown): void;
}

/** Milliseconds between two looks for flights that have to give way, while others wait. */
const LOOK_MS = 100;

/** Runs one flight per key at a time, however many requests wait for it. */
export function createFlights<T>(options: FlightsOptions<T>): Flights<T> {
  const { slots } = options;
  const flights = new Map<string, OwnFlight<T>>();
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    timer = undefined;
    slots.admit();
    for (const isDoubtful of [false, true]) {
      const turn = slots.next(isDoubtful);
      if (turn !== undefined) makeRoom(options, flights, { ...turn, isDoubtful });
    }
    if (slots.waiting() > 0) timer = setTimeout(look, LOOK_MS).unref();
  };
  return {
    join(key, work, { tenant, isDoubtful = () => false } = {}) {
      if (isClosed) return undefined;
      const known = flights.get(key);
      if (known !== undefined) {
        known.slot.share(tenant);
        return known;
      }
      const isInDoubt = isDoubtful();
      if (!slots.hasRoom(tenant, isInDoubt)) {
        makeRoom(options, flights, { tenant, isDoubtful: isInDoubt });
        if (slots.isFull(isInDoubt)) endQueued(flights, tenant);
      }
      const flight = startFlight({ options, work, tenant, isDoubtful, landed: () => flights.delete(key) });
      if (flight === undefined) return undefined;
      flights.set(key, flight);
      if (slots.waiting() > 0) timer ??= setTimeout(look, LOOK_MS).unref();
      return flight;
    },
    count: () => flights.size,
    async close() {
      isClosed = true;
      clearTimeout(timer);
      const all = [...flights.values()];
      for (const flight of all) flight.end(lookupAbort.closing());
      await Promise.all(all.map(({ result }) => result));
    },
  };
}

/** Work that waits for a slot. */
interface Turn {
  readonly tenant: Tenant;
  readonly isDoubtful: boolean;
}

/**
 * Ends one flight that has to give way: a doubtful one first, then one of the tenant with the most slots, the oldest first.
 * Otherwise a few Pods with hosts that hang would take all slots, or many namespaces with one each.
 */
function makeRoom<T>(
  { slots, backgroundMs, slow = Number.POSITIVE_INFINITY }: FlightsOptions<T>,
  flights: ReadonlyMap<string, OwnFlight<T>>,
  { tenant, isDoubtful }: Turn,
): void {
  const early = backgroundMs / 20;
  const running = flights
    .values()
    .filter((flight) => flight.ran() !== undefined)
    .toArray();
  const isSlow = (flight: OwnFlight<T>): boolean => flight.isDoubtful() || (flight.ran() ?? 0) >= early;
  const isCrowded = running.filter(isSlow).length > slow;
  const mayGo = (flight: OwnFlight<T>): boolean => {
    const owner = flight.slot.tenant();
    if (owner === tenant) return flight.isAbandoned();
    // A slot that moves must not have to move back, unless it was held in vain.
    const more = slots.held(owner) - slots.held(tenant);
    const share = more > 1 || isCrowded || flight.isDoubtful() ? early : backgroundMs / 6;
    return more > 0 && (flight.ran() ?? 0) >= share;
  };
  const isHelpful = (flight: OwnFlight<T>): boolean => !isDoubtful || flight.isDoubtful() || !slots.hasRoom(tenant);
  // In a crowd the youngest goes: of slow registries some look-ups have to come to an end.
  const ordered = isCrowded ? running.toReversed() : running;
  const [flight] = ordered
    .filter((one) => isHelpful(one) && mayGo(one))
    .toSorted(
      (a, b) =>
        Number(b.isDoubtful()) - Number(a.isDoubtful()) || slots.held(b.slot.tenant()) - slots.held(a.slot.tenant()),
    );
  flight?.end(lookupAbort.gaveWay());
}

/** Ends the tenant's oldest flight that waits for a slot while nobody waits for it. */
function endQueued<T>(flights: ReadonlyMap<string, OwnFlight<T>>, tenant: Tenant): void {
  const queued = flights.values().filter(({ slot }) => slot.isWaiting() && slot.tenant() === tenant);
  queued.find((flight) => flight.isAbandoned())?.end(lookupAbort.gaveWay());
}

interface FlightStart<T> {
  readonly options: FlightsOptions<T>;
  readonly work: (context: LookupContext) => Promise<T>;
  readonly tenant: Tenant;
  readonly isDoubtful: () => boolean;
  readonly landed: () => void;
}

function startFlight<T>(start: FlightStart<T>): OwnFlight<T> | undefined {
  const { options, work, tenant, isDoubtful, landed } = start;
  const { slots, backgroundMs, notBegun } = options;
  const controller = new AbortController();
  const { signal } = controller;
  const slot = slots.enter(tenant, signal, isDoubtful);
  if (slot === undefined) return undefined;
  const meter: Meter = { requests: 0, bytes: 0 };
  const end = (reason: unknown): void => controller.abort(reason);
  const limit = createTimeLimit(backgroundMs, () => end(lookupAbort.outOfTime(backgroundMs)));
  let waiting = 0;
  let since: number | undefined;
  const fly = async (): Promise<T> => {
    const release = await slot.entered.catch(() => undefined);
    if (release === undefined) return notBegun(signal);
    since = performance.now();
    try {
      // It may have been ended before its turn came.
      return signal.aborted ? notBegun(signal) : await work({ signal, meter });
    } finally {
      release();
    }
  };
  const result = fly().finally(() => {
    limit.stop();
    landed();
  });
  return {
    result,
    meter,
    slot,
    isDoubtful,
    end,
    leave: limit.start,
    ran: () => (since === undefined || signal.aborted ? undefined : performance.now() - since),
    isAbandoned: () => waiting === 0 && (slot.isWaiting() || limit.isLong()),
    async wait(deadline) {
      waiting += 1;
      const answer = await beforeAbort(result, deadline);
      waiting -= 1;
      if (answer === undefined) limit.start();
      return answer;
    },
  };
}

interface TimeLimit {
  /** Only the first call counts: later waiters must not keep a look-up alive for ever. */
  readonly start: () => void;
  readonly stop: () => void;
  /** Reports whether a sixth of the time is over: then the flight may have to give way to others. */
  readonly isLong: () => boolean;
}

function createTimeLimit(milliseconds: number, onEnd: () => void): TimeLimit {
  let started: { readonly at: number; readonly timer: NodeJS.Timeout } | undefined;
  let stopped = false;
  return {
    start() {
      if (stopped) return;
      started ??= { at: performance.now(), timer: setTimeout(onEnd, milliseconds).unref() };
    },
    stop() {
      stopped = true;
      clearTimeout(started?.timer);
    },
    isLong: () => started !== undefined && performance.now() - started.at >= milliseconds / 6,
  };
}
