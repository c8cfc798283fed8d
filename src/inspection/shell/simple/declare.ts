import { expandArray } from '../run/expand.ts';
import type { Call } from '../run/run.ts';
import { areTexts, listOf, type State, type Variable, withElements, withVariable } from '../run/state.ts';
import type { Word } from '../syntax.ts';
import { ANY_WORDS, UNKNOWN } from '../run/values.ts';

const assignment = /^(?<name>[A-Za-z_]\w*)(?<append>\+)?=(?<value>[\s\S]*)$/u;

/** `export`, `readonly`, `declare`, `typeset` and `local`: sets variables, and whether programs get them. */
export function declareVariables(call: Call): readonly State[] {
  const { state, words } = call;
  const begun: State = { ...state, status: 0 };
  return [words.reduce((after, word) => declareOne(call, after, word), begun)];
}

function declareOne(call: Call, state: State, word: string): State {
  const [name] = /^[A-Za-z_]\w*(?=$|\+?=)/u.exec(word) ?? [];
  if (name === undefined) return state;
  const isLocal = isInFunction(call, state);
  const before = state.variables.get(name);
  const hidden = isLocal ? hide(state, name) : state;
  if (isReference(call)) return referring(hidden, name, givenText(word, before));
  const given = arrayOf(call, name, before) ?? givenText(word, before);
  if (given instanceof Map) return withElements(hidden, name, given);
  const exported = isExport(call) || before?.exported === true;
  if (given !== undefined) return withVariable(hidden, name, given, exported);
  const value = before ?? (isLocal ? { value: '' } : undefined);
  if (value === undefined) return hidden;
  return { ...hidden, variables: new Map([...hidden.variables, [name, { ...value, exported }]]) };
}

/** `declare -n NAME=OTHER`: what is done to one is done to the other. Of what is not known, neither is. */
function referring(state: State, name: string, other = UNKNOWN): State {
  if (!/^[A-Za-z_]\w*$/u.test(other) || other === name)
    return { ...withVariable(state, name, [ANY_WORDS]), open: true };
  const variable: Variable = { value: '', exported: false, refersTo: other };
  return { ...state, variables: new Map([...state.variables, [name, variable]]) };
}

const hasOption = ({ words }: Call, letter: string): boolean =>
  words.some((word) => /^-[a-zA-Z]+$/u.test(word) && word.includes(letter));

const isInFunction = (call: Call, { callers }: State): boolean =>
  callers.length > 0 && !hasOption(call, 'g') && /^(?:local|declare|typeset)$/u.test(call.name);

const isExport = (call: Call): boolean => call.name === 'export' || hasOption(call, 'x');

const isReference = (call: Call): boolean => call.name !== 'export' && hasOption(call, 'n');

/** Returns the text that a word `NAME=text` gives; undefined if it only names the variable. */
function givenText(word: string, before: Variable | undefined): string | undefined {
  const { append, value } = assignment.exec(word)?.groups ?? {};
  return append === undefined || value === undefined ? value : textOf(before?.value) + value;
}

const textOf = (value: string | readonly string[] | undefined): string =>
  typeof value === 'string' ? value : (value?.[0] ?? '');

function hide(state: State, name: string): State {
  if (state.hidden.has(name)) return state;
  return { ...state, hidden: new Map([...state.hidden, [name, state.variables.get(name)]]) };
}

type Elements = readonly string[] | Map<string, string>;

/** Returns the elements of `NAME=( … )` among the arguments; undefined if no argument is one. */
function arrayOf(call: Call, name: string, before: Variable | undefined): Elements | undefined {
  const { run, state, raw } = call;
  const isKeyed = before?.keys !== undefined || hasOption(call, 'A');
  for (const word of raw) {
    const [head, array] = word;
    if (head?.kind !== 'text' || array?.kind !== 'array') continue;
    if (head.text.replace(/\+?=$/u, '') === name) return elementsOf(expandArray(run, { state }, array.words), isKeyed);
  }
  return isKeyed && before === undefined ? new Map() : undefined;
}

/** Returns an array's elements; unknown ones if keys that are no numbers may be arithmetic. */
function elementsOf(given: Elements | undefined, isKeyed: boolean): Elements {
  const isClear = given !== undefined && (!(given instanceof Map) || isKeyed || !areTexts([...given.keys()]));
  return isClear ? given : [ANY_WORDS];
}

/** Returns what an assignment `NAME=( … )` gives; undefined if it is no array. */
export function assignedArray(
  call: Pick<Call, 'run' | 'state'>,
  value: Word,
  before: Variable | undefined,
  append: boolean,
): Elements | undefined {
  const [array] = value;
  if (array?.kind !== 'array') return undefined;
  const given = elementsOf(expandArray(call.run, { state: call.state }, array.words), before?.keys !== undefined);
  if (!append) return given;
  return given instanceof Map || before?.keys !== undefined ? [ANY_WORDS] : [...listOf(before?.value), ...given];
}
