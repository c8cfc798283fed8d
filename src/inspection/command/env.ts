import { splitWords } from '../shell/parse.ts';
import { type Invocation, joinPath } from './invocation.ts';

/** Returns what `env` runs (env(1), GNU and busybox): options, then assignments, then the program. */
export function throughEnv(invocation: Invocation): Invocation {
  const state: EnvState = {
    rest: splitOption(invocation.argv.slice(1)),
    env: new Map(invocation.env),
    directory: undefined,
    cleared: false,
  };
  const done = (argv: readonly string[]): Invocation => ({
    ...invocation,
    argv,
    env: state.env,
    openEnv: invocation.openEnv && !state.cleared,
    ...(state.directory !== undefined && { directory: joinPath(invocation.directory, state.directory) }),
  });
  for (let word = state.rest.shift(); word !== undefined; word = state.rest.shift()) {
    if (applyOption(word, state) || applyAssignment(word, state)) continue;
    return done(word === '--' ? afterAssignments(state) : [word, ...state.rest]);
  }
  return done([]);
}

/** The words that are left, and what those before have set. */
export interface EnvState {
  readonly rest: string[];
  readonly env: Map<string, string>;
  directory: string | undefined;
  cleared: boolean;
}

/** Returns the program behind assignments, which it applies. */
export function afterAssignments(state: EnvState): readonly string[] {
  while (state.rest[0] !== undefined && applyAssignment(state.rest[0], state)) state.rest.shift();
  return state.rest;
}

// `env -S TEXT` splits TEXT into words; `#!` lines use it.
function splitOption(words: readonly string[]): string[] {
  const [first = '', ...others] = words;
  const text = /^(?:-[iv]*S|--split-string=?)(?<text>.*)$/su.exec(first)?.groups?.['text'];
  if (text === undefined) return [...words];
  return text === '' ? [...splitWords(others[0] ?? ''), ...others.slice(1)] : [...splitWords(text), ...others];
}

function applyOption(word: string, state: EnvState): boolean {
  if (!word.startsWith('-') || word === '--') return false;
  const equals = word.indexOf('=');
  const [name, given] = equals === -1 ? [word, undefined] : [word.slice(0, equals), word.slice(equals + 1)];
  const option = Object.hasOwn(envOptions, name) ? envOptions[name] : undefined;
  option?.(state, () => given ?? state.rest.shift() ?? '');
  return true;
}

type EnvOption = (state: EnvState, value: () => string) => void;

const clear: EnvOption = (state) => {
  state.env.clear();
  state.cleared = true;
};
const unset: EnvOption = ({ env }, value) => {
  env.delete(value());
};
const changeDirectory: EnvOption = (state, value) => {
  state.directory = value();
};
const split: EnvOption = ({ rest }, value) => {
  rest.unshift(...splitWords(value()));
};
const envOptions: Readonly<Record<string, EnvOption>> = {
  '-': clear,
  '-i': clear,
  '--ignore-environment': clear,
  '-u': unset,
  '--unset': unset,
  '-C': changeDirectory,
  '--chdir': changeDirectory,
  '-S': split,
  '--split-string': split,
};

function applyAssignment(word: string, state: EnvState): boolean {
  if (!/^[A-Za-z_]\w*=/u.test(word)) return false;
  const equals = word.indexOf('=');
  state.env.set(word.slice(0, equals), word.slice(equals + 1));
  return true;
}
