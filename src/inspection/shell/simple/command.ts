import { joinPath } from '../../command/invocation.ts';
import { hiddenProgram, nothing, type Outcome, type Program } from '../../command/outcome.ts';
import { inputOf, isElsewhere, noteWrites } from '../files.ts';
import { filtered } from '../filters.ts';
import { outputs } from '../outputs.ts';
import { expandText, expandWords } from '../run/expand.ts';
import type { Run, Scope } from '../run/run.ts';
import {
  afterFunction,
  appended,
  environmentOf,
  gone,
  referred,
  settled,
  type State,
  withElement,
  withElements,
  withVariable,
} from '../run/state.ts';
import { ANY_WORDS, isKnown, UNKNOWN } from '../run/values.ts';
import type { Assignment, Command, Redirect, SimpleCommand } from '../syntax.ts';
import { builtinOf, find, waiting, written } from './builtins.ts';
import { assignedArray } from './declare.ts';

/**
 * Follows a simple command: assignments, a function, what is built into the shell, or a program (POSIX.1-2024 XCU 2.9.1). `$(…)`
 * that may give this or that is followed with each.
 */
export function runSimple(run: Run, state: State, command: SimpleCommand, picked?: Scope['picked']): readonly State[] {
  const scope: Scope = { state, picked };
  const words = expandWords(run, scope, command.words);
  const assigned = words.length === 0 ? assign(run, scope, command, undefined) : scope.state;
  const { several } = scope;
  if (several !== undefined) {
    const { body } = several;
    return settled(
      run,
      several.outputs.flatMap((one) => runSimple(run, state, command, { body, ...one })),
    );
  }
  redirect(run, scope, command.redirects);
  const [first] = words;
  if (first === undefined) return [bare(run, assigned, command)];
  return heard(runExpanded(run, scope.state, command, words), state, command.redirects);
}

/** Returns the state after assignments and redirections alone: `$(< FILE)` is the file's text. */
function bare(run: Run, state: State, { assignments, redirects }: SimpleCommand): State {
  const [only] = redirects;
  const isRead = assignments.length === 0 && redirects.length === 1 && only?.operator === '<';
  return isRead ? written(state, inputOf(run, state, redirects) ?? UNKNOWN) : state;
}

/** Returns the states with the output that reaches `$( … )`: what is redirected does not. */
export const heard = (ends: readonly State[], { output }: State, redirects: readonly Redirect[]): readonly State[] =>
  isElsewhere(redirects) ? ends.map((end) => ({ ...end, output })) : ends;

function runExpanded(run: Run, state: State, command: SimpleCommand, words: readonly string[]): readonly State[] {
  // An unknown word in front may be no word at all.
  if (words[0] === ANY_WORDS && words.length > 1 && words[1]?.startsWith('-') !== true) {
    const hidden = { ...state, status: undefined, last: [unknownCommand] };
    return settled(run, [hidden, ...runWords(run, state, command, words.slice(1))]);
  }
  return runWords(run, state, command, words);
}

const unknownCommand = hiddenProgram('a command that only the running shell knows');

function runWords(run: Run, state: State, command: SimpleCommand, words: readonly string[]): readonly State[] {
  const [name = '', ...rest] = words;
  const body = state.functions.get(name);
  if (body !== undefined) return callFunction(run, assign(run, { state }, command, undefined), body, words);
  if (name === 'exec') return runExec(run, state, command, rest);
  if (name === 'command' || name === 'builtin') return runCommand(run, state, command, rest);
  const builtin = builtinOf(name);
  if (builtin === undefined || (!run.isBash && name === 'which')) return runProgram(run, state, command, words);
  const isSpecial = /^(?:export|readonly|eval|\.|source|set|:)$/u.test(name);
  const before = isSpecial ? assign(run, { state }, command, undefined) : state;
  const { redirects } = command;
  const inner = assign(run, { state: before }, command, 'export');
  return builtin({ run, state: before, name, words: rest, raw: command.words.slice(1), redirects, inner });
}

function runCommand(run: Run, state: State, command: SimpleCommand, words: readonly string[]): readonly State[] {
  const [option = ''] = words;
  if (/^-[vV]$/u.test(option)) {
    return find({ run, state, name: 'command', words: words.slice(1) });
  }
  const rest = option === '-p' || option === '--' ? words.slice(1) : words;
  if (rest.length === 0) return [state];
  return runWords(run, { ...state, functions: new Map() }, command, rest).map((after) => withFunctions(after, state));
}

const withFunctions = (state: State, { functions }: State): State => ({ ...state, functions });

function runExec(run: Run, state: State, command: SimpleCommand, words: readonly string[]): readonly State[] {
  const rest = [...words];
  while (/^-[cla]+$|^--$/u.test(rest[0] ?? '')) {
    const option = rest.shift();
    if (option === '-a') rest.shift();
    if (option === '--') break;
  }
  // `exec >file` goes on in the same shell. Nobody fills an array to run nothing: what fills it was not understood.
  const isOfArray = command.words.flat().some((part) => part.kind === 'parameter' && part.index !== undefined);
  if (rest.length === 0 && !isOfArray) return [{ ...state, status: 0 }];
  if (rest.length === 0 || (rest[0] === ANY_WORDS && rest.length === 1))
    return [gone({ ...state, last: [unknownCommand] })];
  return runProgram(run, state, command, rest).map(gone);
}

