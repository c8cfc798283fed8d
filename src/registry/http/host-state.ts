import { LRUCache } from 'lru-cache';

import { ImageSourceError } from '../../detection/image-source.ts';
import { sleep } from '../../util/abort.ts';
import type { Clock } from '../../util/clock.ts';
import type { RegistryLimits } from './limits.ts';

/** A host's permission for one request. */
export interface Pass {
  /** Ends the request; later calls do nothing. */
  readonly end: (outcome: Outcome) => void;
}

/** The state of each host: its queue, its breaker, and until when it is blocked. */
export interface HostStates {
  /**
   * Waits for a place. Rejects with `rate-limited` or `unavailable` if the host must not be called now, or with the
   * signal's reason.
   */
  enter(host: string, owner: object, signal: AbortSignal): Promise<Pass>;
  /** Blocks a host for `ms` milliseconds. */
  block(host: string, ms: number): void;
}

interface HostState {
  readonly gate: Gate;
  readonly breaker: Breaker;
  /** On the monotonic clock. */
  blockedUntil: number;
}

interface HostStatesOptions {
  readonly concurrency: number;
  readonly limits: RegistryLimits;
  readonly clock: Clock;
  readonly onBreaker?: (event: { readonly host: string; readonly state: BreakerState }) => void;
}

/** Keeps the state of at most `limits.hosts` hosts, because Pods can name any number of them. */
export function createHostStates({ concurrency, limits, clock, onBreaker }: HostStatesOptions): HostStates {
  const states = new LRUCache<string, HostState>({ max: limits.hosts });
  const stateOf = (host: string): HostState => {
    const known = states.get(host);
    if (known !== undefined) return known;
    const breaker = createBreaker({
      failures: limits.breakerFailures,
      openMs: limits.breakerOpenMs,
      clock,
      onChange: (state) => onBreaker?.({ host, state }),
    });
    const state = { gate: createGate(concurrency, limits.queue), breaker, blockedUntil: 0 };
    states.set(host, state);
    return state;
  };
  return {
    async enter(host, owner, signal) {
      const state = stateOf(host);
      await waitForBlock(host, state.blockedUntil - clock.monotonic(), limits, signal);
      const leave = await state.gate.enter(owner, signal);
      if (leave === undefined) {
        throw new ImageSourceError('unavailable', `${host}: more than ${limits.queue} requests wait for it already`);
      }
      const settle = state.breaker.enter();
      if (typeof settle === 'function') return passOf(settle, leave);
      leave();
      const message = `${host} failed ${limits.breakerFailures} times in a row and is left alone`;
      throw new ImageSourceError('unavailable', `${message} for another ${seconds(settle)}`);
    },
    block(host, ms) {
      const state = stateOf(host);
      state.blockedUntil = Math.max(state.blockedUntil, clock.monotonic() + ms);
    },
  };
}

async function waitForBlock(host: string, left: number, limits: RegistryLimits, signal: AbortSignal): Promise<void> {
  if (left > limits.retryAfterMs) {
    const message = `${host} asked to be left alone for another ${seconds(left)} (429 Too Many Requests)`;
    throw new ImageSourceError('rate-limited', `${message}: log in to it, or set up a mirror`);
  }
  if (left > 0) await sleep(left, signal);
}

function passOf(settle: (outcome: Outcome) => void, leave: () => void): Pass {
  let ended = false;
  return {
    end(outcome) {
      if (ended) return;
      ended = true;
      settle(outcome);
      leave();
    },
  };
}

function seconds(ms: number): string {
  return `${Math.ceil(ms / 1000)} s`;
}

/** Bounds the number of owners that call one host at a time. */
interface Gate {
  /**
   * Waits for a place and returns the function that gives it back; undefined if too many wait already. An owner that
   * holds a place gets another at once: a look-up that reads one layer and requests the next must not wait for itself.
   * Rejects with the signal's reason.
   */
  enter(owner: object, signal: AbortSignal): Promise<(() => void) | undefined>;
}

