import { isMap, isScalar, isSeq, type Document, type Node, type Pair } from 'yaml';

/** Replaces `[start, end)` of a text. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** How deep the collection lies that grows: of insertions at one place the deepest comes first. */
  readonly depth: number;
}

export type Path = readonly (string | number)[];

/** A value that is to be set, or items that are to be added around a list's own. */
export type Change = { readonly kind: 'set'; readonly path: Path } | ListChange;

export interface ListChange {
  readonly kind: 'list';
  readonly path: Path;
  readonly before: readonly unknown[];
  readonly behind: readonly unknown[];
}

/** What is edited: the text, the document parsed from it, and the document's value with all changes made. */
export interface Target {
  readonly document: Document;
  readonly text: string;
  readonly after: unknown;
}

type Ranged = Node & { readonly range: [number, number, number] };

export const hasRange = (node: unknown): node is Ranged =>
  typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range);

export const keyOf = (pair: Pair): unknown => (isScalar(pair.key) ? pair.key.value : undefined);

export const valueAt = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>((node, key) => (node as Record<string | number, unknown> | undefined)?.[key], value);

function lastChild(node: unknown): unknown {
  if (isMap(node) && !node.flow) return node.items.at(-1)?.value;
  return isSeq(node) && !node.flow ? node.items.at(-1) : undefined;
}

/** Where the last thing in a node ends, comments behind it not counted. */
export function endOf(node: unknown): number | undefined {
  const last = lastChild(node);
  const inner = last === undefined || last === null ? undefined : endOf(last);
  return inner ?? (hasRange(node) ? node.range[1] : undefined);
}
