import { expandPattern, expandPieces, expandText, type Piece } from '../run/expand.ts';
import type { Run, Scope } from '../run/run.ts';
import { arithmeticValue } from '../run/arithmetic.ts';
import { valueOf } from '../run/state.ts';
import type { TestWord, Word } from '../syntax.ts';
import { isEmpty, isKnown, matches, not, sameText, type Truth } from '../run/values.ts';
import { joinPath } from '../../command/invocation.ts';

/** Decides `test WORDS` (POSIX.1-2024 XCU test, and bash's and dash's additions); undefined if it depends on what is not known. */
export function decideTest(run: Run, scope: Scope, words: readonly string[]): Truth {
  const reader: TestReader = {
    tokens: words.map((text) => ({ text, word: undefined })),
    at: 0,
    run,
    scope,
    and: ['-a'],
    or: ['-o'],
  };
  return decideAll(reader);
}

/** Decides `[[ WORDS ]]`. */
export function decideDoubleBracket(run: Run, scope: Scope, words: readonly TestWord[]): Truth {
  const tokens = words.map((one) =>
    'operator' in one
      ? { text: one.operator, word: undefined }
      : { text: expandText(run, scope, one.word), word: one.word },
  );
  return decideAll({ tokens, at: 0, run, scope, and: ['&&'], or: ['||'] });
}

interface Token {
  readonly text: string;
  /** Given for words of `[[ ]]`: the right side of `==` is a pattern. */
  readonly word: Word | undefined;
}

interface TestReader {
  readonly tokens: readonly Token[];
  at: number;
  readonly run: Run;
  readonly scope: Scope;
  readonly and: readonly string[];
  readonly or: readonly string[];
}

function decideAll(reader: TestReader): Truth {
  const { length } = reader.tokens;
  // `[ "$X" ]`, whatever the value looks like.
  if (length === 0) return false;
  if (length === 1) return not(isEmpty(reader.tokens[0]?.text ?? ''));
  const truth = readOr(reader);
  return reader.at === length ? truth : undefined;
}

const textAt = (reader: TestReader, offset = 0): string => reader.tokens[reader.at + offset]?.text ?? '';

const readOr = (reader: TestReader): Truth => readChain(reader, reader.or, readAnd, true);

const readAnd = (reader: TestReader): Truth => readChain(reader, reader.and, readNot, false);

/** Reads operands between operators. One that is `decisive` decides, whatever the others are. */
function readChain(
  reader: TestReader,
  operators: readonly string[],
  operand: (reader: TestReader) => Truth,
  decisive: boolean,
): Truth {
  let truth = operand(reader);
  while (operators.includes(textAt(reader))) {
    reader.at += 1;
    const right = operand(reader);
    if (truth !== decisive) truth = right === decisive || truth !== undefined ? right : undefined;
  }
  return truth;
}

function readNot(reader: TestReader): Truth {
  const { world } = reader.run;
  const isOperand = isBinary(textAt(reader, 1)) && reader.at + 2 < reader.tokens.length;
  if (textAt(reader) === '!' && !isOperand) {
    reader.at += 1;
    return not(world.nest(() => readNot(reader)));
  }
  if (textAt(reader) === '(' && !isOperand) {
    reader.at += 1;
    const truth = world.nest(() => readOr(reader));
    reader.at += 1;
    return truth;
  }
  return readPrimary(reader, isOperand);
}

const isBinary = (text: string): boolean => /^(?:==?|!=|=~|<|>|-(?:eq|ne|lt|le|gt|ge|nt|ot|ef))$/u.test(text);

function readPrimary(reader: TestReader, binary: boolean): Truth {
  const [left, operator, right] = reader.tokens.slice(reader.at, reader.at + 3);
  if (binary && left !== undefined && operator !== undefined && right !== undefined) {
    reader.at += 3;
    return decideBinary(reader, left.text, operator.text, right);
  }
  if (/^-[a-zA-Z]$/u.test(left?.text ?? '') && operator !== undefined && !reader.and.includes(operator.text)) {
    reader.at += 2;
    return decideUnary(reader, left?.text ?? '', operator.text);
  }
  reader.at += 1;
  return not(isEmpty(left?.text ?? ''));
}

