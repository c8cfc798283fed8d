import { beforeAbort } from '../util/abort.ts';
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
  /** Returns the flight of this key, or a new one; undefined if there are too many already, or after `close`. `work` must not reject. */
  join(key: string, work: (context: LookupContext) => Promise<T>): Flight<T> | undefined;
  count(): number;
  /** Aborts all flights and waits until they have ended. */
  close(): Promise<void>;
}

interface FlightsOptions<T> {
  readonly slots: Slots;
  /** Milliseconds for which a flight may go on after its first waiter has left. */
  readonly backgroundMs: number;
  /** Returns the result of a flight that was aborted while it waited for a slot. */
  readonly notBegun: (signal: AbortSignal) => T;
}

interface OwnFlight<T> extends Flight<T> {
  /** Ends the flight if nobody waits for it and it is `queued`, or has been `running` for long. */
  giveWay(phase: 'queued' | 'running'): boolean;
  end(reason: unknown): void;
}

/** Runs one flight per key at a time, however many requests wait for it. */
export function createFlights<T>(options: FlightsOptions<T>): Flights<T> {
  const flights = new Map<string, OwnFlight<T>>();
  let isClosed = false;
  return {
    join(key, work) {
      if (isClosed) return undefined;
      const known = flights.get(key);
      if (known !== undefined) return known;
      makeRoom(options.slots, flights);
      const flight = startFlight(options, work, () => flights.delete(key));
      if (flight !== undefined) flights.set(key, flight);
      return flight;
    },
    count: () => flights.size,
    async close() {
      isClosed = true;
      const all = [...flights.values()];
      for (const flight of all) flight.end(lookupAbort.closing());
      await Promise.all(all.map(({ result }) => result));
    },
  };
}

/** Ends flights that nobody waits for, oldest first. Otherwise a few Pods with hosts that hang would take all slots. */
function makeRoom<T>(slots: Slots, flights: ReadonlyMap<string, OwnFlight<T>>): void {
  if (slots.free() > 0) return;
  flights.values().some((flight) => flight.giveWay('running'));
  if (slots.isFull()) flights.values().some((flight) => flight.giveWay('queued'));
}

function startFlight<T>(
  { slots, backgroundMs, notBegun }: FlightsOptions<T>,
  work: (context: LookupContext) => Promise<T>,
  landed: () => void,
): OwnFlight<T> | undefined {
  const controller = new AbortController();
  const { signal } = controller;
  const slot = slots.enter(signal);
  if (slot === undefined) return undefined;
  const meter: Meter = { requests: 0, bytes: 0 };
  const end = (reason: unknown): void => controller.abort(reason);
  const limit = createTimeLimit(backgroundMs, () => end(lookupAbort.outOfTime(backgroundMs)));
  let waiting = 0;
  let runs = false;
  const fly = async (): Promise<T> => {
    const release = await slot.catch(() => undefined);
    if (release === undefined) return notBegun(signal);
    runs = true;
    try {
      return await work({ signal, meter });
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
    end,
    leave: limit.start,
    giveWay(phase) {
      const mayGo = phase === 'queued' ? !runs : runs && limit.isLong();
      if (!mayGo || waiting > 0 || signal.aborted) return false;
      end(lookupAbort.gaveWay());
      return true;
    },
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

/** Gives a slot back. Later calls do nothing. */
type Release = () => void;

/**
 * Bounds how much runs at once; the rest waits in a bounded stack. The newest enters first: its Pod has the most time left,
 * while the Pods of the oldest have mostly been answered already.
 */
export interface Slots {
  /** Resolves when a slot is free, rejects with the signal's reason. Undefined if too many wait already. */
  enter(signal: AbortSignal): Promise<Release> | undefined;
  /** Returns how many could enter without waiting. */
  free(): number;
  waiting(): number;
  /** Reports whether no slot is free and no more may wait. */
  isFull(): boolean;
}

export function createSlots(concurrency: number, mostWaiting: number): Slots {
  const stack: (() => void)[] = [];
  let taken = 0;
  const take = (): Release => {
    let held = true;
    taken += 1;
    return () => {
      if (!held) return;
      held = false;
      taken -= 1;
      stack.pop()?.();
    };
  };
  const wait = (signal: AbortSignal): Promise<Release> =>
    new Promise((resolve, reject) => {
      const enter = (): void => {
        signal.removeEventListener('abort', abandon);
        resolve(take());
      };
      const abandon = (): void => {
        stack.splice(stack.indexOf(enter), 1);
        reject(signal.reason as Error);
      };
      stack.push(enter);
      signal.addEventListener('abort', abandon, { once: true });
    });
  const free = (): number => concurrency - taken;
  const isFull = (): boolean => free() === 0 && stack.length >= mostWaiting;
  return {
    enter(signal) {
      if (free() > 0) return Promise.resolve(take());
      return isFull() ? undefined : wait(signal);
    },
    free,
    isFull,
    waiting: () => stack.length,
  };
}
