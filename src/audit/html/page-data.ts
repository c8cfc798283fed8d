/**
 * What the page's script is handed: tables as plain text, already cut and made visible (`shown.ts`). The script knows nothing of
 * clusters; all words are chosen where the report is turned into this.
 */
export interface PageData {
  readonly tables: readonly PageTable[];
}

export interface PageTable {
  /** The id of the element that the table is put into. */
  readonly id: string;
  /** One row, several rows: `workload`, `workloads`. */
  readonly noun: readonly [string, string];
  readonly columns: readonly PageColumn[];
  readonly rows: readonly PageRow[];
}

interface PageColumn {
  readonly label: string;
  readonly kind: 'text' | 'number' | 'tags';
  /** Whether a choice of this column's values stands beside the search field. */
  readonly choice?: true;
}

export interface PageRow {
  /** In the order of the columns. */
  readonly cells: readonly PageCell[];
  /** Shown when the row is opened. */
  readonly details: readonly PageDetail[];
}

export type PageCell = string | number | readonly Tag[];

export interface Tag {
  readonly text: string;
  readonly tone: Tone;
}

export type Tone = 'glibc' | 'musl' | 'go' | 'other' | 'unknown' | 'good' | 'notice' | 'bad' | 'quiet';

export interface PageDetail {
  readonly term: string;
  readonly text: string;
  /** `plain`: to copy as it is. `diff`: lines that begin with `+` come, those with `-` go. */
  readonly code?: 'plain' | 'diff';
}
