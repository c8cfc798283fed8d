import { isDeepStrictEqual } from 'node:util';

import {
  type Alias,
  Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  Scalar,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';

import { bigIntegers, isObject, type Json } from '../util/json.ts';
import { isJson } from './documents.ts';
import { endsLine, withLineFeeds } from './line-breaks.ts';
import { plainScalar } from './yaml-scalar.ts';
import { isMerge, parseTree, startOf, YamlError, type YamlTree } from './yaml-tree.ts';

/** Replaces `[start, end)` of a text. */
interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** Nesting depth of the collection that grows: orders insertions at one place. */
  readonly depth: number;
}

/**
 * Returns the text of one YAML document, edited so that Kubernetes reads `after`. Adds and replaces only what differs: every other byte stays.
 * An alias whose anchor changes and that shall not change with it is written out. Throws {@link YamlError} where the text allows no such
 * edit.
 */
export function editDocument(text: string, after: unknown): string {
  const json = isJson(text);
  const tree = parseTree(text, { tokens: true, json });
  const editor: Editor = {
    source: text,
    text: json ? text : withLineFeeds(text),
    json,
    newline: text.includes('\r\n') ? '\r\n' : '\n',
    indentSeq: indentsLists(text),
    tree,
    edits: [],
    changed: new Map(),
    asked: new Map(),
  };
  const before = tree.valueOf(tree.contents);
  change(editor, { node: tree.contents, start: [], depth: 0 }, before, after);
  writeOutAliases(editor);
  const edited = applyEdits(text, editor.edits);
  const again = parseTree(edited.endsWith('\n') ? edited : `${edited}\n`, { json });
  if (isDeepStrictEqual(again.valueOf(again.contents), after)) return edited;
  throw new YamlError(editor.edits[0]?.start ?? 0, CANNOT_EDIT);
}

const CANNOT_EDIT = 'this YAML is too unusual to be changed without a change elsewhere: write it out, without anchors';

interface Editor {
  readonly source: string;
  /** The source with line breaks of one kind: places are the same. */
  readonly text: string;
  /** The text is JSON, and stays JSON. */
  readonly json: boolean;
  readonly newline: '\n' | '\r\n';
  /** The text indents list items. */
  readonly indentSeq: boolean;
  readonly tree: YamlTree;
  readonly edits: Edit[];
  /** The nodes with an anchor that change, with their new values. */
  readonly changed: Map<unknown, unknown>;
  /** The values that aliases shall have, if they differ from what they are now. */
  readonly asked: Map<Alias, unknown>;
}

/** A node, and the tokens before it. */
interface Place {
  readonly node: Node | null;
  readonly start: readonly Token[];
  readonly depth: number;
}

interface Token {
  readonly type: string;
  readonly offset: number;
  readonly source: string;
}

/** Adds the edits that give a place its value. */
function change(editor: Editor, place: Place, before: unknown, after: unknown): void {
  const { node } = place;
  if (isDeepStrictEqual(before, after)) return;
  if (isAlias(node)) {
    editor.asked.set(node, after);
    return;
  }
  if (node?.anchor !== undefined) editor.changed.set(node, after);
  if (isMap(node) && isObject(before) && isObject(after) && keepsKeys(before, after)) {
    changeMap(editor, { ...place, node }, before, after);
  } else if (isSeq(node) && Array.isArray(before) && Array.isArray(after)) {
    changeSeq(editor, { ...place, node }, before, after);
  } else {
    replace(editor, place, after);
  }
}

/** Writes out the aliases whose anchor has another value from now on than they shall have. */
function writeOutAliases({ source: document, json, tree, edits, changed, asked }: Editor): void {
  for (const alias of tree.aliases) {
    const target = tree.targetOf(alias);
    if (!changed.has(target) && !asked.has(alias)) continue;
    const old = tree.valueOf(target);
    const value = asked.has(alias) ? asked.get(alias) : old;
    if (isDeepStrictEqual(value, changed.has(target) ? changed.get(target) : old)) continue;
    const source = document.slice(...rangeOf(target));
    const same = isDeepStrictEqual(value, old) && !source.includes('\n') && !('flow' in target && !target.flow);
    const [start, end] = rangeOf(alias);
    edits.push({ start, end, text: same ? source : flowText(value, json), depth: 0 });
  }
}

