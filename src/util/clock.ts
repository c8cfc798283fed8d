/** Time, handed in so that tests can turn it. */
export interface Clock {
  /** Milliseconds since 1970. It jumps: people and NTP set it, machines are suspended. */
  now(): number;
  /** Milliseconds from an arbitrary start. It never goes back: waits are measured with it. */
  monotonic(): number;
}

export const systemClock = { now: () => Date.now(), monotonic: () => performance.now() } as const satisfies Clock;
