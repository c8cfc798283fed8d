import type { Run, Scope } from './run.ts';
import { areTexts, referred, type State, valueOf, withVariable } from './state.ts';
import type { Parameter, Word } from '../syntax.ts';
import { ANY_WORDS, isEmpty, isKnown, matches, type Pattern, UNKNOWN } from './values.ts';

/** How the words inside `${ … }` are expanded. */
interface Expansions {
  readonly text: (run: Run, scope: Scope, word: Word) => string;
  readonly pattern: (run: Run, scope: Scope, word: Word) => Pattern;
}

type Value = string | readonly string[];

/** Returns what a parameter expands to; a list for `$@`, `"${NAME[@]}"` and the like (POSIX.1-2024 XCU 2.6.2, bash(1)). */
export function parameterValue(run: Run, scope: Scope, given: Parameter, expansions: Expansions): Value {
  const part = { ...given, name: referred(scope.state, given.name) };
  const value = readParameter(run, scope, part, expansions);
  if (part.prefix === '#') return lengthOf(value);
  if (part.prefix === '!') {
    const { keys } = scope.state.variables.get(part.name) ?? {};
    if (keys !== undefined && isWhole(part.index) !== undefined) return inOrder(keys, keys);
    const named = nameIn(part, value);
    if (named === undefined) return [ANY_WORDS];
    const through: Parameter = { ...part, prefix: '', name: named, index: undefined };
    return isKnown(named) ? parameterValue(run, scope, through, expansions) : UNKNOWN;
  }
  const joined = isJoined(part) && Array.isArray(value) ? value.join(' ') : value;
  return operate(run, scope, { part, value: joined, expansions }) ?? '';
}

// `"$*"` and `"${NAME[*]}"` are one word.
const isJoined = ({ name, index, quoted }: Parameter): boolean => quoted && (name === '*' || isWhole(index) === '*');

const isWhole = (index: Word | undefined): string | undefined => {
  const [only] = index ?? [];
  return index?.length === 1 && only?.kind === 'text' && /^[@*]$/u.test(only.text) ? only.text : undefined;
};

function readParameter(run: Run, scope: Scope, { name, index }: Parameter, { text }: Expansions): Value | undefined {
  const { state } = scope;
  if (name === '@' || name === '*') return state.parameters;
  if (index === undefined) return special(state, name, run.isBash) ?? positional(state, name);
  if (name === 'BASH_SOURCE') return state.source;
  const at = isWhole(index) ?? text(run, scope, index);
  const { keys, value } = state.variables.get(name) ?? {};
  return keys !== undefined && typeof value === 'object' ? readElement(keys, value, at) : readListed(state, name, at);
}

function readListed(state: State, name: string, at: string): Value | undefined {
  const list = listOf(state, name);
  if (/^[@*]$/u.test(at)) return list ?? (state.open ? [ANY_WORDS] : []);
  if (list === undefined) return valueOf(state, name);
  return /^\d+$/u.test(at) && !list.includes(ANY_WORDS) ? list[Number(at)] : UNKNOWN;
}

/** Returns the element that a key names, or all for `@`: the order of an associative array is the shell's own. */
function readElement(keys: readonly string[], values: readonly string[], key: string): Value | undefined {
  if (/^[@*]$/u.test(key)) return inOrder(keys, values);
  if (!isKnown(key) || (!/^\d+$/u.test(key) && !areTexts(keys))) return UNKNOWN;
  const at = keys.indexOf(key);
  return at === -1 ? undefined : values[at];
}

function inOrder(keys: readonly string[], values: readonly string[]): readonly string[] {
  if (keys.length < 2) return values;
  if (areTexts(keys)) return [ANY_WORDS];
  return keys
    .map((key, at) => [Number(key), values[at] ?? ''] as const)
    .toSorted(([one], [other]) => one - other)
    .map(([, value]) => value);
}

function listOf(state: State, name: string): readonly string[] | undefined {
  if (name === 'FUNCNAME') return state.callers;
  const value = state.variables.get(name)?.value;
  if (value === undefined) return undefined;
  if (typeof value !== 'string') return value;
  return [value === UNKNOWN ? ANY_WORDS : value];
}

function special(state: State, name: string, isBash: boolean): string | undefined {
  const value = Object.hasOwn(specials, name) ? specials[name]?.(state) : undefined;
  return value ?? (isBash && Object.hasOwn(bashSpecials, name) ? bashSpecials[name]?.(state) : undefined);
}

type Special = (state: State) => string | undefined;

const specials: Readonly<Record<string, Special>> = {
  '0': ({ zero }) => zero,
  '#': ({ parameters }) => (parameters.includes(ANY_WORDS) ? UNKNOWN : String(parameters.length)),
  '?': ({ status }) => (status === undefined ? UNKNOWN : String(status)),
  '-': () => UNKNOWN,
  $: () => UNKNOWN,
  '!': () => UNKNOWN,
  PWD: ({ directory }) => directory,
};

const bashSpecials: Readonly<Record<string, Special>> = {
  BASH_SOURCE: ({ source }) => source,
  UID: ({ uid }) => uid,
  EUID: ({ uid }) => uid,
  FUNCNAME: ({ callers }) => callers[0],
};

function positional(state: State, name: string): string | undefined {
  if (!/^\d+$/u.test(name)) return valueOf(state, name);
  const number = Number(name);
  const unknownFrom = state.parameters.indexOf(ANY_WORDS);
  return unknownFrom !== -1 && number > unknownFrom ? UNKNOWN : state.parameters[number - 1];
}

function lengthOf(value: Value | undefined): string {
  if (value === undefined) return '0';
  if (typeof value !== 'string') return value.includes(ANY_WORDS) ? UNKNOWN : String(value.length);
  return isKnown(value) ? String(value.length) : UNKNOWN;
}

