import { joinPath } from '../../command/invocation.ts';
import { hiddenProgram } from '../../command/outcome.ts';
import { normalizePath } from '../../overlay.ts';
import { decideTest } from './conditions.ts';
import { declareVariables } from './declare.ts';
import { readLine, readLines } from './read.ts';
import { resolved } from '../outputs.ts';
import { decidingVariables } from '../deciding.ts';
import { parseShell } from '../parse.ts';
import type { Call, Run } from '../run/run.ts';
import { environmentOf, type State, statusOf, valueOf, withoutVariable, withVariable } from '../run/state.ts';
import type { ShellText } from '../syntax.ts';
import { ANY_WORDS, isKnown, UNKNOWN } from '../run/values.ts';

type Builtin = (call: Call) => readonly State[];

const ends =
  (status: State['status']): Builtin =>
  ({ state }) => [{ ...state, status }];

const succeeds = ends(0);

/** Returns what runs a command of this name inside the shell; undefined if it is a program. */
export function builtinOf(name: string): Builtin | undefined {
  return Object.hasOwn(builtins, name) ? builtins[name] : undefined;
}

const builtins: Readonly<Record<string, Builtin>> = {
  ':': succeeds,
  true: succeeds,
  false: ends(1),
  ...Object.fromEntries(
    (
      'trap umask ulimit times alias unalias bg fg disown enable shopt jobs kill help history complete compgen caller bind ' +
      'suspend dirs setopt'
    )
      .split(' ')
      .map((name) => [name, succeeds]),
  ),
  cd: changeDirectory,
  pushd: changeDirectory,
  popd: ({ state }) => [{ ...state, directory: UNKNOWN, status: 0 }],
  pwd: ({ run, state, words }) => [
    written(state, `${words.includes('-P') ? resolved(state, state.directory, run) : state.directory}\n`),
  ],
  echo: ({ state, words }) => [written(state, `${echoed(words)}\n`)],
  printf: print,
  set: setOptions,
  shift: shiftParameters,
  getopts: readOption,
  read: readLine,
  mapfile: readLines,
  readarray: readLines,
  export: declareVariables,
  readonly: declareVariables,
  declare: declareVariables,
  typeset: declareVariables,
  local: declareVariables,
  unset: ({ state, words }) => [words.filter((word) => !word.startsWith('-')).reduce(withoutVariable, state)],
  let: ({ state, words }) => [words.reduce(assignUnknown, { ...state, status: undefined })],
  exit: (call) => [{ ...call.state, status: statusArgument(call), flow: { kind: 'exit' } }],
  return: (call) => [{ ...call.state, status: statusArgument(call), flow: { kind: 'return' } }],
  break: (call) => [{ ...call.state, flow: { kind: 'break', levels: levelsOf(call) } }],
  continue: (call) => [{ ...call.state, flow: { kind: 'continue', levels: levelsOf(call) } }],
  eval: evaluate,
  '.': sourceFile,
  source: sourceFile,
  test: ({ run, state, words }) => [decided(run, state, words)],
  '[': ({ run, state, words }) => [decided(run, state, words.slice(0, -1))],
  wait: ({ state }) => [{ ...waiting(state), status: undefined }],
  type: find,
  which: find,
  hash: find,
};

function decided(run: Run, state: State, words: readonly string[]): State {
  const scope = { state };
  const status = words.includes(ANY_WORDS) ? undefined : statusOf(decideTest(run, scope, words));
  return { ...scope.state, status };
}

/** Returns the state in which the shell waits for its jobs: they are what stays. */
export function waiting(state: State): State {
  return state.jobs.length === 0 ? state : { ...state, last: state.jobs };
}

const longestOutput = 4096;

export function written(state: State, text: string): State {
  const { output } = state;
  // Kept only inside `$( … )`: rounds of a loop that only print are alike.
  if (output === undefined) return { ...state, status: 0 };
  const isWhole = output.length + text.length <= longestOutput && output !== UNKNOWN;
  return { ...state, output: isWhole ? output + text : UNKNOWN, status: 0 };
}

