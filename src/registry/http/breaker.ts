import type { Clock } from '../../util/clock.ts';

export type BreakerState = 'closed' | 'open' | 'half-open';

/** What a request says about the party that a breaker watches. `unknown`: nothing. */
export type Verdict = 'success' | 'failure' | 'unknown';

/** Called once with what the request has shown, and who has seen it: `witnesses` counts different ones. */
type Settle = (verdict: Verdict, witness?: string) => void;

/** A circuit breaker. */
export interface Breaker {
  /** Lets a request through and returns the function to call with its outcome; else returns the milliseconds to wait. */
  enter(): Settle | number;
}

interface BreakerOptions {
  /** Failures in a row that open it. */
  readonly failures: number;
  /** Different witnesses that these failures need. Default 1. */
  readonly witnesses?: number;
  readonly openMs: number;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly onChange?: (state: BreakerState) => void;
}

/** Returns a breaker that lets one request through `openMs` after it opened, and closes if that one succeeds. */
export function createBreaker({ failures, witnesses = 1, openMs, clock, onChange }: BreakerOptions): Breaker {
  const seenBy = new Set<string>();
  let state: BreakerState = 'closed';
  let count = 0;
  let reopensAt = 0;
  let probing = false;
  const become = (next: BreakerState): void => {
    if (state === next) return;
    state = next;
    onChange?.(next);
  };
  const settle =
    (probe: boolean): Settle =>
    (verdict, witness = '') => {
      if (probe) probing = false;
      if (verdict === 'unknown') return;
      if (verdict === 'success') {
        count = 0;
        seenBy.clear();
        become('closed');
        return;
      }
      count += 1;
      if (seenBy.size < witnesses) seenBy.add(witness);
      if (!probe && (count < failures || seenBy.size < witnesses)) return;
      reopensAt = clock.monotonic() + openMs;
      become('open');
    };
  return {
    enter() {
      if (state === 'closed') return settle(false);
      const left = reopensAt - clock.monotonic();
      if (left > 0) return left;
      if (probing) return openMs;
      probing = true;
      become('half-open');
      return settle(true);
    },
  };
}
