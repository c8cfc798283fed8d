import { type Document, isMap, LineCounter, parseAllDocuments } from 'yaml';

import { CommandError, type Io } from '../terminal/io.ts';
import { messageOf } from '../util/text.ts';

/** A manifest file or stream: its text and the documents in it. */
export interface Manifest {
  /** For messages: the path, or `standard input`. */
  readonly name: string;
  readonly text: string;
  readonly documents: readonly ManifestDocument[];
}

export interface ManifestDocument {
  /** From 1. */
  readonly number: number;
  readonly node: Document.Parsed;
  /** The document's value; null if it is empty. */
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
    if (path === '-' || path === '/dev/stdin') {
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
    const why = code === 'ENOENT' ? 'no such file' : messageOf(error);
    throw new CommandError('failed', `${name}: ${why}`, { cause: error });
  }
}

function parseManifest(name: string, text: string): Manifest {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  const nodes = Array.isArray(parsed) ? (parsed as Document.Parsed[]) : [];
  const documents = nodes.map((node, index) => {
    const [error] = node.errors;
    if (error !== undefined) {
      const { line, col } = lines.linePos(error.pos[0]);
      throw new CommandError('failed', `${name}: document ${index + 1}, line ${line}, column ${col}: ${error.message}`);
    }
    return { number: index + 1, node, value: valueOf(node, name, index + 1) };
  });
  return { name, text, documents };
}

function valueOf(node: Document.Parsed, name: string, number: number): unknown {
  try {
    const value = unshared(node.toJS());
    if (value === null || value === undefined || isMap(node.contents)) return value ?? null;
  } catch (error) {
    // An alias expands beyond the parser's limit, or has no anchor.
    throw new CommandError('failed', `${name}: document ${number}: ${messageOf(error)}`, { cause: error });
  }
  throw new CommandError('failed', `${name}: document ${number}: expected a Kubernetes object, that is, a mapping`);
}

/** Copies the value of each alias, so that a patch of one Pod cannot change another. */
function unshared(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unshared);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unshared(item)]));
}
