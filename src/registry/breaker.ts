export type BreakerState = 'closed' | 'open' | 'half-open';

/** What became of a request that a breaker let through. `unknown`: it was given up before the host could fail. */
export type Outcome = 'success' | 'failure' | 'unknown';

/** Keeps requests away from a host that keeps failing. */
export interface Breaker {
  /** Lets a request through, to be followed by exactly one call of the function returned; or milliseconds left to wait. */
  enter(): ((outcome: Outcome) => void) | number;
}

/**
 * Opens after `failures` in a row, lets one request through `openMs` later, and closes when that one succeeds.
 * `monotonic` gives milliseconds.
 */
export function createBreaker(options: {
  readonly failures: number;
  readonly openMs: number;
  readonly monotonic: () => number;
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
      reopensAt = options.monotonic() + options.openMs;
      become('open');
    }
  };
  return {
    enter() {
      if (state === 'closed') return settle(false);
      const left = reopensAt - options.monotonic();
      if (left > 0) return left;
      if (probing) return options.openMs;
      probing = true;
      become('half-open');
      return settle(true);
    },
  };
}
