import { compareText } from '../../../util/text.ts';
import type { Program } from '../../command/outcome.ts';
import type { Deciding } from '../deciding.ts';
import type { Command } from '../syntax.ts';
import { ANY_WORDS, commonText, isKnown, type Truth, UNKNOWN } from './values.ts';

/** A variable's value; a list for an array. */
export interface Variable {
  readonly value: string | readonly string[];
  /** The keys of an array's elements; undefined for those of a list: 0, 1, … */
  readonly keys?: readonly string[];
  readonly exported: boolean;
  /** The variable that it is another name for: `declare -n NAME=OTHER`. */
  readonly refersTo?: string;
}

// bash itself follows no more (variables.c, NAMEREF_MAX).
const mostReferences = 8;

/** Returns the variable for which a name stands. */
export function referred({ variables }: Pick<State, 'variables'>, name: string): string {
  let at = name;
  for (let step = 0; step < mostReferences; step += 1) {
    const next = variables.get(at)?.refersTo;
    if (next === undefined) return at;
    at = next;
  }
  return at;
}

/** Why a list of commands is not gone on with. */
export type Flow =
  /** `replaced`: another program runs in the shell's place. */
  | { readonly kind: 'exit'; readonly replaced?: true }
  | { readonly kind: 'return' }
  | { readonly kind: 'break' | 'continue'; readonly levels: number };

/** What is known of a shell at one point of its run. Never changed in place. */
export interface State {
  readonly variables: ReadonlyMap<string, Variable>;
  /** A variable that is not among them may have a value: somebody else may have set it. */
  readonly open: boolean;
  /** `$0`. */
  readonly zero: string;
  /** The file that is read: `$0`, or one that it sources. */
  readonly source: string;
  /** The user's number. */
  readonly uid: string;
  /** `$1`, `$2`, … */
  readonly parameters: readonly string[];
  readonly functions: ReadonlyMap<string, Command>;
  /** The functions that are being run, innermost first. */
  readonly callers: readonly string[];
  /** What `local` has hidden, to be put back when the function returns. */
  readonly hidden: ReadonlyMap<string, Variable | undefined>;
  /** Working directory. */
  readonly directory: string;
  /** Exit status of the last command: 0, 1 for any other, undefined if it is not known. */
  readonly status: 0 | 1 | undefined;
  readonly flow: Flow | undefined;
  /** What the commands have written to standard output; undefined outside of `$( … )`, where nobody reads it. */
  readonly output: string | undefined;
  /** What commands read on standard input, unknown text included; undefined if it is the container's own. */
  readonly input: string | undefined;
  /** The programs that ran last in the foreground, without those that resolve no names. */
  readonly last: readonly Program[];
  /** The last program that resolves no names. */
  readonly idle: readonly Program[];
  /** What runs in the background. */
  readonly jobs: readonly Program[];
}

const longestValue = 8192;
const mostVariables = 1024;

/** Returns a variable's text, an array's first; undefined if it is not set. */
export function valueOf(state: State, name: string): string | undefined {
  const value = state.variables.get(name)?.value;
  if (value !== undefined) return typeof value === 'string' ? value : value[0];
  return state.open || isFromOutside(name) ? UNKNOWN : undefined;
}

// The kubelet names the services of the namespace; the container runtime and the shell set the others.
function isFromOutside(name: string): boolean {
  return /_SERVICE_(?:HOST|PORT)|_PORT(?:_|$)|^(?:HOSTNAME|HOME|RANDOM|SECONDS|PPID|LINENO|BASH_\w+|KUBERNETES_\w+)$/u.test(
    name,
  );
}

export function withVariable(
  state: State,
  name: string,
  value: Variable['value'],
  exported = state.variables.get(name)?.exported ?? false,
): State {
  const variables = new Map(state.variables);
  if (variables.size < mostVariables || variables.has(name)) {
    variables.set(name, { value: value.length > longestValue ? UNKNOWN : value, exported });
  }
  return { ...state, variables };
}

/** Returns the state with an array whose elements have these keys. */
export function withElements(state: State, name: string, elements: ReadonlyMap<string, string>): State {
  const after = withVariable(state, name, [...elements.values()]);
  const variable = after.variables.get(name);
  if (typeof variable?.value !== 'object') return after;
  return { ...after, variables: new Map([...after.variables, [name, { ...variable, keys: [...elements.keys()] }]]) };
}

