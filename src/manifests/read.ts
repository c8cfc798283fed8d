import { CommandError, type Io } from '../terminal/io.ts';
import { isObject } from '../util/json.ts';
import { fileProblem } from '../util/files.ts';
import { isJson, type Slice, splitDocuments } from './documents.ts';
import { parseTree, YamlError } from './yaml-tree.ts';

/** A manifest file or stream: its text and the documents in it. */
export interface Manifest {
  /** For messages: the path, or `standard input`. */
  readonly name: string;
  readonly text: string;
  readonly documents: readonly ManifestDocument[];
  /** What kubectl does not read: see {@link Slice.unread}. */
  readonly unread: readonly NumberedSlice[];
  /** Says for each document that is no Kubernetes object, and so is not in `documents`, where it is and what is wrong. */
  readonly problems: readonly string[];
}

/** Where something stands in a manifest. */
export interface Place {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

interface NumberedSlice extends Slice {
  /** From 1. */
  readonly number: number;
}

export interface ManifestDocument extends NumberedSlice {
  /** The object, as kubectl would read it; null if the document is empty. */
  readonly value: unknown;
}

const MANIFEST_FILE = /\.(ya?ml|json)$/;

/**
 * Reads the manifests that `-f` names: files, folders (like kubectl), `-` for standard input. Reads standard input if
 * `paths` is empty. Throws a `CommandError` that names the file, document, line and column of the problem.
 */
export async function readManifests(io: Io, paths: readonly string[]): Promise<Manifest[]> {
  if (paths.length === 0 && io.stdinIsTerminal) {
    throw new CommandError('usage', 'nothing to read: name a file with -f FILE, or pipe manifests in');
  }
  const manifests: Manifest[] = [];
  for (const path of paths.length === 0 ? ['-'] : paths) {
    if (isStandardInput(path)) {
      manifests.push(parseManifest(STDIN, await read(STDIN, () => io.readStdin())));
      continue;
    }
    const entries = await entriesOf(io, path);
    // A pipe in a folder would wait for a writer for ever; one that the user names is meant.
    const only = entries === undefined ? undefined : 'regular';
    for (const file of entries ?? [path]) {
      manifests.push(parseManifest(file, await read(file, () => io.readFile(file, only))));
    }
  }
  return manifests;
}

/** Reports whether a name that `-f` takes is that of standard input. */
export const isStandardInput = (path: string): boolean => path === '-' || path === '/dev/stdin';

const STDIN = 'standard input';

/** Returns the manifests in a folder; undefined if `path` is no folder. */
async function entriesOf(io: Io, path: string): Promise<string[] | undefined> {
  const entries = await io.listFolder(path);
  if (entries === undefined) return undefined;
  const files = entries.filter((entry) => MANIFEST_FILE.test(entry)).toSorted();
  if (files.length === 0) throw new CommandError('failed', `${path}: no .yaml, .yml or .json file in this folder`);
  return files.map((file) => `${path.replace(/\/$/, '')}/${file}`);
}

async function read(name: string, from: () => Promise<string>): Promise<string> {
  try {
    return await from();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === 'ENOENT' ? `no such file${hintFor(name)}` : fileProblem(error);
    throw new CommandError('failed', `${name}: ${why}`, { cause: error });
  }
}

/** Says how to read an object of a cluster: `deployment/web` is no file. */
const hintFor = (name: string): string =>
  /^[a-z]+(\.[a-z.]+)?\/[a-z0-9.-]+$/.test(name) && !MANIFEST_FILE.test(name)
    ? `; to read an object of a cluster, pipe it in: kubectl get ${name} -o yaml`
    : '';

function parseManifest(name: string, text: string): Manifest {
  const documents: ManifestDocument[] = [];
  const problems: string[] = [];
  const slices = splitDocuments(text).map((slice, index) => Object.assign({ number: index + 1 }, slice));
  for (const slice of slices.filter(({ unread }) => !unread)) {
    try {
      documents.push({ ...slice, value: objectOf(text.slice(slice.start, slice.end)) });
    } catch (error) {
      if (!(error instanceof YamlError)) throw error;
      problems.push(problemText({ name, text }, slice, error));
    }
  }
  return { name, text, documents, unread: slices.filter(({ unread }) => unread), problems };
}

/** Returns a message that names the place of an error in a document. */
export function problemText(
  manifest: Pick<Manifest, 'name' | 'text'>,
  document: NumberedSlice,
  { offset, message }: YamlError,
): string {
  const text = manifest.text.slice(document.start, document.end);
  const hint = text.includes('{{') ? TEMPLATE_HINT : '';
  return `${placeText(manifest, document, offset)}: ${message}${hint}`;
}

/** Returns where the content of a document begins. */
export const placeOf = ({ name, text }: Manifest, { start, end }: ManifestDocument): Place => ({
  file: name,
  line: text.slice(0, start + contentStart(text.slice(start, end))).split('\n').length,
});

/** Formats a place in a document: its number, and the line and column. Without an offset, the first line of its content. */
export function placeText(
  { name, text }: Pick<Manifest, 'name' | 'text'>,
  { number, start, end }: NumberedSlice,
  offset?: number,
): string {
  const before = text.slice(0, start + (offset ?? contentStart(text.slice(start, end)))).split('\n');
  const column = offset === undefined ? '' : `, column ${(before.at(-1)?.length ?? 0) + 1}`;
  return `${name}: document ${number}, line ${before.length}${column}`;
}

/** Returns where the content of a document begins, behind its separator, comments and empty lines. */
const contentStart = (text: string): number =>
  /^(?:---[^\n]*\n|[ \t]*#[^\n]*\n|[ \t\r]*\n)*/.exec(text)?.[0].length ?? 0;

const TEMPLATE_HINT = ' (a template that is not rendered? See helm template)';

/** Returns the value of a document. Throws a {@link YamlError} if it is neither an object nor empty. */
function objectOf(text: string): unknown {
  const value = jsonValue(text) ?? yamlValue(text);
  if (value === null || isObject(value)) return value;
  throw new YamlError(contentStart(text), 'expected a Kubernetes object, that is, a mapping');
}

/** What go-yaml takes for a control character: `yaml_parser_update_buffer` in goyaml.v2/readerc.go of sigs.k8s.io/yaml. */
const CONTROL = /[^\t\n\r\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u;

function yamlValue(text: string): unknown {
  const json = /^\s*\{/.test(text) && isJson(text);
  const control = json ? -1 : text.search(CONTROL);
  if (control !== -1) {
    const code = text.charCodeAt(control).toString(16).toUpperCase().padStart(4, '0');
    throw new YamlError(control, `the control character U+${code}, which YAML does not allow`);
  }
  // kubectl ends the last line. Without that, block scalars at the end would differ.
  const tree = parseTree(text.endsWith('\n') ? text : `${text}\n`, { json });
  return tree.valueOf(tree.contents);
}

/** Returns the value of a JSON object; undefined if it is none, or has whole numbers that a float does not hold. */
function jsonValue(text: string): unknown {
  if (!/^\s*\{/.test(text) || /\d{16}/.test(text)) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
