import { Document, isMap, isScalar, isSeq, type Node, type Pair, type YAMLMap, type YAMLSeq } from 'yaml';

function setEdit(target: Target, path: Path): Edit | undefined {
  const above = path.slice(0, -1);
  const map: unknown = above.length === 0 ? target.document.contents : target.document.getIn(above, true);
  if (!isMap(map)) return undefined;
  const pair = map.items.find((item) => keyOf(item) === path.at(-1));
  if (pair === undefined) return map.flow ? insertFlowKey(map, path, target) : insertKey(map, path, target);
  return map.flow ? replaceFlowValue(pair, path, target) : replacePair(pair, path, target);
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

/**
 * The text edits that make `changes` in a document and leave every other byte as it is. Undefined where the text is too
 * unusual for that (comments inside of what is replaced, aliases in the way): the document must then be written anew.
 */
export function editsFor(target: Target, changes: readonly Change[]): Edit[] | undefined {
  const edits = changes.map((change) => editsForOne(target, change));
  return edits.includes(undefined) ? undefined : edits.flatMap((edit) => edit ?? []);
}

/** Makes edits that do not overlap; at one place the deepest collection grows first. */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  let result = '';
  let from = 0;
  for (const edit of edits.toSorted((a, b) => a.start - b.start || b.depth - a.depth)) {
    result += text.slice(from, edit.start) + edit.text;
    from = edit.end;
  }
  return result + text.slice(from);
}

const newlineOf = (text: string): string => (text.includes('\r\n') ? '\r\n' : '\n');

/** kubectl, Helm and most people write list items at the column of their key; keep to what the text does. */
const indentsLists = (text: string): boolean => !/^( *)[^\s#-][^\n]*:[ \t]*\r?\n\1- /m.test(text);

/** A value as block YAML whose lines, but the first, start at column `indent`. */
function render(value: unknown, indent: number, text: string): string {
  const yaml = new Document(value).toString({ lineWidth: 0, indentSeq: indentsLists(text) });
  const lines = yaml.trimEnd().split('\n');
  return lines.map((line, index) => (index === 0 ? line : ' '.repeat(indent) + line)).join(newlineOf(text));
}

/** The start of the line behind `offset`; the end of the text where there is none. */
function nextLine(text: string, offset: number): number {
  if (offset > 0 && text[offset - 1] === '\n') return offset;
  const newline = text.indexOf('\n', offset);
  return newline === -1 ? text.length : newline + 1;
}

const lineStart = (text: string, offset: number): number => text.lastIndexOf('\n', offset - 1) + 1;

/** Puts whole lines at `start`, which is the start of a line or the end of the text. */
function insertLines(text: string, start: number, lines: string, depth: number): Edit {
  const open = start > 0 && text[start - 1] !== '\n';
  const newline = newlineOf(text);
  return { start, end: start, text: open ? newline + lines : lines + newline, depth };
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

/** Writes a pair of a block mapping anew; undefined where a comment would be lost. */
function replacePair(pair: Pair, path: Path, { text, after }: Target): Edit | undefined {
  if (!hasRange(pair.key) || !hasRange(pair.value)) return undefined;
  const [start, end] = [pair.key.range[0], endOf(pair.value) ?? pair.value.range[1]];
  if (text.slice(start, end).includes('#')) return undefined;
  const body = render({ [String(path.at(-1))]: valueAt(after, path) }, start - lineStart(text, start), text);
  return { start, end, text: text[end - 1] === '\n' ? body + newlineOf(text) : body, depth: path.length - 1 };
}

/** Adds items before and behind those of a block list; undefined where an item does not start its line. */
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

/** JSON is flow YAML: keys are quoted where the mapping's own are. */
function pairText(map: YAMLMap, path: Path, value: unknown): string {
  const key = String(path.at(-1));
  const first = map.items[0]?.key;
  const quoted = isScalar(first) && first.type === 'QUOTE_DOUBLE';
  return `${quoted ? JSON.stringify(key) : key}: ${JSON.stringify(value)}`;
}

/** Where the last item of a flow collection ends: its closing bracket where it has none. */
function endOfLast(items: readonly unknown[]): number | undefined {
  const last = items.at(-1) as Partial<Pair> | undefined;
  const node = last !== undefined && 'value' in last && hasRange(last.value) ? last.value : last;
  return hasRange(node) ? node.range[1] : undefined;
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

/** Writes the value of a pair of a flow mapping anew; undefined where a comment would be lost. */
function replaceFlowValue(pair: Pair, path: Path, { text, after }: Target): Edit | undefined {
  if (!hasRange(pair.value)) return undefined;
  const [start, end] = pair.value.range;
  if (text.slice(start, end).includes('#')) return undefined;
  return { start, end, text: JSON.stringify(valueAt(after, path)), depth: path.length - 1 };
}

const itemsText = (values: readonly unknown[]): string => values.map((value) => JSON.stringify(value)).join(', ');

/** Adds items before and behind those of a flow list (`[a, b]`) that has some. */
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

interface ListChange {
  readonly kind: 'list';
  readonly path: Path;
  readonly before: readonly unknown[];
  readonly behind: readonly unknown[];
}

/** What is edited: the text, the document parsed from it, and the document's value with all changes made. */
interface Target {
  readonly document: Document;
  readonly text: string;
  readonly after: unknown;
}

type Ranged = Node & { readonly range: [number, number, number] };

const hasRange = (node: unknown): node is Ranged =>
  typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range);

const keyOf = (pair: Pair): unknown => (isScalar(pair.key) ? pair.key.value : undefined);

export const valueAt = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>((node, key) => (node as Record<string | number, unknown> | undefined)?.[key], value);

function lastChild(node: unknown): unknown {
  if (isMap(node) && !node.flow) return node.items.at(-1)?.value;
  return isSeq(node) && !node.flow ? node.items.at(-1) : undefined;
}

/** Where the last thing in a node ends, comments behind it not counted. */
function endOf(node: unknown): number | undefined {
  const last = lastChild(node);
  const inner = last === undefined || last === null ? undefined : endOf(last);
  return inner ?? (hasRange(node) ? node.range[1] : undefined);
}