const isNumber = (key: string): boolean => /^\d+$/u.test(key);

/** Reports whether these are an associative array's keys, most likely: a list's are arithmetic. */
export const areTexts = (keys: readonly string[]): boolean => !keys.every(isNumber);

/** Returns the state after `NAME[key]=text`. */
export function withElement(state: State, name: string, key: string, text: string): State {
  const { value = [], keys } = state.variables.get(name) ?? { keys: isNumber(key) ? [] : undefined };
  const isKeyed = keys !== undefined && (isNumber(key) || keys.length === 0 || areTexts(keys));
  if (!isKeyed || typeof value !== 'object' || !isKnown(key)) return withVariable(state, name, [ANY_WORDS]);
  return withElements(state, name, new Map([...keys.map((one, at) => [one, value[at] ?? ''] as const), [key, text]]));
}

export function withoutVariable(state: State, name: string): State {
  const variables = new Map(state.variables);
  variables.delete(name);
  return { ...state, variables };
}

/** Returns the exit status that a command which decides something ends with. */
export const statusOf = (truth: Truth): State['status'] => (truth === undefined ? undefined : truth ? 0 : 1);

export const withStatus = (state: State, status: State['status']): State => ({ ...state, status });

export const withFlow = (state: State, flow: Flow | undefined): State => ({ ...state, flow });

/** Returns the environment that a program gets. */
export function environmentOf(state: State): ReadonlyMap<string, string> {
  const env = new Map<string, string>();
  for (const [name, { value, exported }] of state.variables) {
    if (exported && typeof value === 'string') env.set(name, value);
  }
  return env;
}

const fingerprints = new WeakMap<ReadonlyMap<string, Variable>, string>();

function fingerprint(variables: ReadonlyMap<string, Variable>): string {
  let text = fingerprints.get(variables);
  if (text === undefined) {
    text = JSON.stringify([...variables]);
    fingerprints.set(variables, text);
  }
  return text;
}

const keysOf = (programs: readonly Program[]): string => programs.map(({ key }) => key).join(' ');

/** Returns a text that is the same for states from which a run goes on alike. */
export const stateKey = (state: State): string => keyWith(state, fingerprint(state.variables));

// A wrapper with an option or two, and the program.
const decidingWords = 4;

function decidingKey(state: State, deciding: ReadonlySet<string>): string {
  const { flow, status, output } = state;
  if (flow?.kind === 'exit') return JSON.stringify([flow, status, output]);
  const variables = [...state.variables]
    .filter(([name]) => deciding.has(name))
    .map(([name, { value }]) =>
      JSON.stringify([name, typeof value === 'string' ? value : value.slice(0, decidingWords)]),
    );
  const parameters = state.parameters.slice(0, decidingWords);
  const rest = { parameters, open: false, output: undefined, last: [], idle: [], jobs: [] };
  return keyWith({ ...state, ...rest }, variables.toSorted(compareText).join());
}

function keyWith(state: State, variables: string): string {
  return JSON.stringify([
    state.open,
    state.zero,
    state.source,
    state.parameters,
    [...state.functions.keys()],
    state.callers,
    state.directory,
    state.status,
    state.flow,
    state.output,
    keysOf(state.last),
    keysOf(state.idle),
    keysOf(state.jobs),
    variables,
  ]);
}

const fewStates = 2;
const mostStates = 8;

/** Drops states that are told already. Where they are many, joins those that differ only in what decides no program, then all. */
export function settled({ deciding }: { readonly deciding: Deciding }, states: readonly State[]): readonly State[] {
  if (states.length < 2) return states;
  const all = [...new Map(states.map((state) => [stateKey(state), state])).values()];
  if (all.length <= fewStates) return all;
  const alike = joinedBy(all, (state) => decidingKey(state, deciding.words));
  if (areFew(alike)) return alike;
  const fewer = joinedBy(alike, (state) => decidingKey(state, deciding.commands));
  return areFew(fewer) ? fewer : joinedBy(fewer, ({ flow, status }) => JSON.stringify([flow, status]));
}

