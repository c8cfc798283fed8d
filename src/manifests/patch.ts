import { isDeepStrictEqual } from 'node:util';

import jsonPatch, { type Operation } from 'fast-json-patch';
import { Document, isAlias, isSeq, parseDocument } from 'yaml';

import { DECISION_ANNOTATION } from '../policy/annotations.ts';
import { COREFILE_ANNOTATION } from '../policy/sidecar.ts';
import { asObject, type Json } from '../util/json.ts';
import type { PodTemplate } from './pod-templates.ts';
import type { Manifest, ManifestDocument } from './read.ts';
import { applyEdits, type Change, type Edit, editsFor, type Path, valueAt } from './yaml-edit.ts';

/** A Pod template with the patch that the webhook would return for it; its paths begin at the Pod. */
export interface TemplatePatch {
  readonly template: PodTemplate;
  readonly patch: readonly Operation[];
}

/** Returns the manifest's text with all templates patched. Keeps everything else byte for byte. */
export function patchManifest(
  manifest: Manifest,
  patches: ReadonlyMap<ManifestDocument, readonly TemplatePatch[]>,
): string {
  const edits = manifest.documents.flatMap((document) => {
    const changed = (patches.get(document) ?? []).filter(({ patch }) => patch.length > 0);
    if (changed.length === 0) return [];
    return editsOf(manifest, document, patchedValue(document.value, changed), changed);
  });
  return applyEdits(manifest.text, edits);
}

/** Returns the patch with paths that begin at the object, for `kubectl patch --type=json`. */
export function objectPatch({ template, patch }: TemplatePatch): Operation[] {
  return patch.map((operation) => ({ ...operation, path: pointer(template.podPath) + operation.path }));
}

/** Returns a document's value with all its templates patched. */
export function patchedValue(value: unknown, patches: readonly TemplatePatch[]): unknown {
  const operations = patches.flatMap(({ template, patch }) =>
    patch.map((operation) => ({ ...operation, path: pointer(podPath(template)) + operation.path })),
  );
  return jsonPatch.applyPatch(structuredClone(value), operations, false, true).newDocument;
}

function editsOf(
  manifest: Manifest,
  document: ManifestDocument,
  after: unknown,
  patches: readonly TemplatePatch[],
): Edit[] {
  const target = { document: document.node, text: manifest.text, after };
  const changes = patches.flatMap(({ template }) =>
    changesFor(podPath(template), asObject(template.pod), asObject(valueAt(after, podPath(template)))),
  );
  const edits = editsFor(target, changes);
  // The first document's range does not include the comment above it.
  const start = document.number === 1 ? 0 : document.node.range[0];
  const end = document.node.range[2];
  if (edits !== undefined) {
    const shifted = edits.map((edit) => ({ ...edit, start: edit.start - start, end: edit.end - start }));
    const text = applyEdits(manifest.text.slice(start, end), shifted);
    const again = parseDocument(text);
    if (again.errors.length === 0 && isDeepStrictEqual(again.toJS(), after)) return edits;
  }
  return [{ start, end, text: rewritten(document, after, changes), depth: 0 }];
}

/** Returns the changes between a Pod and the patched Pod, each as small as the text allows. */
function changesFor(root: Path, before: Json, after: Json): Change[] {
  const changes: Change[] = [];
  const [oldSpec, newSpec] = [asObject(before['spec']), asObject(after['spec'])];
  if (oldSpec['dnsPolicy'] !== newSpec['dnsPolicy'])
    changes.push({ kind: 'set', path: [...root, 'spec', 'dnsPolicy'] });
  const lists = ['initContainers', 'volumes'].map((key) =>
    listChange([...root, 'spec', key], oldSpec[key], newSpec[key]),
  );
  const [oldDns, newDns] = [oldSpec['dnsConfig'], asObject(newSpec['dnsConfig'])];
  const dnsPath = [...root, 'spec', 'dnsConfig'];
  if (Object.keys(asObject(oldDns)).length === 0) {
    if (!isDeepStrictEqual(oldDns, newSpec['dnsConfig'])) changes.push({ kind: 'set', path: dnsPath });
  } else {
    for (const key of ['nameservers', 'searches', 'options']) {
      lists.push(listChange([...dnsPath, key], asObject(oldDns)[key], newDns[key]));
    }
  }
  changes.push(...lists.filter((change) => change !== undefined));
  const annotations = asObject(asObject(before['metadata'])['annotations']);
  const metadata = before['metadata'] === undefined ? ['metadata'] : ['metadata', 'annotations'];
  if (Object.keys(annotations).length === 0) return [...changes, { kind: 'set', path: [...root, ...metadata] }];
  const now = asObject(asObject(after['metadata'])['annotations']);
  const set = [DECISION_ANNOTATION, COREFILE_ANNOTATION].filter((key) => annotations[key] !== now[key]);
  return [...changes, ...set.map((key): Change => ({ kind: 'set', path: [...root, ...metadata, key] }))];
}

/** Returns the change of a list; undefined if it has none. */
function listChange(path: Path, before: unknown, after: unknown): Change | undefined {
  if (isDeepStrictEqual(before, after)) return undefined;
  const old: readonly unknown[] = Array.isArray(before) ? before : [];
  const now: readonly unknown[] = Array.isArray(after) ? after : [];
  const start = now.findIndex((_item, index) => isDeepStrictEqual(now.slice(index, index + old.length), old));
  if (old.length === 0 || start === -1) return { kind: 'set', path };
  return { kind: 'list', path, before: now.slice(0, start), behind: now.slice(start + old.length) };
}

/** Writes the whole document anew. Keeps comments and order, perhaps not the spacing. */
function rewritten(document: ManifestDocument, after: unknown, changes: readonly Change[]): string {
  const copy = document.node.clone();
  for (const { path } of changes) expandAliases(copy, path);
  for (const change of changes) rewriteNode(copy, change, valueAt(after, change.path));
  const text = copy.toString({ lineWidth: 0 });
  if (isDeepStrictEqual(parseDocument(text).toJS(), after)) return text;
  // For merge keys and the like. The value is right, but loses its comments.
  return new Document(after, { aliasDuplicateObjects: false }).toString({ lineWidth: 0 });
}

/** Replaces each alias on the way to `path` by a copy of its anchor's value. */
function expandAliases(copy: Document, path: Path): void {
  for (let length = 1; length <= path.length; length += 1) {
    const node: unknown = copy.getIn(path.slice(0, length), true);
    if (isAlias(node)) copy.setIn(path.slice(0, length), copy.createNode(node.toJS(copy)));
  }
}

/** Changes the parsed document, so that list items keep their comments. */
function rewriteNode(copy: Document, change: Change, value: unknown): void {
  const list: unknown = change.kind === 'list' ? copy.getIn(change.path, true) : undefined;
  if (change.kind !== 'list' || !isSeq(list)) {
    copy.setIn(change.path, copy.createNode(value));
    return;
  }
  list.items.unshift(...change.before.map((item) => copy.createNode(item)));
  list.items.push(...change.behind.map((item) => copy.createNode(item)));
}

const pointer = (path: Path): string =>
  path.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

const podPath = ({ objectPath, podPath: inner }: PodTemplate): Path => [...objectPath, ...inner];