interface Waiter {
  readonly owner: object;
  readonly admit: () => void;
}

/** Returns a gate for `places` owners, with at most `queue` waiting in the order of their arrival. */
export function createGate(places: number, queue: number): Gate {
  const held = new Map<object, number>();
  const waiting = new Set<Waiter>();
  const take = (owner: object): (() => void) => {
    held.set(owner, (held.get(owner) ?? 0) + 1);
    let given = false;
    return () => {
      if (given) return;
      given = true;
      const left = (held.get(owner) ?? 1) - 1;
      if (left > 0) held.set(owner, left);
      else held.delete(owner);
      admitNext();
    };
  };
  const admitNext = (): void => {
    for (const waiter of waiting) {
      if (held.size >= places && !held.has(waiter.owner)) return;
      waiting.delete(waiter);
      waiter.admit();
    }
  };
  return {
    enter(owner, signal) {
      if (signal.aborted) return Promise.reject(signal.reason as Error);
      if (held.has(owner) || held.size < places) return Promise.resolve(take(owner));
      if (waiting.size >= queue) return Promise.resolve(undefined);
      return new Promise((resolve, reject) => {
        const onAbort = (): void => {
          waiting.delete(waiter);
          reject(signal.reason as Error);
        };
        const waiter: Waiter = {
          owner,
          admit() {
            signal.removeEventListener('abort', onAbort);
            resolve(take(owner));
          },
        };
        waiting.add(waiter);
        signal.addEventListener('abort', onAbort, { once: true });
      });
    },
  };
}

export type BreakerState = 'closed' | 'open' | 'half-open';

/** How a request ended. `unknown`: its caller gave up before the host could fail. */
export type Outcome = 'success' | 'failure' | 'unknown';

/** A circuit breaker for one host. */
interface Breaker {
  /**
   * Lets a request through and returns the function to call once with its outcome; else returns the milliseconds to
   * wait.
   */
  enter(): ((outcome: Outcome) => void) | number;
}

/**
 * Returns a breaker that opens after `failures` in a row, lets one request through `openMs` later and closes if that
 * one succeeds.
 */
export function createBreaker(options: {
  readonly failures: number;
  readonly openMs: number;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly onChange?: (state: BreakerState) => void;
}): Breaker {
  let state: BreakerState = 'closed';
  let count = 0;
  let reopensAt = 0;
  let probing = false;
  const become = (next: BreakerState): void => {
    if (state === next) return;
    state = next;
    options.onChange?.(next);
  };
  const settle = (probe: boolean) => (outcome: Outcome) => {
    if (probe) probing = false;
    if (outcome === 'unknown') return;
    count = outcome === 'success' ? 0 : count + 1;
    if (outcome === 'success') become('closed');
    if (outcome === 'failure' && (probe || count >= options.failures)) {
      reopensAt = options.clock.monotonic() + options.openMs;
      become('open');
    }
  };
  return {
    enter() {
      if (state === 'closed') return settle(false);
      const left = reopensAt - options.clock.monotonic();
      if (left > 0) return left;
      if (probing) return options.openMs;
      probing = true;
      become('half-open');
      return settle(true);
    },
  };
}

/**
 * Returns the milliseconds of a `Retry-After` header, which holds seconds or a date (RFC 9110 section 10.2.3): at most
 * `longest`, `fallback` if the header is missing or invalid. `now` is milliseconds since 1970.
 */
export function retryAfterMs(
  header: string | undefined,
  options: { readonly now: number; readonly fallback: number; readonly longest: number },
): number {
  const text = header?.trim() ?? '';
  const asked = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : dateIn(text, options.now);
  return Math.min(Math.max(asked ?? options.fallback, 0), options.longest);
}

function dateIn(text: string, now: number): number | undefined {
  // Date.parse reads a bare number as a year; every HTTP date begins with the name of a day.
  const at = /^[A-Z][a-z]+,? /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : at - now;
}
