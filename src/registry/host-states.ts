import { LRUCache } from 'lru-cache';

import { ImageSourceError } from '../detection/image-source.ts';
import { type Breaker, type BreakerState, createBreaker, type Outcome } from './breaker.ts';
import { createGate, type Gate } from './gate.ts';
import type { Clock, RegistryLimits } from './limits.ts';
import { sleep } from './retry-after.ts';

/** A host's permission for one request. */
export interface Pass {
  /** Ends the request; later calls do nothing. */
  readonly end: (outcome: Outcome) => void;
}

/** What is remembered of each host: who waits, how often it failed, until when it wants to be left alone. */
export interface HostStates {
  /** Waits for a place. Rejects with `rate-limited` or `unavailable` where the host is left alone, or with the signal's reason. */
  enter(host: string, owner: object, signal: AbortSignal): Promise<Pass>;
  /** Leaves a host alone for a time in milliseconds. */
  block(host: string, ms: number): void;
}

interface HostState {
  readonly gate: Gate;
  readonly breaker: Breaker;
  /** On the monotonic clock. */
  blockedUntil: number;
}

export interface HostStatesOptions {
  readonly concurrency: number;
  readonly limits: RegistryLimits;
  readonly clock: Clock;
  readonly onBreaker?: (event: { readonly host: string; readonly state: BreakerState }) => void;
}

/** Remembers at most `limits.hosts` hosts: whoever creates Pods chooses their names. */
export function createHostStates({ concurrency, limits, clock, onBreaker }: HostStatesOptions): HostStates {
  const states = new LRUCache<string, HostState>({ max: limits.hosts });
  const monotonic = (): number => clock.monotonic();
  const stateOf = (host: string): HostState => {
    const known = states.get(host);
    if (known !== undefined) return known;
    const breaker = createBreaker({
      failures: limits.breakerFailures,
      openMs: limits.breakerOpenMs,
      monotonic,
      onChange: (state) => onBreaker?.({ host, state }),
    });
    const state = { gate: createGate(concurrency, limits.queue), breaker, blockedUntil: 0 };
    states.set(host, state);
    return state;
  };
  return {
    async enter(host, owner, signal) {
      const state = stateOf(host);
      await waitForBlock(host, state.blockedUntil - monotonic(), limits, signal);
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
      state.blockedUntil = Math.max(state.blockedUntil, monotonic() + ms);
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
