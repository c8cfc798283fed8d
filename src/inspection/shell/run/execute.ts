import type { Invocation } from '../../command/invocation.ts';
import { hiddenProgram, nothing, type Outcome, type Program } from '../../command/outcome.ts';
import { followText, written } from '../simple/builtins.ts';
import { decideDoubleBracket } from '../simple/conditions.ts';
import { heard, redirect, runSimple, stayed } from '../simple/command.ts';
import { expandPattern, expandText, expandWords } from './expand.ts';
import { followFor, followLoop } from './loops.ts';
import { filtered } from '../filters.ts';
import type { Run, Scope } from './run.ts';
import {
  onlyOutput,
  settled,
  type State,
  statusOf,
  together,
  type Variable,
  withStatus,
  withVariable,
} from './state.ts';
import type { Command, Commands, ShellText } from '../syntax.ts';
import { ANY_WORDS, isKnown, matches, UNKNOWN } from './values.ts';
import { inputOf } from '../files.ts';
import { arithmeticValue, assignedNames } from './arithmetic.ts';
import type { World } from './world.ts';

/** How a shell is called. */
export interface ShellCall {
  readonly invocation: Pick<Invocation, 'env' | 'directory' | 'openEnv' | 'uid'>;
  /** `$0`. */
  readonly zero: string;
  readonly parameters: readonly string[];
  readonly isBash: boolean;
}

/** Follows a shell text: returns the programs that its run may lead to, along every branch that may be taken. */
export function followShell(text: ShellText, call: ShellCall, world: World): Outcome {
  const run = createRun(world, call.isBash);
  const ends = followText(run, firstState(call), text);
  return outcomeOf(run, ends);
}

function firstState({ invocation, zero, parameters }: ShellCall): State {
  const variables = new Map<string, Variable>();
  for (const [name, value] of invocation.env) variables.set(name, { value, exported: true });
  return {
    variables,
    open: invocation.openEnv,
    zero,
    source: zero,
    uid: invocation.uid,
    parameters,
    functions: new Map(),
    callers: [],
    hidden: new Map(),
    directory: invocation.directory,
    status: 0,
    flow: undefined,
    output: undefined,
    input: undefined,
    last: [],
    idle: [],
    jobs: [],
  };
}

/** Returns what the last states of a shell say. An end with an error is left out, unless there is no other. */
function outcomeOf(run: Run, ends: readonly State[]): Outcome {
  const good = ends.filter(({ status }) => status !== 1);
  // What the script lacks (a variable of the Pod, a file of a volume) may be there after all.
  const isFailure =
    good.length === 0 &&
    ends.every(({ flow, last, jobs }) => flow !== undefined && last.length === 0 && jobs.length === 0);
  if (isFailure)
    return { ...nothing, stays: [hiddenProgram('a shell text that ends with an error, whatever it asks')] };
  const all = (good.length > 0 ? good : ends).map(staying).filter((programs) => programs.length > 0);
  const present = all.filter((programs) => programs.some(({ located }) => located.status !== 'absent'));
  const ran = all.some((programs) => programs.some(({ isUtility }) => !isUtility));
  const chosen = (present.length > 0 ? present : all).filter(
    (programs) => !ran || programs.some(({ isUtility }) => !isUtility),
  );
  const found = chosen.reduce(together, []);
  const there = found.filter(({ located }) => located.status !== 'absent');
  const stays = there.some(({ isUtility }) => !isUtility) ? there : found;
  const keys = new Set(stays.map(({ key }) => key));
  const others = (programs: Iterable<Program>): Program[] =>
    [...programs].filter(({ key, isUtility, located }) => !isUtility && located.status !== 'absent' && !keys.has(key));
  const beside = others(run.beside.values());
  for (const { key } of beside) keys.add(key);
  const before = others(run.ran.values());
  const passed = new Map(others(run.passed.values()).map((program) => [program.key, program]));
  // What ran before the shell was replaced has ended. What the shell ran last may be something else than it seems.
  const isReplaced = good.length > 0 && good.every(({ flow }) => flow?.kind === 'exit' && flow.replaced === true);
  if (isReplaced) return { stays, beside, passing: together(before, [...passed.values()]) };
  return { stays, beside: together(beside, before), passing: [...passed.values()] };
}

