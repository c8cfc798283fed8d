import type { Cluster } from './cluster/cluster.ts';

/** What was seen, and a table of it in Markdown for a part of docs/e2e.md of its own. */
interface Seen {
  readonly seen: string;
  readonly table?: string;
}

/** Something that users do, and what they may expect of it. Scenarios run one after the other on one cluster. */
export interface Scenario {
  /** For the command line: `npm run e2e -- install`. */
  readonly id: string;
  readonly name: string;
  /** Returns why it cannot run here; undefined if it can. */
  readonly whyNot?: () => string | undefined;
  /** Resolves to what was seen. Rejects if it is not what was to be expected. */
  readonly run: (cluster: Cluster) => Promise<string | Seen>;
}

export interface Result extends Seen {
  readonly id: string;
  readonly name: string;
  readonly ok: boolean;
  readonly ms: number;
  /** What it saw the first time, if it was tried once more. */
  readonly first?: string;
}

/** Throws an error with what was seen if `kept` is false. */
export function expectThat(kept: boolean, seen: string): void {
  if (!kept) throw new Error(seen);
}
