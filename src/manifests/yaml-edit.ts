import { Document, isMap, isScalar, isSeq, type Node, type Pair, type YAMLMap, type YAMLSeq } from 'yaml';

/** Replaces `[start, end)` of a text. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** Nesting depth of the collection that grows: orders insertions at one place. */
  readonly depth: number;
}

export type Path = readonly (string | number)[];

/** Sets a value, or adds items around a list's own. */
export type Change = { readonly kind: 'set'; readonly path: Path } | ListChange;

interface ListChange {
  readonly kind: 'list';
  readonly path: Path;
  readonly before: readonly unknown[];
  readonly behind: readonly unknown[];
}

interface Target {
  readonly text: string;
  /** Parsed from the text. */
  readonly document: Document;
  /** The document's value after all changes. */
  readonly after: unknown;
}

/**
 * Returns the text edits that make `changes` in a document and keep every other byte; undefined if the text is too
 * unusual for that (a comment inside a replaced value, an alias on the way): write the document anew then.
 */
export function editsFor(target: Target, changes: readonly Change[]): Edit[] | undefined {
  const edits = changes.map((change) => editsForOne(target, change));
  return edits.includes(undefined) ? undefined : edits.flatMap((edit) => edit ?? []);
}

function editsForOne(target: Target, change: Change): Edit[] | undefined {
  if (change.kind === 'list') {
    const list: unknown = target.document.getIn(change.path, true);
    if (!isSeq(list)) return undefined;
    return list.flow ? insertFlowItems(list, change) : insertItems(list, change, target);
  }
  const edit = setEdit(target, change.path);
  return edit === undefined ? undefined : [edit];
}

function setEdit(target: Target, path: Path): Edit | undefined {
  const above = path.slice(0, -1);
  const map: unknown = above.length === 0 ? target.document.contents : target.document.getIn(above, true);
  if (!isMap(map)) return undefined;
  const pair = map.items.find((item) => keyOf(item) === path.at(-1));
  if (pair === undefined) return map.flow ? insertFlowKey(map, path, target) : insertKey(map, path, target);
  return map.flow ? replaceFlowValue(pair, path, target) : replacePair(pair, path, target);
}

/** Applies edits that do not overlap. Of insertions at one place the deepest collection's comes first. */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  let result = '';
  let from = 0;
  for (const edit of edits.toSorted((a, b) => a.start - b.start || b.depth - a.depth)) {
    result += text.slice(from, edit.start) + edit.text;
    from = edit.end;
  }
  return result + text.slice(from);
}

/** Adds a key at the end of a block mapping. */
function insertKey(map: YAMLMap, path: Path, { text, after }: Target): Edit | undefined {
  const first = map.items[0]?.key;
  const end = endOf(map);
  if (!hasRange(first) || end === undefined) return undefined;
  const indent = first.range[0] - lineStart(text, first.range[0]);
  const lines = ' '.repeat(indent) + render({ [String(path.at(-1))]: valueAt(after, path) }, indent, text);
  return insertLines(text, nextLine(text, end), lines, path.length - 1);
}

/** Writes a pair of a block mapping anew; undefined if that would lose a comment. */
function replacePair(pair: Pair, path: Path, { text, after }: Target): Edit | undefined {
  if (!hasRange(pair.key) || !hasRange(pair.value)) return undefined;
  const [start, end] = [pair.key.range[0], endOf(pair.value) ?? pair.value.range[1]];
  if (text.slice(start, end).includes('#')) return undefined;
  const body = render({ [String(path.at(-1))]: valueAt(after, path) }, start - lineStart(text, start), text);
  return { start, end, text: text[end - 1] === '\n' ? body + newlineOf(text) : body, depth: path.length - 1 };
}

/** Adds items before and after those of a block list; undefined if the first item does not start its line. */
function insertItems(list: YAMLSeq, change: ListChange, { text }: Target): Edit[] | undefined {
  const first = list.items[0];
  const end = endOf(list);
  if (!hasRange(first) || end === undefined) return undefined;
  const dash = text.lastIndexOf('-', first.range[0] - 1);
  const start = lineStart(text, first.range[0]);
  if (dash < start || text.slice(start, dash).trim() !== '') return undefined;
  const insert = (values: readonly unknown[], at: number): Edit[] => {
    const lines = ' '.repeat(dash - start) + render(values, dash - start, text);
    return values.length === 0 ? [] : [insertLines(text, at, lines, change.path.length)];
  };
  return [...insert(change.before, start), ...insert(change.behind, nextLine(text, end))];
}