function staying(state: State): readonly Program[] {
  if (state.last.length > 0) return state.last;
  return state.jobs.length > 0 ? state.jobs : state.idle;
}

function createRun(world: World, isBash: boolean): Run {
  const run: Run = {
    world,
    isBash,
    ran: new Map(),
    passed: new Map(),
    beside: new Map(),
    deciding: { commands: new Set(), words: new Set() },
    execute: (state, commands) => executeAll(run, [state], commands),
    step: (state, command) => step(run, state, command),
  };
  return run;
}

function executeAll(run: Run, states: readonly State[], commands: Commands): readonly State[] {
  let current = states;
  for (const command of commands) {
    if (current.every(({ flow }) => flow !== undefined)) return current;
    current = settled(
      run,
      current.flatMap((state) => (state.flow === undefined ? step(run, state, command) : [state])),
    );
  }
  return current;
}

function step(run: Run, state: State, command: Command): readonly State[] {
  run.world.spend(1 + Math.ceil(state.variables.size / 64));
  return run.world.nest(() => stepInside(run, state, command));
}

function stepInside(run: Run, state: State, command: Command): readonly State[] {
  switch (command.kind) {
    case 'simple':
      return runSimple(run, state, command);
    case 'pipeline':
      return runPipeline(run, state, command);
    case 'and-or':
      return runAndOr(run, state, command);
    case 'background':
      return [runBackground(run, state, command.command)];
    case 'group':
      redirect(run, { state }, command.redirects);
      return heard(runGroup(run, state, command), state, command.redirects);
    case 'subshell':
      redirect(run, { state }, command.redirects);
      return heard(runSubshell(run, state, command.body), state, command.redirects);
    case 'if':
      return runIf(run, state, command);
    case 'function':
      return [{ ...state, functions: new Map([...state.functions, [command.name, command.body]]), status: 0 }];
    default:
      return stepOther(run, state, command);
  }
}

type Other = Exclude<
  Command,
  { kind: 'simple' | 'pipeline' | 'and-or' | 'background' | 'group' | 'subshell' | 'if' | 'function' }
>;

function stepOther(run: Run, state: State, command: Other): readonly State[] {
  const scope: Scope = { state };
  switch (command.kind) {
    case 'loop':
      return followLoop(run, state, command);
    case 'for': {
      const words = command.words === undefined ? state.parameters : expandWords(run, scope, command.words);
      return followFor(run, scope.state, { ...command, words });
    }
    case 'counting':
      return followFor(run, state, { name: '', words: [ANY_WORDS], body: command.body });
    case 'case':
      return runCase(run, state, command);
    case 'test': {
      const truth = decideDoubleBracket(run, scope, command.words);
      return [{ ...scope.state, status: statusOf(truth) }];
    }
    default: {
      const text = expandText(run, scope, command.text);
      const value = arithmeticValue(text, scope.state);
      const status = statusOf(isKnown(value) ? value !== '0' : undefined);
      const assigned = assignedNames(text);
      return [assigned.reduce((after, name) => withVariable(after, name, UNKNOWN), { ...scope.state, status })];
    }
  }
}

/** Parts states by their status; what is not known belongs to both. */
function byStatus(states: readonly State[]): { succeeded: State[]; failed: State[]; left: State[] } {
  const open = states.filter(({ flow }) => flow === undefined);
  return {
    succeeded: open.filter(({ status }) => status !== 1).map((state) => withStatus(state, 0)),
    failed: open.filter(({ status }) => status !== 0).map((state) => withStatus(state, 1)),
    left: states.filter(({ flow }) => flow !== undefined),
  };
}

function runAndOr(
  run: Run,
  state: State,
  { left, operator, right }: Extract<Command, { kind: 'and-or' }>,
): readonly State[] {
  const { succeeded, failed, left: over } = byStatus(run.step(state, left));
  const [taken, skipped] = operator === '&&' ? [succeeded, failed] : [failed, succeeded];
  return settled(run, [...over, ...skipped, ...executeAll(run, taken, [right])]);
}

function runIf(run: Run, state: State, { branches, otherwise }: Extract<Command, { kind: 'if' }>): readonly State[] {
  const done: State[] = [];
  let current: readonly State[] = [state];
  for (const { condition, body } of branches) {
    const { succeeded, failed, left } = byStatus(executeAll(run, current, condition));
    done.push(...left, ...executeAll(run, succeeded, body));
    current = failed;
  }
  return settled(run, [
    ...done,
    ...executeAll(
      run,
      current.map((one) => withStatus(one, 0)),
      otherwise,
    ),
  ]);
}

