import { isScalar, type Pair, type YAMLMap, type YAMLSeq } from 'yaml';

import { hasRange, valueAt, type Edit, type ListChange, type Path, type Target } from './yaml-nodes.ts';

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
export function insertFlowKey(map: YAMLMap, path: Path, { after }: Target): Edit | undefined {
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
export function replaceFlowValue(pair: Pair, path: Path, { text, after }: Target): Edit | undefined {
  if (!hasRange(pair.value)) return undefined;
  const [start, end] = pair.value.range;
  if (text.slice(start, end).includes('#')) return undefined;
  return { start, end, text: JSON.stringify(valueAt(after, path)), depth: path.length - 1 };
}

const itemsText = (values: readonly unknown[]): string => values.map((value) => JSON.stringify(value)).join(', ');

/** Adds items before and behind those of a flow list (`[a, b]`) that has some. */
export function insertFlowItems(list: YAMLSeq, change: ListChange): Edit[] | undefined {
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
