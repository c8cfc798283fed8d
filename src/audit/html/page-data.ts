/**
 * The input of the page's script: tables of plain text, already shortened and made printable (`text.ts`). The script knows
 * nothing of clusters; tables.ts chooses all words.
 */
export interface PageData {
  readonly tables: readonly PageTable[];
}

export interface PageTable {
  /** The id of the element that the table replaces. */
  readonly id: string;
  /** Singular and plural of what a row is: `workload`, `workloads`. */
  readonly noun: readonly [string, string];
  readonly columns: readonly PageColumn[];
  readonly rows: readonly PageRow[];
}

interface PageColumn {
  readonly label: string;
  readonly kind: 'text' | 'number' | 'tags';
  /** Whether the toolbar offers this column's values as a filter. */
  readonly choice?: true;
}

export interface PageRow {
  /** In the order of the columns. */
  readonly cells: readonly PageCell[];
  /** Shown while the row is open. */
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
  /** `plain`: text to copy. `diff`: lines with `+` are added, lines with `-` removed. `instruction`: words and commands to copy. */
  readonly code?: 'plain' | 'diff' | 'instruction';
}