function decideBinary({ run, scope }: TestReader, left: string, operator: string, right: Token): Truth {
  switch (operator) {
    case '=':
    case '==':
      return sameOrMatch(run, scope, left, right);
    case '=~':
      return right.word === undefined ? undefined : decideRegex(expandPieces(run, scope, right.word), left);
    case '!=':
      return not(sameOrMatch(run, scope, left, right));
    case '-eq':
    case '-ne':
    case '-lt':
    case '-le':
    case '-gt':
    case '-ge':
      return compareNumbers(scope, left, operator, right.text);
    default:
      return undefined;
  }
}

function sameOrMatch(run: Run, scope: Scope, left: string, right: Token): Truth {
  return right.word === undefined ? sameText(left, right.text) : matches(expandPattern(run, scope, right.word), left);
}

const longestSubject = 128;

/**
 * Decides `=~` where that takes a bounded time: no group is repeated, and few pieces are. Of POSIX's regular expressions only
 * what means the same in JavaScript is worked out.
 */
function decideRegex(pieces: readonly Piece[], subject: string): Truth {
  const source = pieces
    .map(({ text, quoted }) => (quoted ? text.replaceAll(/[\\^$.*+?()[\]{}|/]/gu, String.raw`\$&`) : text))
    .join('');
  const repeats = source.match(/[*+{]/gu)?.length ?? 0;
  const isPlain = !/\)[*+{]|\[:|\[\.|\\[a-zA-Z<>]/u.test(source) && repeats <= 3 && source.length <= longestSubject;
  if (!isPlain || !isKnown(source) || !isKnown(subject) || subject.length > longestSubject) return undefined;
  try {
    return new RegExp(source, 'su').test(subject);
  } catch {
    return undefined;
  }
}

function compareNumbers({ state }: Scope, left: string, operator: string, right: string): Truth {
  const [one, other] = [arithmeticValue(left, state), arithmeticValue(right, state)];
  if (!isKnown(one) || !isKnown(other)) return undefined;
  const difference = Number(one) - Number(other);
  const signs: Readonly<Record<string, boolean>> = {
    '-eq': difference === 0,
    '-ne': difference !== 0,
    '-lt': difference < 0,
    '-le': difference <= 0,
    '-gt': difference > 0,
    '-ge': difference >= 0,
  };
  return signs[operator];
}

function decideUnary({ run, scope }: TestReader, operator: string, operand: string): Truth {
  switch (operator) {
    case '-z':
      return isEmpty(operand);
    case '-n':
      return not(isEmpty(operand));
    case '-v':
      return decideSet(scope, operand);
    case '-h':
    case '-L':
    case '-e':
    case '-f':
    case '-x':
    case '-d':
    case '-r':
    case '-s':
      return decideFile(run, scope, operator, operand);
    default:
      return undefined;
  }
}

function decideSet({ state }: Scope, name: string): Truth {
  const value = isKnown(name) ? valueOf(state, name.split('[', 1)[0] ?? '') : '';
  if (value === undefined) return false;
  return isKnown(value) ? true : undefined;
}

/**
 * Decides a question about a file. What the image has is there; what it lacks may have been made since, by a volume or by a
 * command before.
 */
function decideFile({ world }: Run, { state }: Scope, operator: string, operand: string): Truth {
  if (operand === '') return false;
  if (!isKnown(operand) || !isKnown(state.directory)) return undefined;
  const file = world.at(joinPath(state.directory, operand));
  if (file.type === 'directory') return isOfDirectory[operator];
  if (file.type !== 'file') return undefined;
  if (/^-[hL]$/u.test(operator)) return file.linked ? undefined : false;
  if (operator === '-x') return file.executable ? true : undefined;
  return isOfFile[operator];
}

const isOfDirectory: Readonly<Record<string, Truth>> = { '-e': true, '-d': true, '-r': true, '-x': true, '-f': false };
const isOfFile: Readonly<Record<string, Truth>> = { '-e': true, '-f': true, '-r': true, '-d': false };
