import type { Peer } from './peer.ts';
import type { PartResult } from './report.ts';
import type { Keys } from './servers.ts';

/** The input of each part of the benchmark. */
export interface Bench {
  readonly keys: Keys;
  /** Path of our bundle. */
  readonly main: string;
  readonly rounds: number;
  /** Length of each measurement. */
  readonly seconds: number;
  /** Other webhooks, for the parts that compare with them. */
  readonly peers: readonly Peer[];
  /** Shows the progress on a terminal. */
  readonly progress: (text: string) => void;
}

/** Measures one thing. Resolves to undefined, after a warning, if this machine lacks what it needs. */
export type Part = (bench: Bench) => Promise<PartResult | undefined>;
