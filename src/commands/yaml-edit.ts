import { isMap, isSeq } from 'yaml';

import { insertItems, insertKey, replacePair } from './yaml-block-edit.ts';
import { insertFlowItems, insertFlowKey, replaceFlowValue } from './yaml-flow-edit.ts';
import { keyOf, type Change, type Edit, type Path, type Target } from './yaml-nodes.ts';

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