function runCase(run: Run, state: State, { subject, arms }: Extract<Command, { kind: 'case' }>): readonly State[] {
  const scope: Scope = { state };
  const text = expandText(run, scope, subject);
  const done: State[] = [];
  let falls: readonly State[] = [];
  for (const { patterns, body, end } of arms) {
    const truths = patterns.map((pattern) => matches(expandPattern(run, scope, pattern), text));
    const isTaken = truths.includes(true);
    const mayBe = isTaken || truths.includes(undefined);
    if (!mayBe && falls.length === 0) continue;
    const after = executeAll(run, mayBe ? [...falls, { ...scope.state, status: 0 }] : falls, body);
    falls = end === ';&' ? after : [];
    if (end !== ';&') done.push(...after);
    if (isTaken && end === ';;') return settled(run, done);
  }
  return settled(run, [...done, ...falls, { ...scope.state, status: 0 }]);
}

/** Follows a group. Of what its commands read from another command, only that there is nothing is known for each of them. */
function runGroup(run: Run, state: State, { body, redirects }: Extract<Command, { kind: 'group' }>): readonly State[] {
  const isFed = redirects.some(({ target }) => target[0]?.kind === 'process');
  if (!isFed || inputOf(run, state, redirects) !== '') return run.execute(state, body);
  return run.execute(withInput(state, ''), body).map((end) => withInput(end, state.input));
}

const withInput = (state: State, input: State['input']): State => ({ ...state, input });

function runSubshell(run: Run, state: State, body: Commands): readonly State[] {
  return run.execute({ ...state, flow: undefined }, body).map((end) => afterSubshell(state, end));
}

const afterSubshell = (state: State, { status, last, idle, jobs, output }: State): State => ({
  ...state,
  status,
  last,
  idle,
  jobs,
  output,
});

function runBackground(run: Run, state: State, command: Command): State {
  const ends = run.step({ ...state, last: [], idle: [], jobs: [], output: undefined }, command);
  const started = ends.map(staying).reduce(together, []);
  for (const program of started) if (!program.isUtility) run.beside.set(program.key, program);
  const jobs = started.filter(({ isUtility }) => !isUtility);
  return { ...state, status: 0, jobs: together(state.jobs, jobs), idle: together(state.idle, started) };
}

function runPipeline(
  run: Run,
  state: State,
  { commands, negated }: Extract<Command, { kind: 'pipeline' }>,
): readonly State[] {
  const [only] = commands;
  const turn = (end: State): State =>
    negated && end.status !== undefined && end.flow === undefined ? { ...end, status: end.status === 0 ? 1 : 0 } : end;
  if (only !== undefined && commands.length === 1) return run.step(state, only).map(turn);
  // Each command runs in a subshell of its own, all at the same time.
  const inside: State = { ...state, last: [], idle: [], output: undefined };
  const ends: (readonly State[])[] = [];
  for (const [at, command] of commands.entries()) {
    const input = at === 1 ? onlyOutput(ends[0] ?? []) : UNKNOWN;
    ends.push(run.step(at === 0 ? { ...inside, output: '' } : { ...inside, input }, command));
  }
  const statuses = new Set(ends.at(-1)?.map(({ status }) => status));
  const [status] = statuses.size === 1 ? statuses : [];
  const after = withStatus(written(state, pipedText(run, inside, commands, ends[0] ?? []) ?? UNKNOWN), status);
  const all = ends.flat();
  return [turn(stayed(after, [...all.map(({ last }) => last), ...all.map(({ idle }) => idle)].reduce(together, [])))];
}

/** Returns what a pipeline of filters writes; undefined if that is not known. */
function pipedText(
  run: Run,
  state: State,
  [, ...commands]: readonly Command[],
  starts: readonly State[],
): string | undefined {
  let text = onlyOutput(starts);
  for (const command of commands) {
    if (!isKnown(text) || command.kind !== 'simple') return undefined;
    text = filtered(expandWords(run, { state }, command.words), text) ?? UNKNOWN;
  }
  return text;
}
