import { expandArray } from './expand.ts';
import type { Call } from './run.ts';
import { type State, type Variable, withVariable } from './state.ts';
import type { Word } from '../syntax.ts';
import { ANY_WORDS, UNKNOWN } from './values.ts';

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
  const isGlobal = state.callers.length === 0 || call.words.some((one) => /^-[a-zA-Z]*g/u.test(one));
  const isLocal = !isGlobal && /^(?:local|declare|typeset)$/u.test(call.name);
  const before = state.variables.get(name);
  const given = arrayOf(call, name) ?? givenText(word, before) ?? before?.value ?? (isLocal ? '' : undefined);
  const hidden = isLocal ? hide(state, name) : state;
  return given === undefined ? hidden : withVariable(hidden, name, given, isExport(call) || before?.exported === true);
}

const isExport = ({ name, words }: Call): boolean =>
  name === 'export' || words.some((word) => /^-[a-zA-Z]*x/u.test(word));

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

/** Returns the elements of `NAME=( … )` among the arguments; undefined if no argument is one. */
function arrayOf({ run, state, raw }: Call, name: string): readonly string[] | string | undefined {
  for (const word of raw) {
    const [head, array] = word;
    if (head?.kind !== 'text' || array?.kind !== 'array') continue;
    if (head.text.replace(/\+?=$/u, '') === name) return expandArray(run, { state }, array.words) ?? UNKNOWN;
  }
  return undefined;
}

/** Returns what an assignment `NAME=( … )` gives; undefined if it is no array. */
export function assignedArray(
  call: Pick<Call, 'run' | 'state'>,
  value: Word,
  before: readonly string[],
): readonly string[] | undefined {
  const [array] = value;
  if (array?.kind !== 'array') return undefined;
  return [...before, ...(expandArray(call.run, { state: call.state }, array.words) ?? [ANY_WORDS])];
}
