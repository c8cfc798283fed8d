import {
  type Alias,
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  Parser,
  Scalar,
  type YAMLMap,
} from 'yaml';

import { messageOf } from '../util/text.ts';
import { folded, foldedWithEscapes, hasSeparator, withLineFeeds, withSeparators } from './line-breaks.ts';
import { keyText, plainScalar, ScalarError, type ScalarValue, taggedScalar } from './yaml-scalar.ts';

/** Thrown for a document that cannot be read or edited. `offset` is the place in the document's text. */
export class YamlError extends Error {
  override readonly name = 'YamlError';
  readonly offset: number;

  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

/** A parsed document that tells the value of each of its nodes. */
export interface YamlTree {
  readonly contents: Node | null;
  /** Returns a node's value, a fresh copy for each alias. Throws {@link YamlError}. */
  valueOf(node: unknown): unknown;
  /** Returns the node that an alias stands for. */
  targetOf(alias: Alias): Node;
  /** All aliases, in the order of the text. */
  readonly aliases: readonly Alias[];
  /** Returns the text of a pair's key. */
  keyOf(pair: Pair): string;
}

/** Reports whether a pair merges other mappings into its own (`<<: *defaults`). */
export const isMerge = (pair: Pair): boolean =>
  isScalar(pair.key) &&
  pair.key.source === '<<' &&
  (pair.key.tag === undefined ? isPlain(pair.key) : pair.key.tag === `${YAML_ORG}merge`);

const YAML_ORG = 'tag:yaml.org,2002:';

const isPlain = ({ type }: Scalar): boolean => type === undefined || type === Scalar.PLAIN;

/**
 * Parses the text of one YAML document; `tokens` keeps what edits need. `json`: the text is JSON, whose strings may hold the line ends of YAML. Throws {@link YamlError}. Every scalar stays the text that it is:
 * {@link YamlTree.valueOf} reads it as Kubernetes does.
 */
export function parseTree(
  text: string,
  { tokens = false, json = false }: { readonly tokens?: boolean; readonly json?: boolean } = {},
): YamlTree {
  const document = parsed(json ? text : withLineFeeds(text), tokens);
  const [error] = document.errors;
  if (error !== undefined) throw new YamlError(error.pos[0], error.message);
  const links = new Map<Alias, Node>();
  linkAliases(document.contents, new Map(), links);
  refuseOddScalars(document.contents, text);
  const targetOf = (alias: Alias): Node => {
    const target = links.get(alias);
    if (target === undefined) throw new YamlError(startOf(alias), `unresolved alias *${alias.source}`);
    return target;
  };
  const reader = (): Reader => createReader(targetOf, !json && hasSeparator(text) ? text : undefined);
  return {
    contents: document.contents,
    valueOf: (node) => reader().valueOf(node),
    targetOf,
    aliases: [...links.keys()],
    keyOf: (pair) => reader().keyOf(pair),
  };
}

function parsed(text: string, keepSourceTokens: boolean): Document.Parsed {
  const composer = new Composer({
    schema: 'failsafe',
    resolveKnownTags: false,
    strict: false,
    uniqueKeys: false,
    prettyErrors: false,
    keepSourceTokens,
  });
  try {
    const [document, another] = composer.compose(tolerantParser().parse(text), true, text.length);
    if (document === undefined) throw new YamlError(0, 'no document');
    if (another !== undefined) throw new YamlError(another.range[0], 'a second document without a separator (---)');
    return document;
  } catch (error) {
    if (error instanceof YamlError) throw error;
    // Nested too deep for the parser.
    throw new YamlError(0, messageOf(error));
  }
}

interface Lexer {
  indentNext: number;
  parseFlowCollection: () => Generator<string>;
  parseQuotedScalar: () => Generator<string>;
}

/**
 * Returns a parser that takes the lines of flow collections and quoted scalars as kubectl does: however little they are indented. The
 * package has no option for this, hence its lexer's own methods.
 */
function tolerantParser(): Parser {
  const parser = new Parser();
  const { lexer } = parser as unknown as { readonly lexer: Lexer };
  for (const method of ['parseFlowCollection', 'parseQuotedScalar'] as const) {
    const parse = lexer[method].bind(lexer);
    lexer[method] = function* unindented() {
      const indent = lexer.indentNext;
      lexer.indentNext = 0;
      const next = yield* parse();
      lexer.indentNext = indent;
      return next as unknown;
    };
  }
  return parser;
}

export const startOf = (node: unknown): number => {
  const range = (node as Node | null)?.range;
  return Array.isArray(range) ? range[0] : 0;
};

/** Finds the node of each alias. An anchor may be defined again: an alias is of the last one before it. */
function linkAliases(node: unknown, anchors: Map<string, Node>, links: Map<Alias, Node>): void {
  if (isAlias(node)) {
    const target = anchors.get(node.source);
    if (target === undefined) throw new YamlError(startOf(node), `unresolved alias *${node.source}`);
    links.set(node, target);
    return;
  }
  if (!isScalar(node) && !isMap(node) && !isSeq(node)) return;
  if (node.anchor !== undefined) anchors.set(node.anchor, node);
  if (isSeq(node)) for (const item of node.items) linkAliases(item, anchors, links);
  if (!isMap(node)) return;
  for (const { key, value } of node.items) {
    linkAliases(key, anchors, links);
    linkAliases(value, anchors, links);
  }
}

/**
 * Refuses unquoted scalars that kubectl reads otherwise inside of `{}` and `[]`: a colon with no space behind it is a part of the key
 * (`{a:, b: c}`), and a question mark before a scalar makes it a key (`[?a]`).
 */
function refuseOddScalars(node: unknown, text: string, flow = false): void {
  if (isSeq(node)) for (const item of node.items) refuseOddScalars(item, text, node.flow);
  if (isScalar(node) && flow && isPlain(node)) {
    const [start, end] = node.range ?? [0, 0];
    if (/^:[,[\]{}]/.test(text.slice(end, end + 2)) || (text[start] === '?' && end > start)) {
      throw new YamlError(start, 'a : or ? beside a scalar needs a space, or the scalar needs quotes');
    }
  }
  if (!isMap(node)) return;
  for (const { key, value } of node.items) {
    refuseOddScalars(key, text, node.flow);
    refuseOddScalars(value, text, node.flow);
  }
}

interface Reader {
  readonly valueOf: (node: unknown) => unknown;
  readonly keyOf: (pair: Pair) => string;
}

/**
 * Reads values; counts what it reads, for aliases of aliases grow without bound. `separated`: the document's text, if it has LS or PS.
 */
function createReader(targetOf: (alias: Alias) => Node, separated: string | undefined): Reader {
  let nodes = 0;
  let fromAliases = 0;
  const open = new Set<Alias>();

  const count = (node: unknown): void => {
    nodes += 1;
    if (open.size > 0) fromAliases += 1;
    if (fromAliases > 100 && nodes > 1000 && fromAliases / nodes > allowedAliasRatio(nodes)) {
      throw new YamlError(startOf(node), 'aliases stand for too much: an alias of aliases of aliases');
    }
  };

  const throughAlias = <T>(alias: Alias, read: (target: Node) => T): T => {
    if (open.has(alias)) throw new YamlError(startOf(alias), `the value of alias *${alias.source} contains itself`);
    open.add(alias);
    const value = read(targetOf(alias));
    open.delete(alias);
    return value;
  };

  const valueOf = (node: unknown): unknown => {
    count(node);
    if (isAlias(node)) return throughAlias(node, valueOf);
    if (isMap(node)) return Object.fromEntries(entriesOf(node, new Map()));
    if (isSeq(node)) return node.items.map(valueOf);
    return isScalar(node) ? scalarOf(node, separated) : null;
  };

  const keyOf = ({ key }: Pair): string => {
    const value = valueOf(key);
    if (typeof value === 'object' && value !== null) throw new YamlError(startOf(key), 'a key that is no scalar');
    const text = keyText(value as ScalarValue);
    if (text === undefined) throw new YamlError(startOf(key), 'a key that is null');
    return text;
  };

  /** Of two values for a key the last counts, and a merge counts where it stands: so sigs.k8s.io/yaml does it, unlike YAML 1.1. */
  const entriesOf = (map: YAMLMap, entries: Map<string, unknown>): Map<string, unknown> => {
    for (const pair of map.items) {
      if (isMerge(pair)) merge(pair.value, entries);
      else entries.set(keyOf(pair), valueOf(pair.value));
    }
    return entries;
  };

  const merge = (source: unknown, entries: Map<string, unknown>): void => {
    // Of a list of mappings the first wins.
    if (isSeq(source)) for (const item of source.items.toReversed()) mergeOne(item, entries);
    else mergeOne(source, entries);
  };

  const mergeOne = (source: unknown, entries: Map<string, unknown>): void => {
    count(source);
    const target = isAlias(source) ? targetOf(source) : source;
    if (!isMap(target)) throw new YamlError(startOf(source), 'a merge (<<) of something that is no mapping');
    if (isAlias(source)) throughAlias(source, () => entriesOf(target, entries));
    else entriesOf(target, entries);
  };

  return { valueOf, keyOf };
}

/** Reads a scalar. Throws {@link YamlError}. */
function scalarOf(node: Scalar, separated: string | undefined): ScalarValue {
  const text = separated === undefined ? String(node.value) : separatedText(node, separated);
  const tag = node.tag;
  try {
    if (tag === undefined) return isPlain(node) ? plainScalar(text) : text;
    return tag.startsWith(YAML_ORG) ? taggedScalar(tag.slice(YAML_ORG.length), text) : text;
  } catch (error) {
    if (error instanceof ScalarError) throw new YamlError(startOf(node), error.message);
    throw error;
  }
}

/** Returns the text of a scalar in a document that has LS or PS. */
function separatedText(node: Scalar, document: string): string {
  const source = document.slice(...(node.range ?? [0, 0]));
  if (!hasSeparator(source)) return String(node.value);
  switch (node.type) {
    case Scalar.BLOCK_LITERAL:
      return withSeparators(String(node.value), source);
    case Scalar.QUOTE_SINGLE:
      return folded(source.slice(1, -1)).replaceAll("''", "'");
    case Scalar.QUOTE_DOUBLE:
      // On one line the package reads escapes, and takes separators for letters.
      return String(parsed(foldedWithEscapes(source), false).contents?.toJSON());
    case Scalar.PLAIN:
      return folded(source);
    default:
      throw new YamlError(startOf(node), 'a line separator (U+2028) in folded text (>): write it as "\\u2028"');
  }
}

/** As sigs.k8s.io/yaml: 99 of 100 nodes may come from aliases in small documents, and 1 of 10 in large ones. */
function allowedAliasRatio(nodes: number): number {
  const [low, high] = [400_000, 4_000_000];
  if (nodes <= low) return 0.99;
  return nodes >= high ? 0.1 : 0.99 - (0.89 * (nodes - low)) / (high - low);
}
