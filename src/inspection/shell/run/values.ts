/** Stands for some text that only the running shell knows, inside a value. No environment and no file name can hold it. */
export const UNKNOWN = '\0';

/** A word that stands for any number of unknown words. */
export const ANY_WORDS = '\u0001';

/** Returns a text of an image, which must not pass for one that is not known. */
export const withoutMarks = (text: string): string => text.replaceAll(UNKNOWN, '?').replaceAll(ANY_WORDS, '?');

/** A truth value; undefined if it depends on what is not known. */
export type Truth = boolean | undefined;

export const isKnown = (text: string): boolean => !text.includes(UNKNOWN) && !text.includes(ANY_WORDS);

export const not = (truth: Truth): Truth => (truth === undefined ? undefined : !truth);

/** Compares two texts; undefined if what is unknown of them decides it. */
export function sameText(one: string, other: string): Truth {
  if (isKnown(one) && isKnown(other)) return one === other;
  return endsConflict(one, other) ? false : undefined;
}

/** Reports whether the known beginnings or ends of two texts differ, so that the texts do. */
function endsConflict(one: string, other: string): boolean {
  const [a, b] = [knownEnds(one), knownEnds(other)];
  const head = Math.min(a.head.length, b.head.length);
  const tail = Math.min(a.tail.length, b.tail.length);
  if (a.head.slice(0, head) !== b.head.slice(0, head)) return true;
  if (tail > 0 && a.tail.slice(-tail) !== b.tail.slice(-tail)) return true;
  return (isKnown(one) && one.length < b.known) || (isKnown(other) && other.length < a.known);
}

/** Returns what two texts have in common: what they begin and end with. What is between is unknown. */
export function commonText(one: string, other: string): string {
  const shorter = Math.min(one.length, other.length);
  let head = 0;
  while (head < shorter && one[head] === other[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && one.at(-1 - tail) === other.at(-1 - tail)) tail += 1;
  return (one.slice(0, head) + UNKNOWN + one.slice(one.length - tail)).replaceAll(/\0+/gu, UNKNOWN);
}

interface Ends {
  readonly head: string;
  readonly tail: string;
  /** Characters that are known in all. */
  readonly known: number;
}

function knownEnds(text: string): Ends {
  const parts = text.replaceAll(ANY_WORDS, UNKNOWN).split(UNKNOWN);
  const known = parts.reduce((sum, part) => sum + part.length, 0);
  return { head: parts[0] ?? '', tail: parts.at(-1) ?? '', known };
}

/** Reports whether a text is empty. */
export function isEmpty(text: string): Truth {
  if (text === '') return true;
  return knownEnds(text).known > 0 ? false : undefined;
}

/** A token of a pattern (POSIX.1-2024 XCU 2.14). `odd`: an extended pattern, which may match anything. */
type Token = { readonly literal: string } | { readonly wild: '*' | '?' | 'odd' } | { readonly among: RegExp };

export type Pattern = readonly Token[];

/** Reads a pattern. `pieces`: its text; what was quoted stands for itself. */
export function readPattern(pieces: readonly { readonly text: string; readonly quoted: boolean }[]): Pattern {
  return pieces.flatMap(({ text, quoted }) => {
    if (quoted) return Array.from(text, literalToken);
    if (/[?*+@!]\(/u.test(text)) return [{ wild: 'odd' } as const];
    return Array.from(text.matchAll(/\[[!^]?\]?[^\]]*\]|\\?[\s\S]/gu), ([token]) => tokenOf(token));
  });
}

const literalToken = (character: string): Token =>
  character === UNKNOWN || character === ANY_WORDS ? { wild: 'odd' } : { literal: character };

function tokenOf(text: string): Token {
  if (text === '*' || text === '?') return { wild: text };
  if (text.length < 3 || !text.startsWith('[')) return literalToken(text.length > 1 ? text.slice(1) : text);
  const negated = /^\[[!^]/u.test(text);
  const inside = text.slice(negated ? 2 : 1, -1);
  const body = inside
    .replaceAll(/\[:(\w+):\]?/gu, (_, name: string) => classes[name] ?? '')
    .replaceAll(/[\\[\]^]/gu, String.raw`\$&`);
  try {
    return { among: new RegExp(`^[${negated ? '^' : ''}${body}]$`, 'u') };
  } catch {
    return { wild: 'odd' };
  }
}

const classes: Readonly<Record<string, string>> = {
  alpha: 'A-Za-z',
  digit: '0-9',
  alnum: 'A-Za-z0-9',
  lower: 'a-z',
  upper: 'A-Z',
  space: ' \t\n',
};

/** Matches a whole text; undefined if what is unknown decides it. Takes time in proportion to both lengths. */
export function matches(pattern: Pattern, text: string): Truth {
  if (pattern.length > 0 && pattern.every((token) => 'wild' in token && token.wild === '*')) return true;
  if (pattern.some((token) => 'wild' in token && token.wild === 'odd')) return undefined;
  if (isKnown(text)) return matchesKnown(pattern, Array.from(text));
  const { head, tail } = literalEnds(pattern);
  if (endsConflict(`${head}${UNKNOWN}${tail}`, text)) return false;
  const isPrefix = pattern.length === head.length + 1 && 'wild' in (pattern.at(-1) ?? {});
  if (isPrefix && isStar(pattern.at(-1)) && knownEnds(text).head.startsWith(head)) return true;
  const isSuffix = pattern.length === tail.length + 1 && isStar(pattern[0]);
  return isSuffix && knownEnds(text).tail.endsWith(tail) ? true : undefined;
}

const isStar = (token: Token | undefined): boolean => token !== undefined && 'wild' in token && token.wild === '*';

function literalEnds(pattern: Pattern): { head: string; tail: string } {
  const first = pattern.findIndex((token) => !('literal' in token));
  const last = pattern.findLastIndex((token) => !('literal' in token));
  const text = (tokens: Pattern): string => tokens.map((token) => ('literal' in token ? token.literal : '')).join('');
  if (first === -1) return { head: text(pattern), tail: text(pattern) };
  return { head: text(pattern.slice(0, first)), tail: text(pattern.slice(last + 1)) };
}

// Goes back to the last star alone, so it is linear in the product of the lengths.
function matchesKnown(pattern: Pattern, text: readonly string[]): boolean {
  let [at, token, star, mark] = [0, 0, -1, 0];
  while (at < text.length) {
    const wanted = pattern[token];
    if (isStar(wanted)) {
      [star, mark] = [token, at];
      token += 1;
    } else if (wanted !== undefined && matchesOne(wanted, text[at] ?? '')) {
      at += 1;
      token += 1;
    } else if (star !== -1) {
      mark += 1;
      [at, token] = [mark, star + 1];
    } else {
      return false;
    }
  }
  return pattern.slice(token).every(isStar);
}

function matchesOne(token: Token, character: string): boolean {
  if ('literal' in token) return token.literal === character;
  return 'among' in token ? token.among.test(character) : true;
}