const plainWords = (words: readonly string[]): string =>
  words.map((word) => (word === ANY_WORDS ? UNKNOWN : word)).join(' ');

function echoed(words: readonly string[]): string {
  const text = plainWords(/^-[neE]+$/u.test(words[0] ?? '') ? words.slice(1) : words);
  return text.includes('\\') ? UNKNOWN : text;
}

function print({ state, words }: Call): readonly State[] {
  const [option, name = '', ...rest] = words;
  if (option !== '-v') return [written(state, formatted(words))];
  return [withVariable({ ...state, status: 0 }, name, formatted(rest))];
}

/** Returns what `printf FORMAT VALUE…` prints, for formats of `%s`, `%d` and line ends that take all values at once. */
function formatted([format = '', ...values]: readonly string[]): string {
  const parts = format.split(/(%[sd%]|\\n)/u);
  const places = parts.filter((part) => part === '%s' || part === '%d').length;
  const isPlain = parts.every((part, at) => at % 2 === 1 || !/[%\\]/u.test(part)) && isKnown(format);
  const fits = values.length <= places || (places === 0 && values.length === 0);
  if (!isPlain || !fits || (values.length > 1 && values.includes(ANY_WORDS))) return UNKNOWN;
  const left = values.values();
  const shown = (part: string): string => {
    if (part === '%%') return '%';
    if (part === String.raw`\n`) return '\n';
    const value = left.next().value ?? (part === '%d' ? '0' : '');
    return value === ANY_WORDS ? UNKNOWN : value;
  };
  return parts.map((part, at) => (at % 2 === 1 ? shown(part) : part)).join('');
}

function changeDirectory({ run, state, words }: Call): readonly State[] {
  const to = words.find((word) => !/^-[LPe@-]+$/u.test(word)) ?? valueOf(state, 'HOME') ?? '/';
  if (to === '-') return [{ ...state, directory: UNKNOWN, status: 0 }];
  if (!isKnown(to) || !isKnown(state.directory)) return [{ ...state, directory: UNKNOWN, status: 0 }];
  // By the text alone, as `cd` without -P.
  const directory = `/${normalizePath(joinPath(state.directory, to))}`;
  const status = run.world.at(directory).type === 'directory' ? 0 : undefined;
  return [{ ...state, directory, status }];
}

function setOptions({ state, words }: Call): readonly State[] {
  const dashes = words.indexOf('--');
  if (dashes !== -1) return [{ ...state, parameters: words.slice(dashes + 1), status: 0 }];
  const first = words.findIndex(
    (word, index) => !/^[-+]/u.test(word) && !/^[-+][a-zA-Z]*o$/u.test(words[index - 1] ?? ''),
  );
  return [{ ...state, ...(first !== -1 && { parameters: words.slice(first) }), status: 0 }];
}

function shiftParameters({ state, words }: Call): readonly State[] {
  const [count = '1'] = words;
  const unknownFrom = state.parameters.indexOf(ANY_WORDS);
  const isClear = /^\d+$/u.test(count) && (unknownFrom === -1 || unknownFrom >= Number(count));
  if (!isClear) return [{ ...state, parameters: [ANY_WORDS], status: undefined }];
  const status = Number(count) <= state.parameters.length ? 0 : 1;
  return [{ ...state, ...(status === 0 && { parameters: state.parameters.slice(Number(count)) }), status }];
}

// Options that are given are not read one by one: what follows them is then unknown.
function readOption({ state, words }: Call): readonly State[] {
  const [first = ''] = words.length > 2 ? words.slice(2) : state.parameters;
  if (isKnown(first) && !/^-./u.test(first)) return [{ ...withVariable(state, 'OPTIND', '1'), status: 1 }];
  return [[words[1] ?? '', 'OPTARG', 'OPTIND'].reduce(assignUnknown, { ...state, status: undefined })];
}

function assignUnknown(state: State, name: string): State {
  const [plain] = /^[A-Za-z_]\w*/u.exec(name) ?? [];
  return plain === undefined ? state : withVariable(state, plain, UNKNOWN);
}

