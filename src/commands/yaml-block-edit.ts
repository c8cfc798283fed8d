import { Document, type Pair, type YAMLMap, type YAMLSeq } from 'yaml';

import { endOf, hasRange, valueAt, type Edit, type ListChange, type Path, type Target } from './yaml-nodes.ts';

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
export function insertKey(map: YAMLMap, path: Path, { text, after }: Target): Edit | undefined {
  const first = map.items[0]?.key;
  const end = endOf(map);
  if (!hasRange(first) || end === undefined) return undefined;
  const indent = first.range[0] - lineStart(text, first.range[0]);
  const lines = ' '.repeat(indent) + render({ [String(path.at(-1))]: valueAt(after, path) }, indent, text);
  return insertLines(text, nextLine(text, end), lines, path.length - 1);
}

/** Writes a pair of a block mapping anew; undefined where a comment would be lost. */
export function replacePair(pair: Pair, path: Path, { text, after }: Target): Edit | undefined {
  if (!hasRange(pair.key) || !hasRange(pair.value)) return undefined;
  const [start, end] = [pair.key.range[0], endOf(pair.value) ?? pair.value.range[1]];
  if (text.slice(start, end).includes('#')) return undefined;
  const body = render({ [String(path.at(-1))]: valueAt(after, path) }, start - lineStart(text, start), text);
  return { start, end, text: text[end - 1] === '\n' ? body + newlineOf(text) : body, depth: path.length - 1 };
}

/** Adds items before and behind those of a block list; undefined where an item does not start its line. */
export function insertItems(list: YAMLSeq, change: ListChange, { text }: Target): Edit[] | undefined {
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
