import type { PartResult } from './report.ts';
import type { Keys } from './servers.ts';

/** What each part of the benchmark is handed. */
export interface Bench {
  readonly keys: Keys;
  /** Our bundle. */
  readonly main: string;
  /** How many rounds, and how long each measurement in seconds. */
  readonly rounds: number;
  readonly seconds: number;
  /** Another webhook to compare with, and its path. */
  readonly peer?: { readonly command: string; readonly path: string };
  /** Says how far it is. */
  readonly progress: (text: string) => void;
}

/** Measures one thing. Undefined: what it needs is not on this machine, which it has said. */
export type Part = (bench: Bench) => Promise<PartResult | undefined>;
