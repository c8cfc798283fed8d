import { type Document, isMap, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';

import { plainMessage } from '../util/expectation.ts';
import { type Override, readEnvironment } from './environment.ts';
import { nearest } from './options.ts';
import { proxyDefaults } from './registry-proxy.ts';
import { type Config, configSchema } from './schema.ts';

/** Thrown for an invalid configuration. `problems` has a line for each problem, with its place. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'config';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`the configuration is not valid:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

/** What a configuration says of itself, as a Kubernetes object does; it may be left out. */
export const CONFIGURATION = { apiVersion: 'config.libc-dns.dev/v1', kind: 'Configuration' } as const;

interface ConfigSources {
  /** The file's text, and its name for messages. */
  readonly file?: { readonly name: string; readonly text: string };
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly flags: readonly Override[];
}

export interface LoadedConfig {
  readonly config: Config;
  /** Reports whether anything but a default sets a key such as `server.address`. */
  readonly isSet: (key: string) => boolean;
  /** Messages about unknown variables with our prefix, and about an unusable proxy. */
  readonly warnings: readonly string[];
}

/**
 * Reads the configuration. Flags win over the environment (`LIBC_DNS_…`), the environment over the file, the file over
 * `HTTPS_PROXY` and `NO_PROXY`, and these over the other defaults. Throws {@link ConfigError} with every problem found.
 */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const file = sources.file === undefined ? undefined : parseFile(sources.file);
  const tree = withoutType((file?.document.toJS() as Tree | null | undefined) ?? {});
  const environment = readEnvironment(sources.environment);
  const origins = new Map<string, string>();
  for (const { key, value, origin } of [...environment.overrides, ...sources.flags]) {
    setIn(tree, key, value);
    origins.set(key, origin);
  }
  const proxy = proxyDefaults(sources.environment);
  const unset = proxy.defaults.filter(({ key }) => getIn(tree, key) === undefined);
  for (const { key, value, origin } of unset) {
    setIn(tree, key, value);
    origins.set(key, origin);
  }
  const result = configSchema.safeParse(tree, { error: plainMessage });
  if (!result.success) {
    throw new ConfigError(result.error.issues.flatMap((issue) => describe(issue, origins, file)));
  }
  const isSet = (key: string): boolean => getIn(tree, key) !== undefined;
  return { config: result.data, isSet, warnings: [...environment.warnings, ...proxy.warnings] };
}

interface ParsedFile {
  readonly document: Document;
  readonly lines: LineCounter;
  readonly name: string;
}

function parseFile(file: NonNullable<ConfigSources['file']>): ParsedFile {
  const lines = new LineCounter();
  const document = parseDocument(file.text, { lineCounter: lines, prettyErrors: false });
  const problems = document.errors.map((error) => {
    const { line, col } = lines.linePos(error.pos[0]);
    return `${file.name}:${line}:${col}: ${error.message}`;
  });
  if (problems.length > 0) throw new ConfigError(problems);
  if (document.toJS() !== null && !isMap(document.contents)) {
    throw new ConfigError([`${file.name}: expected a mapping of keys such as "scope: cluster"`]);
  }
  return { document, lines, name: file.name };
}

/** Takes `apiVersion` and `kind` out, if they are ours; others stay, and are refused as unknown keys. */
function withoutType(tree: Tree): Tree {
  const { apiVersion, kind, ...settings } = tree;
  const isOurs = apiVersion === CONFIGURATION.apiVersion && kind === CONFIGURATION.kind;
  return isOurs ? settings : tree;
}

function describe(issue: z.core.$ZodIssue, origins: ReadonlyMap<string, string>, file?: ParsedFile): string[] {
  const key = issue.path.join('.');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((unknown) => {
      const near = nearest(unknown, keysAt(issue.path));
      const name = [...issue.path, unknown].join('.');
      const hint = near === undefined ? `; known here: ${keysAt(issue.path).join(', ')}` : `; did you mean ${near}?`;
      return `${place(file, [...issue.path, unknown])}${name}: unknown key${hint}`;
    });
  }
  const origin = [...origins].find(([known]) => key === known || key.startsWith(`${known}.`))?.[1];
  const where = origin === undefined ? place(file, issue.path) : `${origin}: `;
  return [`${where}${key === '' ? '' : `${key}: `}${issue.message}`];
}

/** Returns `file:line:column: ` of the key at `path`, or of the nearest key above it. */
function place(file: ParsedFile | undefined, path: readonly PropertyKey[]): string {
  if (file === undefined) return '';
  for (let depth = path.length; depth > 0; depth -= 1) {
    const node: unknown = file.document.getIn(path.slice(0, depth), true);
    if (typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range)) {
      const { line, col } = file.lines.linePos(Number(node.range[0]));
      return `${file.name}:${line}:${col}: `;
    }
  }
  return `${file.name}: `;
}

function keysAt(path: readonly PropertyKey[]): string[] {
  let node: unknown = z.encode(configSchema, configSchema.parse({}));
  for (const part of path) node = (node as Record<PropertyKey, unknown> | undefined)?.[part];
  const known = typeof node === 'object' && node !== null ? Object.keys(node) : [];
  return path.at(-1) === 'extraOptions' ? ['glibc', 'musl', 'go', 'other', 'unknown'] : known;
}

type Tree = Record<string, unknown>;

function setIn(tree: Tree, key: string, value: unknown): void {
  const path = key.split('.');
  const last = path.pop() ?? key;
  let node = tree;
  for (const part of path) {
    const next = node[part];
    if (next !== undefined && next !== null && typeof next !== 'object') return;
    node = (node[part] ??= {}) as Tree;
  }
  node[last] = value;
}

const getIn = (tree: Tree, key: string): unknown =>
  key.split('.').reduce<unknown>((node, part) => (node as Tree | undefined)?.[part], tree);