// `${!NAME}` is the value of the variable that NAME names; `${!NAME@}` and `${!NAME[@]}` list names.
function nameIn({ operator, index }: Parameter, named: Value | undefined): string | undefined {
  if (/^[@*]/u.test(operator) || index !== undefined || typeof named === 'object') return undefined;
  return /^(?:[A-Za-z_]\w*|\d+)$/u.test(named ?? '') ? named : UNKNOWN;
}

interface Operation {
  readonly part: Parameter;
  readonly value: Value | undefined;
  readonly expansions: Expansions;
}

function operate(run: Run, scope: Scope, operation: Operation): Value | undefined {
  const { part, value, expansions } = operation;
  const { operator } = part;
  if (/^:?[-=?+]$/u.test(operator)) return withDefault(run, scope, operation);
  if (operator === '' || value === undefined) return value;
  if (operator === ':') return slice(value, expansions.text(run, scope, part.argument), part.name);
  const each = typeof value === 'string' ? [value] : value;
  const changed = each.map((one) => changeText(run, scope, operation, one));
  return typeof value === 'string' ? changed[0] : changed;
}

function withDefault(run: Run, scope: Scope, { part, value, expansions }: Operation): Value | undefined {
  const { operator, argument, name } = part;
  const isUnset = emptiness(value, operator.startsWith(':'));
  const other = (): string => expansions.text(run, scope, argument);
  const kind = operator.at(-1);
  if (kind === '+') return isUnset === true ? '' : isUnset === false ? other() : UNKNOWN;
  if (isUnset === false || kind === '?') return value;
  const given = other();
  if (isUnset === undefined) return given === '' ? value : UNKNOWN;
  if (kind === '=' && /^[A-Za-z_]/u.test(name)) scope.state = withVariable(scope.state, name, given);
  return given;
}

function emptiness(value: Value | undefined, emptyCounts: boolean): boolean | undefined {
  if (value === undefined) return true;
  if (typeof value !== 'string') return value.includes(ANY_WORDS) ? undefined : value.length === 0;
  if (value === UNKNOWN) return undefined;
  return emptyCounts ? isEmpty(value) : false;
}

// `${NAME:offset:length}`, of texts and of lists; `${@:1}` begins with $1.
function slice(value: Value, argument: string, name: string): Value {
  const [, offset, length] = /^\s*(-?\d+)\s*(?::\s*(-?\d+)\s*)?$/u.exec(argument) ?? [];
  if (offset === undefined) return typeof value === 'string' ? UNKNOWN : [ANY_WORDS];
  const from = Number(offset);
  const count = length === undefined ? undefined : Number(length);
  if (typeof value === 'string') return isKnown(value) ? cut(value, from, count) : beginning(value, from, count);
  if (value.includes(ANY_WORDS)) return [ANY_WORDS];
  return cut(value, name === '@' ? Math.max(0, from - 1) : from, count);
}

const cut = <T extends string | readonly string[]>(value: T, from: number, count: number | undefined): T =>
  value.slice(from, count === undefined ? undefined : count < 0 ? count : from + count) as T;

function beginning(value: string, from: number, count: number | undefined): string {
  const known = value.indexOf(UNKNOWN);
  return from >= 0 && count !== undefined && count >= 0 && from + count <= known
    ? value.slice(from, from + count)
    : UNKNOWN;
}

const longestText = 512;

function changeText(run: Run, scope: Scope, { part, expansions }: Operation, text: string): string {
  const { operator, argument } = part;
  if (operator.startsWith('^') || operator.startsWith(',')) return changeCase(text, operator);
  if (operator.startsWith('@')) return text;
  if (operator.startsWith('/')) return replaceText(text, expansions.text(run, scope, argument), operator);
  const pattern = expansions.pattern(run, scope, argument);
  return removeMatch(run, pattern, text, operator);
}

function changeCase(text: string, operator: string): string {
  const change = (one: string): string => (operator.startsWith('^') ? one.toUpperCase() : one.toLowerCase());
  return operator.length === 2 ? change(text) : change(text.slice(0, 1)) + text.slice(1);
}

// A pattern that is more than text is not worked out.
function replaceText(text: string, argument: string, operator: string): string {
  const slash = argument.search(/(?<!\\)\//u);
  const [from, to] = slash === -1 ? [argument, ''] : [argument.slice(0, slash), argument.slice(slash + 1)];
  const plain = from.replaceAll(String.raw`\/`, '/');
  if (!isKnown(text) || !isKnown(argument) || /[*?[\\]/u.test(plain) || plain === '') return UNKNOWN;
  if (operator === '//') return text.replaceAll(plain, () => to);
  if (operator === '/#') return text.startsWith(plain) ? to + text.slice(plain.length) : text;
  if (operator === '/%') return text.endsWith(plain) ? text.slice(0, -plain.length) + to : text;
  return text.replace(plain, () => to);
}

// `#` and `%` remove the shortest match at the beginning or the end, `##` and `%%` the longest.
function removeMatch(run: Run, pattern: Pattern, text: string, operator: string): string {
  if (!isKnown(text)) return UNKNOWN;
  if (text.length > longestText) return UNKNOWN;
  run.world.spend(1 + Math.ceil((text.length * text.length * pattern.length) / 20_000));
  const isLongest = operator.length === 2;
  const isHead = operator.startsWith('#');
  for (let step = 0; step <= text.length; step += 1) {
    const length = isLongest ? text.length - step : step;
    const match = matches(pattern, isHead ? text.slice(0, length) : text.slice(text.length - length));
    if (match === undefined) return UNKNOWN;
    if (match) return isHead ? text.slice(length) : text.slice(0, text.length - length);
  }
  return text;
}
