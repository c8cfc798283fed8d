import { baseName } from '../command/invocation.ts';
import type { Commands, SimpleCommand, Word } from './syntax.ts';
import { literalOf } from './words.ts';

/** Commands whose first argument is another command. */
const handing = /^(?:exec|command|builtin|nohup|time)$/u;
/** Commands whose arguments hold another command, or a place where it is looked for. */
const passing =
  /^(?:eval|\.|source|cd|env|nice|sudo|su|gosu|su-exec|runuser|setpriv|chpst|tini|dumb-init|numactl|s6-setuidgid|chroot|trap)$/u;
const declaring = /^(?:export|declare|typeset|local|readonly)$/u;

/** Names of variables that decide which program a shell text runs. What others hold matters to conditions and arguments alone. */
export interface Deciding {
  /** The first word of a command is made of them, or any word of a wrapper. */
  readonly commands: Set<string>;
  /** A word of a command is made of them that may be one, if the words before are a wrapper and its options; `commands` too. */
  readonly words: Set<string>;
}

export function decidingVariables(commands: Commands): Deciding {
  const found: Flows = { commands: new Set(), words: new Set(), from: new Map() };
  visit(commands, '', found);
  const first = sourcesOf(found.commands, found);
  return { commands: first, words: sourcesOf([...first, ...found.words], found) };
}

/** Returns variables, and those that they are made of. */
function sourcesOf(names: Iterable<string>, { from }: Flows): Set<string> {
  const sources = new Set<string>();
  const open = [...names];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (sources.has(name)) continue;
    sources.add(name);
    open.push(...(from.get(name) ?? []));
  }
  return sources;
}

/**
 * `from`: what a variable is made of. A function's parameters have the name `NAME()`, what it prints has the name `NAME$`; the
 * text's own parameters are `()`.
 */
interface Flows extends Deciding {
  readonly from: Map<string, Set<string>>;
}

function add({ from }: Flows, name: string, sources: Iterable<string>): void {
  const known = from.get(name) ?? new Set();
  from.set(name, known);
  for (const source of sources) known.add(source);
}

interface Node {
  readonly kind?: string;
  readonly name?: string;
  readonly words?: readonly Word[];
}

/** Goes through a tree. `inside`: the function that is being read. */
function visit(tree: unknown, inside: string, flows: Flows): void {
  for (const node of nodesOf(tree)) {
    const within = node.kind === 'function' ? (node.name ?? '') : inside;
    if (node.kind === 'simple') visitSimple(node as SimpleCommand, inside, flows);
    else if (node.kind === 'for') add(flows, node.name ?? '', namesIn(node.words ?? [], inside));
    else if (node.kind === 'function') add(flows, `${within}$`, namesIn(Object.values(node), within));
    visit(Object.values(node), within, flows);
  }
}

/** Returns the nodes of a tree's first level: lists count as what they hold. */
function nodesOf(tree: unknown): readonly Node[] {
  if (Array.isArray(tree)) return tree.flatMap(nodesOf);
  return typeof tree === 'object' && tree !== null ? [tree] : [];
}

function visitSimple({ assignments, words }: SimpleCommand, inside: string, flows: Flows): void {
  for (const { name, value } of assignments) add(flows, name, namesIn(value, inside));
  const handed = words.findIndex((word) => !handing.test(literalOf(word) ?? ''));
  const command = handed === -1 ? [] : words.slice(handed);
  const name = literalOf(command[0] ?? []) ?? '';
  if (passing.test(baseName(name))) {
    for (const used of namesIn(command, inside)) flows.commands.add(used);
  } else if (name === '') {
    const end = command.findIndex((word) => /^[^-]/u.test(literalOf(word) ?? ''));
    for (const used of namesIn(command.slice(0, 1), inside)) flows.commands.add(used);
    for (const used of namesIn(end === -1 ? command : command.slice(0, end), inside)) flows.words.add(used);
  } else if (declaring.test(name)) {
    for (const word of words.slice(1)) addDeclared(word, inside, flows);
  } else {
    add(flows, name === 'set' ? `${inside}()` : `${name}()`, namesIn(words, inside));
  }
}

function addDeclared(word: Word, inside: string, flows: Flows): void {
  const [head] = word;
  const variable = head?.kind === 'text' ? /^\w+/u.exec(head.text)?.[0] : undefined;
  if (variable !== undefined) add(flows, variable, namesIn(word, inside));
}

/** Returns the names of all that a part of a tree expands, and of the functions whose output it may take. */
function namesIn(tree: unknown, inside: string, names = new Set<string>()): Set<string> {
  for (const node of nodesOf(tree)) {
    const { kind, name = '', words: [first = []] = [] } = node;
    if (kind === 'parameter') names.add(/^[A-Za-z_]/u.test(name) ? name : `${inside}()`);
    if (kind === 'simple') names.add(`${literalOf(first) ?? ''}$`);
    namesIn(Object.values(node), inside, names);
  }
  return names;
}
