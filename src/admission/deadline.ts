import { parseDuration } from '../config/options.ts';

/** Kept back for the way to the API server and for the answer itself: a quarter, at most half a second. */
const margin = (timeout: number): number => Math.min(500, timeout / 4);

/** Milliseconds a look-up may take. `elapsed`: milliseconds since the request came in. */
export type LookupBudget = (query: unknown, elapsed: number) => number;

/**
 * The configured budget (milliseconds), or less where the API server's own deadline, which it puts into the URL
 * (`/mutate?timeout=5s`), leaves less.
 */
export function createLookupBudget(configured: number): LookupBudget {
  const allowedBy = (text: unknown): number => {
    const timeout = typeof text === 'string' ? parseDuration(text) : undefined;
    return timeout === undefined ? configured : Math.min(configured, timeout - margin(timeout));
  };
  // An API server says the same each time.
  let last: { readonly text: unknown; readonly allowed: number } = { text: undefined, allowed: configured };
  return (query, elapsed) => {
    const text = typeof query === 'object' && query !== null && 'timeout' in query ? query.timeout : undefined;
    if (text !== last.text) last = { text, allowed: allowedBy(text) };
    return Math.max(0, last.allowed - elapsed);
  };
}
