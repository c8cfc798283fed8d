import type { World } from './support/world.ts';

/** Something that goes wrong, what is promised for it, and how it is tried. */
export interface Fault {
  /** For the command line: `npm run faults -- kill-mid-request`. */
  readonly id: string;
  readonly name: string;
  readonly promise: string;
  /** Tests that try it in more depth, or by other means. */
  readonly alsoIn?: string;
  /** It needs most of its time for waiting: tried beside others that do. */
  readonly waits?: true;
  /** Left out by `--quick`. */
  readonly long?: true;
  /**
   * Resolves to what was seen. Rejects with `NotTried` where this machine cannot, with anything else where the promise is
   * not kept.
   */
  readonly run: (world: World) => Promise<string>;
}

/** Throws what was seen instead, where `kept` is false. */
export function keep(kept: boolean, seen: string): void {
  if (!kept) throw new Error(seen);
}
