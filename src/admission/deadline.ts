import { parseDuration } from '../config/duration.ts';

/** Kept back for the way to the API server and for the answer itself: a quarter, at most half a second. */
const margin = (timeout: number): number => Math.min(500, timeout / 4);

/**
 * Milliseconds a look-up may take: the configured budget, or less where the API server's own deadline, which it puts
 * into the URL (`/mutate?timeout=5s`), leaves less. `elapsed`: milliseconds since the request came in.
 */
export function lookupBudget(configured: number, query: unknown, elapsed: number): number {
  const text = typeof query === 'object' && query !== null && 'timeout' in query ? query.timeout : undefined;
  const timeout = typeof text === 'string' ? parseDuration(text) : undefined;
  const allowed = timeout === undefined ? configured : Math.min(configured, timeout - margin(timeout));
  return Math.max(0, allowed - elapsed);
}
