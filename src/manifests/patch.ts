import jsonPatch, { type Operation } from 'fast-json-patch';

import { CommandError } from '../terminal/io.ts';
import { asObject } from '../util/json.ts';
import type { Path } from './objects.ts';
import type { PodTemplate } from './pod-templates.ts';
import { type Manifest, type ManifestDocument, problemText } from './read.ts';
import { editDocument } from './yaml-edit.ts';
import { YamlError } from './yaml-tree.ts';

/** A Pod template with the patch that the webhook would return for it; its paths begin at the Pod. */
export interface TemplatePatch {
  readonly template: PodTemplate;
  readonly patch: readonly Operation[];
}

/** What changes in a document. */
export interface DocumentPatch {
  readonly templates: readonly TemplatePatch[];
  /** What a KRM function says: `results` of its ResourceList. Absent: the document is none. */
  readonly results?: readonly object[];
}

type Patches = ReadonlyMap<ManifestDocument, DocumentPatch>;

/**
 * Returns the manifests' texts with all templates patched. Keeps everything else byte for byte. Throws a `CommandError` that names each
 * place that cannot be edited.
 */
export function patchManifests(manifests: readonly Manifest[], patches: Patches): string[] {
  const problems: string[] = [];
  const texts = manifests.map((manifest) => patchedText(manifest, patches, problems));
  if (problems.length > 0) throw new CommandError('failed', problems.join('\nlibc-dns: '));
  return texts;
}

function patchedText(manifest: Manifest, patches: Patches, problems: string[]): string {
  let text = '';
  let from = 0;
  for (const document of manifest.documents) {
    const changed = patches.get(document);
    if (changed === undefined || !isChange(changed)) continue;
    try {
      const before = manifest.text.slice(document.start, document.end);
      text += manifest.text.slice(from, document.start) + editDocument(before, patchedValue(document.value, changed));
      from = document.end;
    } catch (error) {
      if (!(error instanceof YamlError)) throw error;
      problems.push(problemText(manifest, document, error));
    }
  }
  return text + manifest.text.slice(from);
}

const isChange = ({ templates, results }: DocumentPatch): boolean =>
  results !== undefined || templates.some(({ patch }) => patch.length > 0);

/** Returns the patch with paths that begin at the object, for `kubectl patch --type=json`. */
export function objectPatch({ template, patch }: TemplatePatch): Operation[] {
  return patch.map((operation) => ({ ...operation, path: pathInObject(template, operation.path) }));
}

/** Returns a document's value with all its templates patched, and its results. */
export function patchedValue(value: unknown, { templates, results }: DocumentPatch): unknown {
  const operations = templates.flatMap(({ template, patch }) =>
    patch.map((operation) => ({
      ...operation,
      path: pointer(template.objectPath) + pathInObject(template, operation.path),
    })),
  );
  const patched: unknown = jsonPatch.applyPatch(structuredClone(value), operations, false, true).newDocument;
  return results === undefined ? patched : { ...asObject(patched), results };
}

const pointer = (path: Path): string =>
  path.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

/** Returns where an object has what is at `path` in its Pod: below `/metadata` or `/spec`. */
function pathInObject({ metadataPath, specPath }: PodTemplate, path: string): string {
  return path.startsWith('/spec')
    ? pointer(specPath) + path.slice('/spec'.length)
    : pointer(metadataPath) + path.slice('/metadata'.length);
}
