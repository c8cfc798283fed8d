import { withoutTrailing } from '../../util/text.ts';

/** What programs make of a text that they read from a pipe, where it can be known: `echo "$1" | tr A-Z a-z`. */

type Filter = (words: readonly string[], text: string) => string | undefined;

// Patterns take a time that their own length and this one bound.
const longestText = 1024;
const longestFile = 16 * 1024;
// A pattern with one repetition takes a time that grows with the square of the text.
const longestSedText = 256;

/** Returns what a command of a pipeline makes of `text`; undefined if that is not worked out. */
export function filtered([name = '', ...words]: readonly string[], text: string): string | undefined {
  const filter = Object.hasOwn(filters, name) ? filters[name] : undefined;
  return text.length > (name === 'grep' ? longestFile : longestText) ? undefined : filter?.(words, text);
}

const filters: Readonly<Record<string, Filter>> = {
  cat: (words, text) => (words.length === 0 ? text : undefined),
  tr: (words, text) => (words[0] === '-d' ? deleted(words.slice(1), text) : translated(words, text)),
  sed: (words, text) => substituted(words, text),
  cut: cutFields,
  grep: matchingLines,
  sort: (words, text) =>
    linesOf(text).length === 1 && words.every((word) => /^-[rVnu]+$/u.test(word)) ? text : undefined,
  head: (words, text) => (/^(?:-1|-n ?1)$/u.test(words.join(' ')) ? (linesOf(text)[0] ?? '') : undefined),
  tail: (words, text) => (/^(?:-1|-n ?1)$/u.test(words.join(' ')) ? (linesOf(text).at(-1) ?? '') : undefined),
  awk: fieldOf,
  xargs: (words, text) => (words.length === 0 ? text.trim().replaceAll(/\s+/gu, ' ') : undefined),
};

const linesOf = (text: string): readonly string[] => withoutTrailing(text, '\n').split('\n');

const eachLine = (text: string, change: (line: string) => string): string => linesOf(text).map(change).join('\n');

/** `cut -d CHARACTER -f NUMBER`, on each line. */
function cutFields(words: readonly string[], text: string): string | undefined {
  const [, separator, field] = /^-d\n?([^\n])\n-f\n?(\d+)$/u.exec(words.join('\n')) ?? [];
  if (separator === undefined) return undefined;
  return eachLine(text, (line) => (line.includes(separator) ? (line.split(separator)[Number(field) - 1] ?? '') : line));
}

// awk '{print $2}', with -F for another separator than blanks
function fieldOf(words: readonly string[], text: string): string | undefined {
  const [, separator, field] = /^(?:-F\n?([^\n])\n)?\{ ?print \$(\d) ?\}$/u.exec(words.join('\n')) ?? [];
  if (field === undefined) return undefined;
  const split = (line: string): readonly string[] =>
    separator === undefined ? line.trim().split(/\s+/u) : line.split(separator);
  return eachLine(text, (line) => (field === '0' ? line : (split(line)[Number(field) - 1] ?? '')));
}

const classes: Readonly<Record<string, string>> = {
  '[:upper:]': 'ABCDEFGHIJKLMNOPQRSTUVWXYZ',
  '[:lower:]': 'abcdefghijklmnopqrstuvwxyz',
  '[:digit:]': '0123456789',
  '[:space:]': ' \t\n\r\f\v',
};

/** Returns the characters of a set as `tr` reads it; undefined for what is not understood. */
function setOf(text: string): readonly string[] | undefined {
  // `[A-Z]` is common, and its brackets stand for themselves in both sets.
  if (Object.hasOwn(classes, text)) return Array.from(classes[text] ?? '');
  if (text.includes('[:') || text.includes('[=') || text.includes('*')) return undefined;
  const plain = text.replaceAll(String.raw`\n`, '\n').replaceAll(String.raw`\t`, '\t');
  if (plain.includes('\\')) return undefined;
  return Array.from(plain.matchAll(/([a-z])-([a-z])|([A-Z])-([A-Z])|(\d)-(\d)|[\s\S]/gu)).flatMap(
    ([whole, a, b, c = a, d = b, e = c, f = d]) => (e === undefined || f === undefined ? [whole] : between(e, f)),
  );
}

const between = (first: string, last: string): readonly string[] => {
  const from = first.charCodeAt(0);
  return Array.from({ length: Math.max(0, last.charCodeAt(0) - from + 1) }, (_, at) => String.fromCharCode(from + at));
};

function translated(words: readonly string[], text: string): string | undefined {
  const [from, to] = words.map(setOf);
  if (words.length !== 2 || from === undefined || to === undefined || to.length === 0) return undefined;
  const table = new Map(from.map((character, at) => [character, to[Math.min(at, to.length - 1)] ?? '']));
  return Array.from(text, (character) => table.get(character) ?? character).join('');
}

function deleted(words: readonly string[], text: string): string | undefined {
  const set = words.length === 1 ? setOf(words[0] ?? '') : undefined;
  return set && Array.from(text, (character) => (set.includes(character) ? '' : character)).join('');
}

/** `sed [-E] s/PATTERN/TEXT/[g]`, where the pattern means the same in JavaScript and takes a bounded time. */
function substituted(words: readonly string[], text: string): string | undefined {
  const [, extended, script = ''] = /^(?:(-[Er])\n)?(?:-e\n)?([^\n]+)$/u.exec(words.join('\n')) ?? [];
  if (!/^s[/|#,:@~!]/u.test(script)) return undefined;
  const [, source = '', target = '', flags, ...more] = script.split(script.charAt(1));
  if ((flags !== '' && flags !== 'g') || more.length > 0) return undefined;
  if (text.length > longestSedText || !isPlain(source, extended !== undefined) || /[\\&]/u.test(target))
    return undefined;
  try {
    const pattern = new RegExp(source, `u${flags}`);
    return eachLine(text, (line) => line.replace(pattern, () => target));
  } catch {
    return undefined;
  }
}

/** `grep [-E] [-m1] PATTERN`: the lines that match; empty if none does. */
function matchingLines(words: readonly string[], text: string): string | undefined {
  const [, options = '', source = ''] =
    /^((?:-(?:[EhsvwF]|m\n?1)\n)*)(?:-e\n)?([^-\n][^\n]*)$/u.exec(words.join('\n')) ?? [];
  const lines = linesOf(text);
  const isShort = !/[*+?{]/u.test(source) || lines.every((line) => line.length <= longestSedText);
  if (/[wF]/u.test(options) || !isPlain(source, options.includes('E')) || !isShort) return undefined;
  try {
    const pattern = new RegExp(source, 'u');
    const found = lines.filter((line) => pattern.test(line) !== options.includes('v'));
    return (options.includes('m') ? found.slice(0, 1) : found).join('\n');
  } catch {
    return undefined;
  }
}

function isPlain(source: string, isExtended: boolean): boolean {
  const repeats = source.match(/[*+?{]/gu)?.length ?? 0;
  const isOdd = /\\[^./]|\[:|\)[*+{]/u.test(source) || (!isExtended && /[+?|(){}]/u.test(source));
  return source !== '' && !isOdd && repeats <= 1;
}
