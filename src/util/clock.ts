/** The time that the parts are handed: milliseconds since 1970, and milliseconds that never go back. */
export const systemClock = { now: () => Date.now(), monotonic: () => performance.now() } as const;

/** Time, handed in. */
export interface Clock {
  /** Milliseconds since the epoch. It jumps: people and NTP set it, machines are suspended. */
  now(): number;
  /** Milliseconds from any start. It never jumps: what waits are measured with. */
  monotonic(): number;
}
