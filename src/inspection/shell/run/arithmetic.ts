import { type State, valueOf } from './state.ts';
import { isKnown, UNKNOWN } from './values.ts';

const levels: readonly (readonly string[])[] = [
  ['||'],
  ['&&'],
  ['==', '!='],
  ['<', '<=', '>', '>='],
  ['+', '-'],
  ['*', '/', '%'],
];

const apply: Readonly<Record<string, (a: number, b: number) => number>> = {
  '||': (a, b) => Number(a !== 0 || b !== 0),
  '&&': (a, b) => Number(a !== 0 && b !== 0),
  '==': (a, b) => Number(a === b),
  '!=': (a, b) => Number(a !== b),
  '<': (a, b) => Number(a < b),
  '<=': (a, b) => Number(a <= b),
  '>': (a, b) => Number(a > b),
  '>=': (a, b) => Number(a >= b),
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => Math.trunc(a / b),
  '%': (a, b) => a % b,
};

/** Returns the value of an arithmetic expression as text; unknown if it assigns, or uses what is not known. */
export function arithmeticValue(text: string, state: State): string {
  const value = evaluate(text, state);
  return value === undefined ? UNKNOWN : String(value);
}

/** Returns the variables that an arithmetic expression assigns to. */
export function assignedNames(text: string): readonly string[] {
  const assigning = /(?:\+\+|--)\s*([A-Za-z_]\w*)|(?<!\w)([A-Za-z_]\w*)\s*(?:\+\+|--|(?:[-+*/%&|^]|<<|>>)?=(?!=))/gu;
  return Array.from(text.slice(0, 512).matchAll(assigning), ([, before, name]) => before ?? name ?? '');
}

function evaluate(text: string, state: State): number | undefined {
  if (!isKnown(text) || text.length > 512) return undefined;
  const tokens = text.match(/\d+|[A-Za-z_]\w*|&&|\|\||[=!<>]=|[<>+\-*/%()!]|\S/gu) ?? [];
  const reader: Reader = { tokens, at: 0, state };
  const value = tokens.length === 0 ? 0 : readLevel(reader, 0);
  return reader.at === tokens.length && Number.isSafeInteger(value) ? value : undefined;
}

interface Reader {
  readonly tokens: readonly string[];
  at: number;
  readonly state: State;
}

// Not a number: what is not understood. It makes the whole value unknown.
function readLevel(reader: Reader, level: number): number {
  const operators = levels[level];
  if (operators === undefined) return readPrimary(reader);
  let value = readLevel(reader, level + 1);
  for (
    let operator = reader.tokens[reader.at] ?? '';
    operators.includes(operator);
    operator = reader.tokens[reader.at] ?? ''
  ) {
    reader.at += 1;
    value = apply[operator]?.(value, readLevel(reader, level + 1)) ?? Number.NaN;
  }
  return value;
}

function readPrimary(reader: Reader): number {
  const token = reader.tokens[reader.at] ?? '';
  reader.at += 1;
  if (token === '-') return -readPrimary(reader);
  if (token === '!') return Number(readPrimary(reader) === 0);
  if (token === '(') {
    const value = readLevel(reader, 0);
    const isClosed = reader.tokens[reader.at] === ')';
    reader.at += 1;
    return isClosed ? value : Number.NaN;
  }
  if (/^\d+$/u.test(token)) return Number(token);
  if (!/^[A-Za-z_]\w*$/u.test(token)) return Number.NaN;
  const value = valueOf(reader.state, token) ?? '0';
  return /^-?\d+$/u.test(value) ? Number(value) : Number.NaN;
}
