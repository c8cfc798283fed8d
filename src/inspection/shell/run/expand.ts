import { arithmeticValue } from './arithmetic.ts';
import { parameterValue } from './parameter.ts';
import type { Run, Scope, Written } from './run.ts';
import { type State, valueOf } from './state.ts';
import type { Commands, Part, Word } from '../syntax.ts';
import { ANY_WORDS, isKnown, type Pattern, readPattern, UNKNOWN } from './values.ts';
import { withoutTrailing } from '../../../util/text.ts';

/** A part of a value. What was quoted is not split and holds no pattern. */
export interface Piece {
  readonly text: string;
  readonly quoted: boolean;
}

const mostWords = 512;

/** Expands words to the words that a command gets: one may stand for any number (`ANY_WORDS`), or hold unknown text. */
export function expandWords(run: Run, scope: Scope, words: readonly Word[]): readonly string[] {
  const expanded: string[] = [];
  for (const word of words) {
    if (expanded.length < mostWords) expanded.push(...expandWord(run, scope, word));
    // It may still set a variable or run a program.
    else expandPieces(run, scope, word);
  }
  return expanded.slice(0, mostWords);
}

/** A word under expansion: the fields that it is split into. */
interface Fields {
  readonly done: (readonly Piece[])[];
  open: Piece[];
  noWord: boolean;
}

function expandWord(run: Run, scope: Scope, word: Word): readonly string[] {
  const fields: Fields = { done: [], open: [], noWord: false };
  const end = (): void => {
    // `"$@"` without arguments is no word at all.
    const isNone = fields.noWord && fields.open.every(({ text }) => text === '');
    if (fields.open.length > 0 && !isNone) fields.done.push(fields.open);
    fields.open = [];
  };
  for (const [index, part] of word.entries()) {
    if (part.kind === 'array') continue;
    const value = valueOfPart(run, scope, part, index === 0);
    const quoted = 'quoted' in part && part.quoted;
    const list = typeof value === 'string' ? [value] : value;
    fields.noWord ||= list.length === 0;
    for (const [at, text] of list.entries()) {
      if (at > 0) end();
      if (quoted || part.kind === 'text') fields.open.push({ text, quoted });
      else addSplit(fields, splitFields(run, scope, text), end);
    }
  }
  end();
  return fields.done.flatMap((pieces) => fieldTexts(run, pieces));
}

/** Splits a text into no more fields than a command gets. Each costs as much as a longer text that is not split. */
function splitFields(run: Run, scope: Scope, text: string): readonly string[] {
  const split = text.split(fieldSeparators(scope.state), mostWords + 1);
  run.world.spend(Math.ceil(split.length / 16));
  return split;
}

function addSplit(fields: Fields, split: readonly string[], end: () => void): void {
  for (const [at, one] of split.entries()) {
    if (at > 0) end();
    if (one !== '') fields.open.push({ text: one, quoted: false });
  }
}

function fieldSeparators(state: State): RegExp {
  const separators = state.variables.get('IFS')?.value;
  if (typeof separators !== 'string' || !isKnown(separators)) return /[ \t\n]+/u;
  if (separators === '') return /(?!)/u;
  const characters = separators.replaceAll(/[\\\]^-]/gu, String.raw`\$&`);
  return new RegExp(separators.trim() === '' ? `[${characters}]+` : `[${characters}]`, 'u');
}

/** Returns whether a text stands for the names of files: it has `*`, `?` or `[…]`. */
function hasPattern(text: string): boolean {
  const bracket = text.indexOf('[');
  return /[*?]/u.test(text) || (bracket !== -1 && text.includes(']', bracket + 2));
}

function fieldTexts({ world }: Run, pieces: readonly Piece[]): readonly string[] {
  const text = pieces.map((piece) => piece.text).join('');
  const isOpen = pieces.some((piece) => !piece.quoted && hasPattern(piece.text));
  if (!isOpen) {
    return [text === UNKNOWN && pieces.some((piece) => !piece.quoted && piece.text !== '') ? ANY_WORDS : text];
  }
  const isPlain =
    text.startsWith('/') && isKnown(text) && pieces.every((piece) => !piece.quoted || !hasPattern(piece.text));
  const found = isPlain ? world.matching(text) : undefined;
  // A pattern that matches nothing stands for itself.
  if (found !== undefined) return found.length > 0 ? found : [text];
  // A pattern stands for any number of files; an unknown value that is not quoted, for any number of words.
  return [text.startsWith('-') ? text : ANY_WORDS];
}

/** Expands a word to one text, as in an assignment. */
export function expandText(run: Run, scope: Scope, word: Word): string {
  return expandPieces(run, scope, word)
    .map((piece) => piece.text)
    .join('')
    .replaceAll(ANY_WORDS, UNKNOWN);
}