const keepsKeys = (before: Json, after: Json): boolean => Object.keys(before).every((key) => key in after);

function changeMap(
  editor: Editor,
  { node, depth }: Place & { readonly node: YAMLMap },
  before: Json,
  after: Json,
): void {
  const { tree } = editor;
  for (const [key, value] of Object.entries(after)) {
    if (key in before && isDeepStrictEqual(before[key], value)) continue;
    const own = node.items.findLast((pair) => !isMerge(pair) && tree.keyOf(pair) === key);
    if (own === undefined) insertKey(editor, node, { key, value, depth });
    // The value of a merge behind it counts, or an earlier one of the same key.
    else if (!isDeepStrictEqual(tree.valueOf(own.value), before[key])) throw cannotEdit(own.key);
    else change(editor, valuePlace(own, depth + 1), before[key], value);
  }
}

const cannotEdit = (node: unknown): YamlError => new YamlError(startOf(node), CANNOT_EDIT);

type ItemTokens = { readonly start?: readonly Token[]; readonly sep?: readonly Token[] };

function valuePlace(pair: Pair, depth: number): Place {
  const { sep = [] } = (pair.srcToken ?? {}) as ItemTokens;
  return { node: pair.value as Node | null, start: sep, depth };
}

function itemPlaces(list: YAMLSeq, depth: number): Place[] {
  const tokens = (list.srcToken as { readonly items?: readonly ItemTokens[] } | undefined)?.items ?? [];
  return list.items.map((node, index) => ({ node: node as Node, start: tokens[index]?.start ?? [], depth }));
}

interface NewKey {
  readonly key: string;
  readonly value: unknown;
  readonly depth: number;
}

/** Adds a key at the end of a mapping. */
function insertKey(editor: Editor, map: YAMLMap, { key, value, depth }: NewKey): void {
  const { text, json, edits } = editor;
  if (map.flow) {
    const last = map.items.at(-1);
    const at = last === undefined ? startOf(map) + 1 : endOf(last.value ?? last.key);
    const pair = flowPair(key, value, json || isQuoted(map.items[0]?.key));
    edits.push({ start: at, end: at, text: last === undefined ? pair : `, ${pair}`, depth });
    return;
  }
  const indent = indentOf(text, map);
  const lines = ' '.repeat(indent) + render({ [key]: value }, indent, editor);
  edits.push({ ...insertLines(editor, nextLine(text, endOf(map)), lines), depth });
}

/** Returns the column of a block mapping's keys. */
function indentOf(text: string, map: YAMLMap): number {
  const { indent } = (map.srcToken ?? {}) as { readonly indent?: number };
  const first = startOf(map);
  return indent ?? first - lineStart(text, first);
}

