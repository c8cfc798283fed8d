import type { IncomingHttpHeaders } from 'node:http';

/** Bytes of bodies that are read or answered at once: nine of the largest, or 20,000 ordinary Pods. */
const MOST_BYTES = 64 * 1024 * 1024;

/** How many bytes of bodies may be under way: whoever reaches the port could else fill the memory with bodies that never end. */
export interface BodyBudget {
  /** The bytes that a request is counted with, by its headers; undefined where there is no room for them. */
  take(headers: IncomingHttpHeaders): number | undefined;
  give(bytes: number): void;
}

/** `largest`: of one body, which is what a body of unknown length counts. */
export function createBodyBudget(largest: number): BodyBudget {
  let taken = 0;
  return {
    take(headers) {
      const announced = headers['transfer-encoding'] === undefined ? Number(headers['content-length'] ?? 0) : largest;
      const bytes = Math.min(largest, announced);
      if (taken + bytes > MOST_BYTES) return undefined;
      taken += bytes;
      return bytes;
    },
    give(bytes) {
      taken -= bytes;
    },
  };
}
