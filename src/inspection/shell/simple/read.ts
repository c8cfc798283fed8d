import { inputOf } from '../files.ts';
import type { Call } from '../run/run.ts';
import { type State, withStatus, withVariable } from '../run/state.ts';
import { ANY_WORDS, isKnown, UNKNOWN } from '../run/values.ts';

/** What `read` and `mapfile` are asked to do, where it is understood. */
interface Request {
  readonly names: readonly string[];
  /** The names are arrays. */
  readonly isList: boolean;
  /** Backslashes stand for themselves. */
  readonly isRaw: boolean;
}

const isName = (word: string): boolean => /^[A-Za-z_]\w*$/u.test(word);

/** `read`: takes a line of a here-document, here-string or file apart; what comes from elsewhere is unknown. */
export function readLine(call: Call): readonly State[] {
  const { words } = call;
  const names = words.filter(isName);
  const isList = words.some((word) => /^-[a-z]*a/u.test(word));
  const request = {
    names: names.length > 0 ? names : ['REPLY'],
    isList,
    isRaw: words.some((word) => /^-a?r/u.test(word)),
  };
  const isPlain = words.every((word) => isName(word) || /^-(?:r|a|ra|ar)$/u.test(word));
  const line = isPlain ? givenTo(call)?.split('\n', 1)[0] : undefined;
  if (line === undefined && call.redirects.length === 0 && call.state.input === '') {
    return [withStatus(assigned(call.state, request, []), 1)];
  }
  const fields = line === undefined ? undefined : fieldsOf(call.inner, line, request);
  return [fields === undefined ? unread(call.state, request) : assigned(call.state, request, fields)];
}

/** `mapfile` and `readarray`: takes all lines. */
export function readLines(call: Call): readonly State[] {
  const { words } = call;
  const names = words.filter(isName);
  const request = { names: names.length > 0 ? names.slice(-1) : ['MAPFILE'], isList: true, isRaw: true };
  const isPlain = words.every((word) => isName(word) || word === '-t') && words.includes('-t') && names.length < 2;
  const text = isPlain ? givenTo(call) : undefined;
  if (text === undefined) return [unread(call.state, request)];
  return [assigned(call.state, request, (text.endsWith('\n') ? text.slice(0, -1) : text).split('\n').map(listed))];
}

const listed = (text: string): string => (text === UNKNOWN ? ANY_WORDS : text);

/** Returns the text that a redirection of the command itself gives it; undefined if it reads another input. */
function givenTo({ run, inner, redirects }: Call): string | undefined {
  const isGiven = redirects.some(({ descriptor, operator }) => descriptor === '' && /^<(?:<[<-]?)?$/u.test(operator));
  const text = isGiven ? inputOf(run, inner, redirects) : undefined;
  return text?.startsWith(UNKNOWN) === true ? undefined : text;
}

/** Splits a line as IFS says; undefined for what is not understood (POSIX.1-2024 XCU read). */
function fieldsOf({ variables }: State, line: string, request: Request): readonly string[] | undefined {
  const separators = variables.get('IFS')?.value ?? ' \t\n';
  const isEscaped = !request.isRaw && line.includes('\\');
  if (typeof separators !== 'string' || !isKnown(separators) || isEscaped) return undefined;
  return split(separators, line, request);
}

function split(separators: string, line: string, request: Request): readonly string[] | undefined {
  if (separators === '') return [line];
  const isBlank = separators.trim() === '';
  if (!isBlank && separators.length > 1) return undefined;
  const fields = isBlank ? line.trim().split(/\s+/u) : line.split(separators);
  if (fields.at(-1) === '') fields.pop();
  if (request.isList) return fields.map(listed);
  // The last name takes the rest.
  const head = fields.slice(0, request.names.length - 1);
  const behind = head.reduce((text, field) => skipped(text, field, isBlank), isBlank ? line.trim() : line);
  return fields.length <= request.names.length ? fields : [...head, behind];
}

const skipped = (text: string, field: string, isBlank: boolean): string =>
  isBlank ? text.slice(field.length).trimStart() : text.slice(field.length + 1);

function assigned(state: State, { names, isList }: Request, fields: readonly string[]): State {
  const done: State = { ...state, status: 0 };
  if (isList) return withVariable(done, names[0] ?? '', fields);
  return names.reduce((after, name, at) => withVariable(after, name, fields[at] ?? ''), done);
}

function unread(state: State, { names, isList }: Request): State {
  const begun: State = { ...state, status: undefined };
  return names.reduce((after, name) => withVariable(after, name, isList ? [ANY_WORDS] : UNKNOWN), begun);
}
