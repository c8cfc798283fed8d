/** The time that the parts are handed: milliseconds since 1970, and milliseconds that never go back. */
export const systemClock = { now: () => Date.now(), monotonic: () => performance.now() } as const;