/** Adds a key at the end of a flow mapping (`{a: 1}`). */
function insertFlowKey(map: YAMLMap, path: Path, { after }: Target): Edit | undefined {
  const text = pairText(map, path, valueAt(after, path));
  const depth = path.length - 1;
  if (map.items.length === 0) {
    const start = hasRange(map) ? map.range[0] + 1 : undefined;
    return start === undefined ? undefined : { start, end: start, text, depth };
  }
  const start = endOfLast(map.items.map((pair) => pair.value ?? pair.key));
  return start === undefined ? undefined : { start, end: start, text: `, ${text}`, depth };
}

/** Writes the value of a pair of a flow mapping anew; undefined if that would lose a comment. */
function replaceFlowValue(pair: Pair, path: Path, { text, after }: Target): Edit | undefined {
  if (!hasRange(pair.value)) return undefined;
  const [start, end] = pair.value.range;
  if (text.slice(start, end).includes('#')) return undefined;
  return { start, end, text: JSON.stringify(valueAt(after, path)), depth: path.length - 1 };
}

/** Adds items before and after those of a flow list (`[a, b]`); undefined if it is empty. */
function insertFlowItems(list: YAMLSeq, change: ListChange): Edit[] | undefined {
  const first = list.items[0];
  const end = endOfLast(list.items);
  if (!hasRange(first) || end === undefined) return undefined;
  const start = first.range[0];
  const depth = change.path.length;
  return [
    ...(change.before.length > 0 ? [{ start, end: start, text: `${itemsText(change.before)}, `, depth }] : []),
    ...(change.behind.length > 0 ? [{ start: end, end, text: `, ${itemsText(change.behind)}`, depth }] : []),
  ];
}

/** Formats a value as block YAML; every line but the first starts at column `indent`. */
function render(value: unknown, indent: number, text: string): string {
  const yaml = new Document(value).toString({ lineWidth: 0, indentSeq: indentsLists(text) });
  const lines = yaml.trimEnd().split('\n');
  return lines.map((line, index) => (index === 0 ? line : ' '.repeat(indent) + line)).join(newlineOf(text));
}

/** Reports whether the text indents list items. kubectl, Helm and most people write them at the column of their key. */
const indentsLists = (text: string): boolean => !/^( *)[^\s#-][^\n]*:[ \t]*\r?\n\1- /m.test(text);

/** Inserts whole lines at `start`, which is the start of a line or the end of the text. */
function insertLines(text: string, start: number, lines: string, depth: number): Edit {
  const open = start > 0 && text[start - 1] !== '\n';
  const newline = newlineOf(text);
  return { start, end: start, text: open ? newline + lines : lines + newline, depth };
}

/** Returns the start of the next line at or after `offset`; the end of the text if there is none. */
function nextLine(text: string, offset: number): number {
  if (offset > 0 && text[offset - 1] === '\n') return offset;
  const newline = text.indexOf('\n', offset);
  return newline === -1 ? text.length : newline + 1;
}

const lineStart = (text: string, offset: number): number => text.lastIndexOf('\n', offset - 1) + 1;

const newlineOf = (text: string): string => (text.includes('\r\n') ? '\r\n' : '\n');

/** Formats a pair as flow YAML, which JSON is. Quotes the key if the mapping's own keys are quoted. */
function pairText(map: YAMLMap, path: Path, value: unknown): string {
  const key = String(path.at(-1));
  const first = map.items[0]?.key;
  const quoted = isScalar(first) && first.type === 'QUOTE_DOUBLE';
  return `${quoted ? JSON.stringify(key) : key}: ${JSON.stringify(value)}`;
}

const itemsText = (values: readonly unknown[]): string => values.map((value) => JSON.stringify(value)).join(', ');

export const valueAt = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>((node, key) => (node as Record<string | number, unknown> | undefined)?.[key], value);

type Ranged = Node & { readonly range: [number, number, number] };

const hasRange = (node: unknown): node is Ranged =>
  typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range);

const keyOf = (pair: Pair): unknown => (isScalar(pair.key) ? pair.key.value : undefined);

/** Returns where the last item in a node ends, before any comment that follows. */
function endOf(node: unknown): number | undefined {
  const last = lastChild(node);
  const inner = last === undefined || last === null ? undefined : endOf(last);
  return inner ?? (hasRange(node) ? node.range[1] : undefined);
}

function lastChild(node: unknown): unknown {
  if (isMap(node) && !node.flow) return node.items.at(-1)?.value;
  return isSeq(node) && !node.flow ? node.items.at(-1) : undefined;
}

/** Returns where the last item of a flow collection ends; undefined if it has none. */
function endOfLast(items: readonly unknown[]): number | undefined {
  const last = items.at(-1) as Partial<Pair> | undefined;
  const node = last !== undefined && 'value' in last && hasRange(last.value) ? last.value : last;
  return hasRange(node) ? node.range[1] : undefined;
}