/** What has ended costs nothing more. */
const areFew = (states: readonly State[]): boolean =>
  states.filter(({ flow }) => flow === undefined).length <= mostStates;

function joinedBy(states: readonly State[], key: (state: State) => string): readonly State[] {
  return [...Map.groupBy(states, key).values()].map((group) => group.reduce(joined));
}

/** Returns a state that stands for both: what differs is unknown. */
export function joined(one: State, other: State): State {
  const variables = joinedVariables(one.variables, other.variables);
  return {
    ...one,
    variables,
    open: one.open || other.open,
    parameters: joinedLists(one.parameters, other.parameters),
    functions: new Map([...one.functions, ...other.functions]),
    directory: one.directory === other.directory ? one.directory : UNKNOWN,
    status: one.status === other.status ? one.status : undefined,
    output: one.output === other.output ? one.output : UNKNOWN,
    last: together(one.last, other.last),
    idle: together(one.idle, other.idle),
    jobs: together(one.jobs, other.jobs),
  };
}

const wordsOf = (variable: Variable | undefined): readonly string[] => {
  const value = variable?.value ?? '';
  return typeof value === 'object' ? value : value === '' ? [] : [value === UNKNOWN ? ANY_WORDS : value];
};

const textOf = (variable: Variable | undefined): string => (typeof variable?.value === 'string' ? variable.value : '');

function commonValue(a: Variable | undefined, b: Variable | undefined): Variable['value'] {
  if ((a?.keys ?? b?.keys) !== undefined) return [ANY_WORDS];
  const areLists = typeof a?.value === 'object' || typeof b?.value === 'object';
  return areLists ? joinedLists(wordsOf(a), wordsOf(b)) : commonText(textOf(a), textOf(b));
}

function joinedVariables(one: State['variables'], other: State['variables']): State['variables'] {
  const variables = new Map(one);
  for (const name of new Set([...one.keys(), ...other.keys()])) {
    const [a, b] = [one.get(name), other.get(name)];
    if (a === b || JSON.stringify(a) === JSON.stringify(b)) continue;
    const value = commonValue(a, b);
    variables.set(name, { value, exported: (a ?? b)?.exported ?? false });
  }
  return variables;
}

/** Returns the words that both begin with; what follows is unknown. */
function joinedLists(one: readonly string[], other: readonly string[]): readonly string[] {
  const end = one.findIndex((word, at) => word !== other[at]);
  if (end === -1 && one.length === other.length) return one;
  return [...one.slice(0, end === -1 ? one.length : end), ANY_WORDS];
}

/** Returns the programs of both, each once. */
export function together(one: readonly Program[], other: readonly Program[]): readonly Program[] {
  if (one.length === 0) return other;
  if (other.length === 0) return one;
  return [...new Map([...one, ...other].map((program) => [program.key, program])).values()];
}

/** Returns what all these states have written to standard output; unknown text if they differ. */
export function onlyOutput(ends: readonly State[]): string {
  const [text = UNKNOWN, ...others] = new Set(ends.map(({ output }) => output ?? UNKNOWN));
  return others.length === 0 ? text : UNKNOWN;
}

/** Returns a value's elements. */
export const listOf = (value: Variable['value'] | undefined): readonly string[] =>
  value === undefined || value === '' ? [] : typeof value === 'string' ? [value] : value;

/** Returns a value with text put behind it, behind an array's first element. */
export const appended = (before: Variable['value'] | undefined, text: string): Variable['value'] =>
  typeof before === 'object' ? [(before[0] ?? '') + text, ...before.slice(1)] : (before ?? '') + text;

/** Returns the state of a shell that another program replaced. */
export const gone = (state: State): State => ({ ...state, status: 0, flow: { kind: 'exit', replaced: true } });

/** Returns the caller's state: what `local` hid is put back. */
export function afterFunction(before: State, after: State): State {
  const variables = new Map(after.variables);
  for (const [hidden, value] of after.hidden) {
    if (value === undefined) variables.delete(hidden);
    else variables.set(hidden, value);
  }
  return {
    ...after,
    variables: after.hidden.size === 0 ? after.variables : variables,
    parameters: before.parameters,
    callers: before.callers,
    hidden: before.hidden,
    flow: after.flow?.kind === 'return' ? undefined : after.flow,
  };
}