/** Replaces a scalar, or a node of another kind than its new value. Keeps a comment behind it. */
function replace({ text, json, edits }: Editor, { node, start: tokens, depth }: Place, after: unknown): void {
  if (node === null) throw cannotEdit(node);
  const [start, valueEnd] = rangeOf(node);
  const old = text.slice(start, valueEnd).trimEnd();
  if (old.includes('\n') && !isScalar(node)) throw cannotEdit(node);
  const end = start + old.length;
  // An empty value ends behind its colon: with a space the new one is no part of the key.
  const colon = tokens.findLast(({ type }) => type === 'map-value-ind');
  const at = old === '' && colon !== undefined ? colon.offset + 1 : start;
  // A block scalar may have a comment behind its indicator.
  const comment = /^[|>][^\s#]*([ \t]+#[^\n]*)/.exec(old)?.[1] ?? '';
  const value = `${flowText(after, json)}${comment.trimEnd()}`;
  edits.push({ start: at, end: old === '' ? at : end, text: old === '' ? ` ${value}` : value, depth });
}

/** Formats a value on one line: a word as it is, unless it has to be JSON, and all else as JSON. */
const flowText = (value: unknown, json: boolean): string =>
  !json && typeof value === 'string' && /^[A-Z][A-Za-z]+$/.test(value) && plainScalar(value) === value
    ? value
    : JSON.stringify(value, bigIntegers);

function changeSeq(
  editor: Editor,
  { node: list, depth }: Place & { readonly node: YAMLSeq },
  before: readonly unknown[],
  after: readonly unknown[],
): void {
  const places = itemPlaces(list, depth + 1);
  // An item mostly stays where it was: looking there first spares a long list quadratic time.
  const isOld = (item: unknown, index: number): boolean =>
    isDeepStrictEqual(before[index], item) || before.some((old) => isDeepStrictEqual(old, item));
  if (before.length === after.length && !after.every(isOld)) {
    for (const [index, place] of places.entries()) change(editor, place, before[index], after[index]);
    return;
  }
  const edit = list.flow ? rearrangeFlow(editor, list, before, after) : rearrangeBlock(editor, places, before, after);
  editor.edits.push({ ...edit, depth: depth + 1 });
}

type Span = readonly [start: number, end: number];

/** Returns for each new item the old one that it is; undefined if it is new. */
function kept(before: readonly unknown[], after: readonly unknown[]): (number | undefined)[] {
  const free = new Set(before.keys());
  return after.map((item) => {
    const old = free.values().find((index) => isDeepStrictEqual(before[index], item));
    if (old !== undefined) free.delete(old);
    return old;
  });
}

/** Rewrites the lines of a block list: each old item keeps its own lines, with the comments above it. */
function rearrangeBlock(
  editor: Editor,
  places: readonly Place[],
  before: readonly unknown[],
  after: readonly unknown[],
): Omit<Edit, 'depth'> {
  const { source, text, newline, tree } = editor;
  const dashes = places.map(({ start }) => start.find(({ type }) => type === 'seq-item-ind')?.offset);
  const [first] = dashes;
  if (first === undefined || dashes.includes(undefined)) throw cannotEdit(places[0]?.node ?? tree.contents);
  const indent = first - lineStart(text, first);
  const from = commentsStart(text, lineStart(text, first));
  if (text.slice(first - indent, first).trim() !== '') throw cannotEdit(places[0]?.node);
  const ends = places.map(({ node, start }) => nextLine(text, Math.max(endOf(node), lastOffset(start))));
  const spans = ends.map((end, index): Span => [index === 0 ? from : (ends[index - 1] ?? from), end]);
  const lines = kept(before, after).map((old, index) => {
    if (old !== undefined) return source.slice(...(spans[old] ?? [0, 0]));
    return `${' '.repeat(indent)}${render([after[index]], indent, editor)}${newline}`;
  });
  const end = ends.at(-1) ?? from;
  const whole = lines.map((line) => (endsLine(line) ? line : line + newline)).join('');
  return { start: from, end, text: text[end - 1] === '\n' ? whole : whole.slice(0, -newline.length) };
}

/** Returns the start of the comments above a line. */
function commentsStart(text: string, line: number): number {
  const above = lineStart(text, line - 1);
  return line > 0 && /^[ \t]*#/.test(text.slice(above, line)) ? commentsStart(text, above) : line;
}

const lastOffset = (tokens: readonly Token[]): number => {
  const last = tokens.findLast(({ type }) => type === 'seq-item-ind' || type === 'anchor' || type === 'tag');
  return last === undefined ? 0 : last.offset + last.source.length;
};

/** Rewrites the items of a flow list. Keeps the spaces and comments between items where they stay in order. */
function rearrangeFlow(
  { source: text }: Editor,
  list: YAMLSeq,
  before: readonly unknown[],
  after: readonly unknown[],
): Omit<Edit, 'depth'> {
  const spans = list.items.map((item) => rangeOf(item));
  const [start, end] = [spans[0]?.[0], spans.at(-1)?.[1]];
  const sources = kept(before, after).map((old, index) => {
    const span = old === undefined ? undefined : spans[old];
    return { old, text: span === undefined ? JSON.stringify(after[index], bigIntegers) : text.slice(...span) };
  });
  if (start === undefined || end === undefined) {
    const inside = startOf(list) + 1;
    return { start: inside, end: inside, text: sources.map((source) => source.text).join(', ') };
  }
  const joined = sources.map((source, index) => {
    const previous = sources[index - 1]?.old;
    if (index === 0) return source.text;
    const next = previous === undefined || source.old !== previous + 1 ? undefined : spans[source.old];
    return (previous !== undefined && next ? text.slice(spans[previous]?.[1], next[0]) : ', ') + source.text;
  });
  return { start, end, text: joined.join('') };
}

/** Applies edits that do not overlap. Of insertions at one place the deepest collection's comes first. */
function applyEdits(text: string, edits: readonly Edit[]): string {
  let result = '';
  let from = 0;
  for (const edit of edits.toSorted((a, b) => a.start - b.start || b.depth - a.depth)) {
    result += text.slice(from, edit.start) + edit.text;
    from = edit.end;
  }
  return result + text.slice(from);
}

/** Formats a value as block YAML; every line but the first starts at column `indent`. Strings are strings for YAML 1.1, too. */
function render(value: unknown, indent: number, { newline, indentSeq }: Editor): string {
  const document = new Document(value, { version: '1.2' });
  visit(document, {
    Scalar(_key, node) {
      if (typeof node.value === 'string' && isWord(node.value) && plainScalar(node.value) !== node.value) {
        node.type = Scalar.QUOTE_DOUBLE;
      }
    },
  });
  const yaml = document.toString({ lineWidth: 0, indentSeq });
  const lines = yaml.trimEnd().split('\n');
  return lines.map((line, index) => (index === 0 ? line : ' '.repeat(indent) + line)).join(newline);
}

/** `.inf` has no value. */
const isWord = (text: string): boolean => !/inf|nan/i.test(text);

/** Reports whether the text indents list items. kubectl, Helm and most people write them at the column of their key. */
const indentsLists = (text: string): boolean => !/^( *)[^\s#-][^\n]*:[ \t]*\r?\n\1- /m.test(text);

/** Inserts whole lines at `start`, which is the start of a line or the end of the text. */
function insertLines({ text, newline }: Editor, start: number, lines: string): Omit<Edit, 'depth'> {
  const open = start > 0 && text[start - 1] !== '\n';
  return { start, end: start, text: open ? newline + lines : lines + newline };
}

/** Returns the start of the next line at or after `offset`; the end of the text if there is none. */
function nextLine(text: string, offset: number): number {
  if (offset > 0 && text[offset - 1] === '\n') return offset;
  const newline = text.indexOf('\n', offset);
  return newline === -1 ? text.length : newline + 1;
}

const lineStart = (text: string, offset: number): number => text.lastIndexOf('\n', offset - 1) + 1;

const isQuoted = (node: unknown): boolean => isScalar(node) && node.type === Scalar.QUOTE_DOUBLE;

/** Formats a pair as flow YAML, which JSON is. */
function flowPair(key: string, value: unknown, quoted: boolean): string {
  const plain = !quoted && /^[a-zA-Z][\w./-]*$/.test(key) && plainScalar(key) === key;
  return `${plain ? key : JSON.stringify(key)}: ${JSON.stringify(value, bigIntegers)}`;
}

function rangeOf(node: unknown): [start: number, end: number] {
  const range = (node as Node | null)?.range;
  if (!Array.isArray(range)) throw cannotEdit(node);
  return [range[0], range[1]];
}

/** Returns where the last item in a node ends, before any comment that follows. */
function endOf(node: unknown): number {
  const last = lastChild(node);
  return last === undefined || last === null ? rangeOf(node)[1] : Math.max(endOf(last), startOf(last));
}

function lastChild(node: unknown): unknown {
  if (isMap(node) && !node.flow) return node.items.at(-1)?.value ?? node.items.at(-1)?.key;
  return isSeq(node) && !node.flow ? node.items.at(-1) : undefined;
}
