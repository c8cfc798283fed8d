import type { World } from './support/world.ts';

/** A fault, what the product promises in that case, and how the fault is tried. */
export interface Fault {
  /** For the command line: `npm run faults -- kill-mid-request`. */
  readonly id: string;
  readonly name: string;
  readonly promise: string;
  /** Other tests of the same fault. */
  readonly alsoIn?: string;
  /** Whether it mostly waits: such faults are tried concurrently. */
  readonly waits?: true;
  /** Skipped by `--quick`. */
  readonly long?: true;
  /** Resolves to what was seen. Rejects with `NotTried` if this machine cannot try it, else if the promise is broken. */
  readonly run: (world: World) => Promise<string>;
}

/** Throws an error with what was seen if `kept` is false. */
export function keep(kept: boolean, seen: string): void {
  if (!kept) throw new Error(seen);
}
