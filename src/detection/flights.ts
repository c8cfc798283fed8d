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

export interface Flights<T> {
  /**
   * Returns the flight of this key, or a new one; undefined if there are too many already, or after `close`. `work` must not
   * reject. `tenant`: for whom; a flight that several tenants have joined counts for the one with the fewest.
   */
  join(key: string, work: (context: LookupContext) => Promise<T>, tenant?: Tenant): Flight<T> | undefined;
  count(): number;
  /** Aborts all flights and waits until they have ended. */
  close(): Promise<void>;
}

interface FlightsOptions<T> {
  readonly slots: FairSlots;
  /** Milliseconds for which a flight may go on after its first waiter has left. */
  readonly backgroundMs: number;
  /** Returns the result of a flight that was aborted while it waited for a slot. */
  readonly notBegun: (signal: AbortSignal) => T;
}

interface OwnFlight<T> extends Flight<T> {
  readonly slot: Slot;
  /** Milliseconds since it entered its slot; undefined while it waits for one, and once it was ended. */
  ran(): number | undefined;
  /** Reports whether nobody waits for it: of a flight that runs, not for a sixth of its time already. */
  isAbandoned(): boolean;
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
    const turn = slots.next();
    if (turn === undefined) return;
    makeRoom(options, flights, turn.tenant);
    timer = setTimeout(look, LOOK_MS).unref();
  };
  return {
    join(key, work, tenant) {
      if (isClosed) return undefined;
      const known = flights.get(key);
      if (known !== undefined) {
        known.slot.share(tenant);
        return known;
      }
      if (!slots.hasRoom(tenant)) {
        makeRoom(options, flights, tenant);
        if (slots.isFull()) endQueued(flights, tenant);
      }
      const flight = startFlight({ options, work, tenant, landed: () => flights.delete(key) });
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

/**
 * Ends one flight that has to give way to `tenant`, of the tenant with the most slots first, oldest first. Otherwise a few
 * Pods with hosts that hang would take all slots.
 */
function makeRoom<T>(
  { slots, backgroundMs }: FlightsOptions<T>,
  flights: ReadonlyMap<string, OwnFlight<T>>,
  tenant: Tenant,
): void {
  const mayGo = (flight: OwnFlight<T>): boolean => {
    const ran = flight.ran();
    const owner = flight.slot.tenant();
    if (ran === undefined) return false;
    if (owner === tenant) return flight.isAbandoned();
    // A slot that moves must not have to move back.
    const more = slots.held(owner) - slots.held(tenant);
    return (more > 1 && ran >= backgroundMs / 20) || (more > 0 && ran >= backgroundMs / 6);
  };
  const going = flights.values().toArray().filter(mayGo);
  const [flight] = going.toSorted((a, b) => slots.held(b.slot.tenant()) - slots.held(a.slot.tenant()));
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
  readonly landed: () => void;
}

function startFlight<T>({ options, work, tenant, landed }: FlightStart<T>): OwnFlight<T> | undefined {
  const { slots, backgroundMs, notBegun } = options;
  const controller = new AbortController();
  const { signal } = controller;
  const slot = slots.enter(tenant, signal);
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