/** Expands a word to a pattern, as in `case`. */
export function expandPattern(run: Run, scope: Scope, word: Word): Pattern {
  return readPattern(expandPieces(run, scope, word));
}

/** Expands an array's literal: its elements, with their keys if it is `( [key]=value )`; undefined if those are not known. */
export function expandArray(
  run: Run,
  scope: Scope,
  words: readonly Word[],
): readonly string[] | Map<string, string> | undefined {
  const isKeyed = words.some(([first]) => first?.kind === 'text' && !first.quoted && first.text.startsWith('['));
  if (!isKeyed) return expandWords(run, scope, words);
  const elements = new Map<string, string>();
  for (const word of words.slice(0, mostWords)) {
    const pieces = expandPieces(run, scope, word);
    const end = pieces.findIndex(({ text, quoted }) => !quoted && text.includes(']='));
    const text = (some: readonly Piece[]): string =>
      some
        .map((piece) => piece.text)
        .join('')
        .replaceAll(ANY_WORDS, UNKNOWN);
    const split = pieces[end]?.text.indexOf(']=') ?? -1;
    const key = (text(pieces.slice(0, Math.max(0, end))) + (pieces[end]?.text.slice(0, split) ?? '')).slice(1);
    if (end === -1 || !isKnown(key)) return undefined;
    elements.set(key, (pieces[end]?.text.slice(split + 2) ?? '') + text(pieces.slice(end + 1)));
  }
  return elements;
}

/** Expands a word to its pieces. */
export function expandPieces(run: Run, scope: Scope, word: Word): readonly Piece[] {
  return word.map((part, index) => {
    const value = valueOfPart(run, scope, part, index === 0);
    const quoted = 'quoted' in part && part.quoted;
    return { text: typeof value === 'string' ? value : value.join(' '), quoted };
  });
}

/** Returns a part's value; a list where it gives several words, such as `"$@"`. */
function valueOfPart(run: Run, scope: Scope, part: Part, isFirst: boolean): string | readonly string[] {
  const value = readPart(run, scope, part, isFirst);
  const length = typeof value === 'string' ? value.length : value.reduce((sum, one) => sum + one.length + 1, 0);
  // What is put together counts, so that it is bounded, too.
  run.world.spend(1 + Math.ceil(length / 256));
  return value;
}

function readPart(run: Run, scope: Scope, part: Part, isFirst: boolean): string | readonly string[] {
  switch (part.kind) {
    case 'text':
      return isFirst && !part.quoted && /^~(?:\/|$)/u.test(part.text)
        ? (valueOf(scope.state, 'HOME') ?? '~') + part.text.slice(1)
        : part.text;
    case 'parameter':
      return parameterValue(run, scope, part, { text: expandText, pattern: expandPattern });
    case 'command':
      return outputOf(run, scope, part.body);
    case 'arithmetic':
      return arithmeticValue(expandText(run, scope, part.text), scope.state);
    case 'process':
      outputOf(run, scope, part.body);
      return UNKNOWN;
    default:
      return UNKNOWN;
  }
}

// Outputs of one substitution that are followed one by one.
const mostOutputs = 4;

/** Returns what commands write to standard output. They run in a subshell: their programs pass. */
function outputOf(run: Run, scope: Scope, body: Commands): string {
  if (scope.picked?.body === body) {
    const { output, status } = scope.picked;
    scope.state = { ...scope.state, status };
    return output;
  }
  const inner: State = { ...scope.state, output: '', last: [], idle: [], jobs: [], flow: undefined };
  const before = new Set(run.ran.keys());
  const ends = run.execute(inner, body);
  for (const [key, program] of run.ran) {
    if (before.has(key)) continue;
    run.ran.delete(key);
    run.passed.set(key, program);
  }
  return chosen(scope, body, writtenBy(ends));
}

/** Returns the output if there is one, and notes them if they are followed one by one. */
function chosen(scope: Scope, body: Commands, outputs: readonly Written[]): string {
  const [only] = outputs;
  const statuses = new Set(outputs.map(({ status }) => status));
  scope.state = { ...scope.state, status: statuses.size === 1 ? only?.status : undefined };
  if (outputs.length < 2) return only?.output ?? '';
  // Unknown text is worth a run of its own if its status tells it from the others.
  const isClear = outputs.every(({ output }) => !output.startsWith(UNKNOWN)) || statuses.size === outputs.length;
  if (outputs.length <= mostOutputs && isClear && scope.picked === undefined) scope.several ??= { body, outputs };
  return UNKNOWN;
}

/** Returns the different outputs of states, each with the exit status that goes with it. */
function writtenBy(ends: readonly State[]): readonly Written[] {
  const statuses = Map.groupBy(ends, ({ output = '' }) => withoutTrailing(output, '\n'));
  return [...statuses].map(([output, [first, ...others]]) => ({
    output,
    status: others.every(({ status }) => status === first?.status) ? first?.status : undefined,
  }));
}