function runProgram(run: Run, state: State, command: SimpleCommand, words: readonly string[]): readonly State[] {
  const [name = '', ...rest] = words;
  const inside = assign(run, { state }, command, 'export');
  for (const word of rest) if (word.includes('/') && isKnown(word)) run.world.touch(joinPath(inside.directory, word));
  noteWrites(run, inside.directory, words);
  const input = inputOf(run, inside, command.redirects);
  const outcome = isKnown(name) ? start(run, { ...inside, input }, words) : { ...nothing, stays: [unknownCommand] };
  for (const program of outcome.stays) run.ran.set(program.key, program);
  for (const program of outcome.passing) run.passed.set(program.key, program);
  for (const program of outcome.beside) run.beside.set(program.key, program);
  const after = stayed(state, outcome.stays);
  return [printed(run, after, words, input)];
}

/** Returns the state after a program has printed. */
function printed(run: Run, after: State, [name = '', ...words]: readonly string[], input = UNKNOWN): State {
  const fed = isKnown(input) ? filtered([name, ...words], input) : undefined;
  if (fed !== undefined) return { ...written(after, fed), status: undefined };
  const print = Object.hasOwn(outputs, name) ? outputs[name] : undefined;
  if (print === undefined) return { ...written(after, UNKNOWN), status: undefined };
  const output = print(after, words, run);
  if (output === undefined) return { ...after, status: 1 };
  // A file of the image may have been changed since.
  const isCertain = isKnown(output) && name !== 'grep';
  return { ...written(after, output), status: isCertain ? 0 : undefined };
}

function start({ world }: Run, state: State, argv: readonly string[]): Outcome {
  const { directory, open, uid, input } = state;
  return world.start({ argv, env: environmentOf(state), directory, openEnv: open, uid, input });
}

/** Notes what ran. A program that resolves no names only keeps the container alive, for what ran before it or runs beside. */
export function stayed(state: State, programs: readonly Program[]): State {
  const working = programs.filter(({ isUtility }) => !isUtility);
  if (working.length > 0) return { ...state, last: working };
  return { ...waiting(state), idle: programs.length > 0 ? programs : state.idle };
}

function assignOne(run: Run, scope: Scope, { name: given, append, index, value }: Assignment): State {
  const name = referred(scope.state, given);
  const before = scope.state.variables.get(name);
  const elements = assignedArray({ run, state: scope.state }, value, before, append);
  if (elements instanceof Map) return withElements(scope.state, name, elements);
  const text = elements ?? expandText(run, scope, value);
  if (typeof text !== 'string') return withVariable(scope.state, name, text);
  if (index !== undefined)
    return withElement(scope.state, name, append ? UNKNOWN : expandText(run, scope, index), text);
  return withVariable(scope.state, name, append ? appended(before?.value, text) : text);
}

/** Sets the variables of a command; `export`: for the program that it runs. */
function assign(run: Run, scope: Scope, { assignments }: SimpleCommand, as: 'export' | undefined): State {
  for (const assignment of assignments) {
    scope.state = assignOne(run, scope, assignment);
    const { name } = assignment;
    const variable = as === 'export' ? scope.state.variables.get(name) : undefined;
    if (variable !== undefined) scope.state = withVariable(scope.state, name, variable.value, true);
  }
  return assignments.length > 0 && as === undefined
    ? { ...scope.state, status: lastStatus(scope.state, assignments) }
    : scope.state;
}

// `X=$(command)` has the status of the command.
function lastStatus(state: State, assignments: SimpleCommand['assignments']): State['status'] {
  const isComputed = assignments.some(({ value }) => value.some(({ kind }) => kind === 'command'));
  return isComputed ? state.status : 0;
}

/** Expands the redirections of a command: files that it writes, and the libc that bash asks itself. */
export function redirect(run: Run, scope: Scope, redirects: readonly Redirect[]): void {
  for (const { operator, target } of redirects) {
    if (operator.startsWith('<<')) continue;
    const file = expandText(run, scope, target);
    // bash asks its own libc for the address (redir.c, redir_special_open).
    if (file.startsWith('/dev/tcp/') || file.startsWith('/dev/udp/')) noteShell(run, scope.state);
    else if (isKnown(file) && operator !== '<') run.world.change(joinPath(scope.state.directory, file));
  }
}

function noteShell(run: Run, state: State): void {
  if (!run.isBash) return;
  for (const program of start(run, state, ['bash']).stays) run.passed.set(program.key, program);
}

const deepest = 40;

function callFunction(
  run: Run,
  state: State,
  body: Command,
  [name = '', ...parameters]: readonly string[],
): readonly State[] {
  if (state.callers.length > deepest) return [{ ...state, status: undefined }];
  const inner: State = { ...state, parameters, callers: [name, ...state.callers], hidden: new Map() };
  return run.step(inner, body).map((after) => afterFunction(state, after));
}