function statusArgument({ state, words }: Call): State['status'] {
  const [given] = words;
  if (given === undefined) return state.status;
  return isKnown(given) ? (Number(given) === 0 ? 0 : 1) : undefined;
}

const levelsOf = ({ words }: Call): number => Math.max(1, Number.parseInt(words[0] ?? '1', 10) || 1);

/** Follows a text inside the running shell. */
export function followText(run: Run, state: State, { commands, broken }: ShellText): readonly State[] {
  const deciding = decidingVariables(commands);
  for (const name of deciding.commands) run.deciding.commands.add(name);
  for (const name of deciding.words) run.deciding.words.add(name);
  const after = run.execute(state, commands);
  if (broken === undefined) return after;
  const hidden = hiddenProgram(`a shell text that could not be read to its end (${broken})`);
  const end = (one: State): State => ({ ...one, last: [hidden], flow: { kind: 'exit' } });
  return after.map((one) => (one.flow === undefined ? end(one) : one));
}

function readText({ world }: Run, text: string, marked = false): ShellText {
  world.spend(Math.ceil(text.length / 100));
  return parseShell(text, marked);
}

const deepest = 40;

function evaluate({ run, state, words }: Call): readonly State[] {
  const text = words.filter((word) => word !== ANY_WORDS).join(' ');
  const isHidden = words[0] === ANY_WORDS || text.startsWith(UNKNOWN);
  if (!isHidden) return state.callers.length > deepest ? [state] : followText(run, state, readText(run, text, true));
  // Most often the output of a program that sets variables.
  const hidden = hiddenProgram('a shell text that is put together while it runs');
  return [{ ...state, open: true, status: undefined, ...(state.last.length === 0 && { last: [hidden] }) }];
}

function sourceFile({ run, state, words }: Call): readonly State[] {
  const [name = '', ...rest] = words;
  const opened: State = { ...state, open: true, status: undefined };
  // A file whose name only the running shell knows is a hook: it is expected to come back.
  if (!isKnown(name) || !isKnown(state.directory)) return [opened];
  const path = name.includes('/')
    ? joinPath(state.directory, name)
    : (pathOf(run, state, name) ?? joinPath(state.directory, name));
  const file = run.world.at(path, true);
  if (file.type === 'unseen') return [opened];
  if (file.type !== 'file' || file.text === undefined)
    return [{ ...state, status: 1, open: state.open || file.type === 'file' }];
  if (state.callers.length > deepest) return [state];
  const inner: State = {
    ...state,
    source: path,
    callers: ['source', ...state.callers],
    ...(rest.length > 0 && { parameters: rest }),
  };
  const back = (after: State): State => ({
    ...after,
    source: state.source,
    callers: state.callers,
    parameters: rest.length > 0 ? state.parameters : after.parameters,
    flow: after.flow?.kind === 'return' ? undefined : after.flow,
  });
  return followText(run, inner, readText(run, file.text)).map(back);
}

const pathOf = (run: Run, state: State, name: string): string | undefined =>
  run.world.which(name, { env: environmentOf(state), directory: state.directory });

/** `type`, `which`, `hash` and `command -v`: says where a command is. */
export function find({ run, state, words, name }: Pick<Call, 'run' | 'state' | 'words' | 'name'>): readonly State[] {
  const wanted = words.find((word) => !word.startsWith('-')) ?? '';
  if (!isKnown(wanted)) return [{ ...written(state, UNKNOWN), status: undefined }];
  if (state.functions.has(wanted) || (name !== 'which' && builtinOf(wanted) !== undefined)) {
    return [written(state, `${wanted}\n`)];
  }
  const path = wanted.includes('/') ? wanted : pathOf(run, state, wanted);
  // A name that was not seen is as good as its path: it will be looked for again.
  return [
    { ...written(state, `${path ?? wanted}\n`), status: path === undefined || wanted.includes('/') ? undefined : 0 },
  ];
}
